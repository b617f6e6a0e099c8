//! An OpenFlow connection of the tool: dial, agree on a version, ask and wait.
//!
//! Where it sits: every online command of ovs-ofctl. Framing of bytes and meaning of messages are `openflow`'s; sockets are
//! `stream`'s.
//!
//! I1  Transaction ids rise by one in the whole process, hellos included, as scripts see them in printed replies.
//! I2  Messages that answer nothing that was asked are passed over while waiting for a reply; echo requests are answered.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use openflow::msg::{self, Dialect, Header, Hello, Limits, Message, VersionSet, header};
use openflow::print::{self, Verbosity};
use openflow::{Names, OfpError, Protocols, Version, conn};
use stream::Stream;
use stream::name::{Active, OPENFLOW_PORT};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Context, Fatal, fatal};

/// The next transaction id.
pub fn next_xid() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A connection that agreed on a version.
pub struct Vconn {
    name: String,
    stream: Stream,
    dialect: Dialect,
    input: Vec<u8>,
}

/// One message that came.
pub struct Received {
    /// What its headers say, if they can be read.
    pub header: Option<Header>,
    /// The whole message.
    pub bytes: Vec<u8>,
}

impl Received {
    /// The message's meaning.
    pub fn decode(&self) -> Result<Message, OfpError> {
        msg::decode(&self.bytes, &Limits::default()).map(|(_, message)| message)
    }

    fn is_error(&self) -> bool {
        self.bytes.get(1) == Some(&1)
    }
}

/// How a bridge's socket is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    /// For requests.
    Management,
    /// Copies of what the bridge and its controllers say.
    Snoop,
}

impl Socket {
    fn suffix(self) -> &'static str {
        match self {
            Socket::Management => "mgmt",
            Socket::Snoop => "snoop",
        }
    }
}

/// What `name` means: the words of error messages about it, and where to connect.
enum Target {
    Name(String),
    Path(PathBuf),
}

fn target(name: &str, socket: Socket) -> Result<Target, Fatal> {
    if name.contains(':') {
        return Ok(Target::Name(name.to_owned()));
    }
    let bridge = stream::dirs::rundir().join(format!("{name}.{}", socket.suffix()));
    if is_openable(&bridge) {
        Ok(Target::Path(bridge))
    } else if !name.is_empty() && std::fs::metadata(name).is_err() {
        Err(fatal(format!("{name} is not a bridge or a socket")))
    } else {
        Ok(Target::Path(PathBuf::from(name)))
    }
}

fn is_openable(path: &std::path::Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|m| m.file_type().is_socket())
}

impl Vconn {
    /// Connects to a bridge, a socket file or a connection's name, and agrees on one of the allowed versions.
    pub async fn open(cx: &Context, name: &str) -> Result<Vconn, Fatal> {
        Vconn::open_socket(cx, name, Socket::Management).await
    }

    /// The same for any of a bridge's sockets.
    pub async fn open_socket(cx: &Context, name: &str, socket: Socket) -> Result<Vconn, Fatal> {
        let said = |what: &str, e: &io::Error| fatal(format!("{what} ({})", stream::error_text(e)));
        let unconnected = |e: &io::Error| said(&format!("{name}: failed to connect to socket"), e);
        let (full, unopened) = match target(name, socket)? {
            Target::Name(full) => (full, format!("connecting to {name}")),
            Target::Path(path) => {
                (format!("unix:{}", path.display()), format!("{name}: failed to open socket"))
            }
        };
        // A peer that TLS does not like has been reached.
        let stream = dial(&full).await.map_err(|e| match e.raw_os_error() {
            Some(libc::EPROTO) => unconnected(&e),
            _ => said(&unopened, &e),
        })?;
        Vconn::negotiate(full, stream, cx.versions()).await.map_err(|e| unconnected(&e))
    }

    async fn negotiate(name: String, stream: Stream, ours: VersionSet) -> io::Result<Vconn> {
        let mut vconn = Vconn { name, stream, dialect: Dialect::new(Version::V10), input: Vec::new() };
        vconn.send(&Message::Hello(Hello::new(ours))).await?;
        let received = vconn.receive().await.map_err(|e| match e.kind() {
            // A peer that hangs up before it has said anything refuses.
            io::ErrorKind::UnexpectedEof => io::Error::from_raw_os_error(libc::ECONNRESET),
            _ => e,
        })?;
        let header_version = received.header.map_or(1, |h| h.version);
        let Ok(Message::Hello(hello)) = received.decode() else {
            return Err(io::Error::from_raw_os_error(libc::EPROTO));
        };
        let name = vconn.name.clone();
        let (we, peer) = (ours.describe(), hello.versions.describe());
        let Some(version) = ours.highest_common(hello.versions) else {
            log::warn!(target: "vconn",
                "{name}: version negotiation failed (we support {we}, peer supports {peer})");
            let version = Version::from_wire(header_version).unwrap_or(Version::V10);
            let text = conn::incompatible(ours, hello.versions);
            let error = msg::ErrorMessage::of(OfpError::OFPHFC_INCOMPATIBLE, version, text.as_bytes());
            vconn.dialect = Dialect::new(version);
            let bytes = Message::Error(error).to_bytes(vconn.dialect, 0).unwrap_or_default();
            vconn.send_bytes(&bytes).await?;
            return Err(io::Error::from_raw_os_error(libc::EPROTO));
        };
        log::debug!(target: "vconn",
            "{name}: negotiated OpenFlow version {:#04x} (we support {we}, peer supports {peer})", version.wire());
        vconn.dialect = Dialect::new(version);
        Ok(vconn)
    }

    /// What the peer is called in logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version agreed on.
    pub fn version(&self) -> Version {
        self.dialect.version()
    }

    /// How messages are said.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Sends `message` with a fresh transaction id, which is returned.
    pub async fn send(&mut self, message: &Message) -> io::Result<u32> {
        let xid = next_xid();
        let unsayable = |e: OfpError| io::Error::other(e.name());
        let bytes = message.to_bytes(self.dialect, xid).map_err(unsayable)?;
        self.send_bytes(&bytes).await.map(|()| xid)
    }

    /// Sends a whole message.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let result = self.stream.io.write_all(bytes).await;
        if log::log_enabled!(target: "vconn", log::Level::Debug) {
            let what = match &result {
                Ok(()) => "Success".to_owned(),
                Err(e) => stream::error_text(e),
            };
            let text = print::message(bytes, &Names::none(), Verbosity(1));
            log::debug!(target: "vconn", "{}: sent ({what}): {}", self.name, text.trim_end_matches('\n'));
        }
        result
    }

    /// Waits for the next message, whatever it is; echo requests are answered on the way. `UnexpectedEof` at the end.
    pub async fn receive(&mut self) -> io::Result<Received> {
        loop {
            let received = self.receive_any().await?;
            let Some(header) = received.header.filter(|h| h.raw == msg::Raw::OfptEchoRequest) else {
                return Ok(received);
            };
            if let Ok(Message::EchoRequest(data)) = received.decode() {
                let reply = Message::EchoReply(data).to_bytes(self.dialect, header.xid).unwrap_or_default();
                self.send_bytes(&reply).await?;
            }
        }
    }

    async fn receive_any(&mut self) -> io::Result<Received> {
        loop {
            let len = header::message_len(&self.input);
            if len.is_some_and(|len| len < header::HEADER_LEN) {
                log::error!(target: "vconn_stream", "received too-short ofp_header ({} bytes)", len.unwrap_or(0));
                return Err(io::Error::from_raw_os_error(libc::EPROTO));
            }
            if let Some(len) = len.filter(|len| *len <= self.input.len()) {
                let bytes: Vec<u8> = self.input.drain(..len).collect();
                if log::log_enabled!(target: "vconn", log::Level::Debug) {
                    let text = print::message(&bytes, &Names::none(), Verbosity(1));
                    log::debug!(target: "vconn", "{}: received: {}", self.name, text.trim_end_matches('\n'));
                }
                let header = header::parse(&bytes).ok().map(|(header, _)| header);
                return Ok(Received { header, bytes });
            }
            if self.stream.io.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Waits for the message with transaction id `xid`.
    pub async fn receive_reply(&mut self, xid: u32) -> io::Result<Received> {
        loop {
            let received = self.receive().await?;
            if header::message_xid(&received.bytes) == xid {
                return Ok(received);
            }
            log::debug!(target: "vconn",
                "{}: received reply with xid {:08x} != expected {xid:08x}",
                self.name, header::message_xid(&received.bytes));
        }
    }

    /// Sends `message` and waits for its reply.
    pub async fn transact(&mut self, message: &Message) -> Result<Received, Fatal> {
        let xid = self.send(message).await.map_err(|e| self.broken("send", e))?;
        self.receive_reply(xid).await.map_err(|e| self.broken("receive", e))
    }

    /// Sends `message` and waits for all parts of its reply.
    pub async fn transact_parts(&mut self, message: &Message) -> Result<Vec<Received>, Fatal> {
        let xid = self.send(message).await.map_err(|e| self.broken("send", e))?;
        let mut parts = Vec::new();
        loop {
            let part = self.receive_reply(xid).await.map_err(|e| self.broken("receive", e))?;
            let last = part.is_error() || !part.header.is_some_and(|h| h.more());
            parts.push(part);
            if last {
                return Ok(parts);
            }
        }
    }

    /// Sends messages that have no reply, then a barrier; the errors that came before its reply.
    pub async fn transact_without_reply(&mut self, messages: &[Message]) -> Result<Vec<Received>, Fatal> {
        let mut xids = Vec::new();
        for message in messages {
            xids.push(self.send(message).await.map_err(|e| self.broken("send", e))?);
        }
        self.barrier(&xids).await
    }

    /// Waits until everything sent is done; the replies to `xids` that came.
    pub async fn barrier(&mut self, xids: &[u32]) -> Result<Vec<Received>, Fatal> {
        let barrier = self.send(&Message::BarrierRequest).await.map_err(|e| self.broken("send", e))?;
        let mut errors = Vec::new();
        loop {
            let received = self.receive().await.map_err(|e| self.broken("receive", e))?;
            let xid = header::message_xid(&received.bytes);
            if xid == barrier {
                return Ok(errors);
            }
            if xids.contains(&xid) {
                errors.push(received);
            }
        }
    }

    /// Speaks `protocol` from now on, telling the peer what it must know. False if the peer refuses or the version cannot.
    pub async fn try_protocol(&mut self, protocol: Protocols) -> Result<bool, Fatal> {
        if !Protocols::of_version(self.version()).contains(protocol) {
            return Ok(false);
        }
        let nxm = |p: Protocols| p.intersects(Protocols::OF10_NXM_ANY);
        let current = self.dialect.protocol;
        if nxm(current) != nxm(protocol) {
            let request = Message::SetFlowFormat(nxm(protocol));
            if !self.transact_without_reply(&[request]).await?.is_empty() {
                return Ok(false);
            }
        }
        let table_ids = |p: Protocols| p.intersects(Protocols::TID);
        if self.version() == Version::V10 && table_ids(current) != table_ids(protocol) {
            let request = Message::FlowModTableId(table_ids(protocol));
            if !self.transact_without_reply(&[request]).await?.is_empty() {
                return Ok(false);
            }
        }
        self.dialect.protocol = protocol;
        Ok(true)
    }

    /// The words for a connection that broke while doing `what`.
    pub fn broken(&self, what: &str, error: io::Error) -> Fatal {
        let words = match error.kind() {
            io::ErrorKind::UnexpectedEof => "End of file".to_owned(),
            _ => stream::error_text(&error),
        };
        match what {
            "send" => fatal(format!("failed to send packet to switch ({words})")),
            _ => fatal(format!("OpenFlow packet receive failed ({words})")),
        }
    }
}

async fn dial(name: &str) -> io::Result<Stream> {
    let active = Active::parse(name, OPENFLOW_PORT).map_err(io::Error::from)?;
    Stream::connect(&active, name).await
}
