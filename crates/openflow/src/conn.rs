//! One OpenFlow connection as the switch sees it: whole messages in, requests out; replies in, bytes out.
//!
//! Where it sits: the owner (the switch's controller session) has the socket and cuts the stream into messages; it
//! calls [`SwitchConn::handle_message`] for each, carries out the [`Request`]s, answers with [`SwitchConn::reply`] or
//! [`SwitchConn::refuse`], tells of events with [`SwitchConn::send`], and writes what [`SwitchConn::take_output`]
//! gives. Pure: no socket, no clock.
//!
//! ~~~text
//!   new ─ HELLO queued ─► WaitHello ─ HELLO with a common version ─► Open(version)
//!                             └─ none common, or other message ─► Broken (OFPHFC_INCOMPATIBLE queued)
//! ~~~
//!
//! What the connection answers itself: HELLO, ECHO, messages that do not decode, messages of the wrong version,
//! messages that only a switch sends. What it remembers: version, 1.0's flow format, table ids in flow mods,
//! packet-in format, controller id, asynchronous configuration; the requests about these are still handed out, after
//! they took effect, so that the owner can act on them (none needs an answer).
//! What it leaves to the owner: roles, miss_send_len, and whether an event is wanted.
//!
//! I1  Every message that cannot be understood is answered with exactly one error, which carries it.
//! I2  Requests in pieces are bounded in size and time (I2 of `Assembly`).
//!
//! Spec: OpenFlow 1.5.1 sections 6.3.1, 7.1.1, 7.5. Next: `msg/mod.rs`.

use std::collections::HashMap;
use std::time::Duration;

use packet::Instant;

use crate::msg::header::{self, Header};
use crate::msg::raw::{Class, Raw};
use crate::msg::{AsyncConfig, Dialect, ErrorMessage, Hello, Limits, Message, PacketInFormat, VersionSet};
use crate::{OfpError, Protocols, Version};

/// A request of the controller.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Version, transaction id and row.
    pub header: Header,
    /// What is asked.
    pub message: Message,
    /// The message as it came, for the error that may answer it.
    pub bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    WaitHello,
    Open,
    Broken,
}

/// See the module.
#[derive(Debug)]
pub struct SwitchConn {
    versions: VersionSet,
    phase: Phase,
    dialect: Dialect,
    limits: Limits,
    controller_id: u16,
    assembly: Assembly,
    output: Vec<u8>,
}

impl SwitchConn {
    /// A connection that may agree on one of `versions`; its HELLO is in the output. `xid` is the HELLO's.
    pub fn new(versions: VersionSet, xid: u32) -> SwitchConn {
        let mut conn = SwitchConn {
            versions,
            phase: Phase::WaitHello,
            dialect: Dialect::new(Version::V10),
            limits: Limits::default(),
            controller_id: 0,
            assembly: Assembly::default(),
            output: Vec::new(),
        };
        // HELLO always encodes.
        let _ = Message::Hello(Hello::new(versions)).encode(conn.dialect, xid, &mut conn.output);
        conn
    }

    /// The version agreed on.
    pub fn version(&self) -> Option<Version> {
        (self.phase == Phase::Open).then(|| self.dialect.version())
    }

    /// How messages to the controller are said.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// True once the connection is of no use: write the output, then close it.
    pub fn is_broken(&self) -> bool {
        self.phase == Phase::Broken
    }

    /// The controller's id among those of `controller` actions.
    pub fn controller_id(&self) -> u16 {
        self.controller_id
    }

    /// Which asynchronous messages the controller asked for.
    pub fn async_config(&self) -> &AsyncConfig {
        &self.limits.async_config
    }

    /// Sets how many ports and tables there are, which flow mods are checked against.
    pub fn set_limits(&mut self, max_ports: u32, n_tables: u8) {
        self.limits.max_ports = max_ports;
        self.limits.n_tables = n_tables;
    }

    /// Takes what is to be written.
    pub fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.output)
    }

    /// Takes one whole message; a request for the owner, unless the connection dealt with it itself.
    pub fn handle_message(&mut self, bytes: &[u8], now: Instant) -> Option<Request> {
        match self.phase {
            Phase::WaitHello => {
                self.handle_hello(bytes);
                None
            }
            Phase::Open => self.handle_open(bytes, now).unwrap_or_else(|error| {
                self.refuse_bytes(bytes, error);
                None
            }),
            Phase::Broken => None,
        }
    }

    /// When [`SwitchConn::handle_timeout`] has to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.assembly.poll_timeout()
    }

    /// Refuses requests whose next piece did not come in time.
    pub fn handle_timeout(&mut self, now: Instant) {
        for request in self.assembly.take_overdue(now) {
            self.refuse_bytes(&request, OfpError::OFPBRC_MULTIPART_REQUEST_TIMEOUT);
        }
    }

    /// Answers `request`. The answer has its transaction id, and, in 1.0, its flow format.
    pub fn reply(&mut self, request: &Request, message: &Message) -> Result<(), OfpError> {
        let mut dialect = self.dialect;
        if let Class::VendorStatRequest(..) = request.header.raw.def().class {
            dialect.protocol = nxm(dialect.protocol);
        } else if let Class::StatRequest(_) = request.header.raw.def().class {
            dialect.protocol = standard(dialect.protocol);
        }
        message.encode(dialect, request.header.xid, &mut self.output)
    }

    /// Answers `request` with an error.
    pub fn refuse(&mut self, request: &Request, error: OfpError) {
        self.refuse_bytes(&request.bytes, error);
    }

    /// Tells of an event: a message without a request.
    pub fn send(&mut self, message: &Message) -> Result<(), OfpError> {
        message.encode(self.dialect, 0, &mut self.output)
    }

    /// Asks whether the controller is there; it answers with an ECHO_REPLY, which is not handed out.
    pub fn probe(&mut self) {
        // ECHO always encodes.
        let _ = Message::EchoRequest(Vec::new()).encode(self.dialect, 0, &mut self.output);
    }

    /// Shows the controller a request of another one.
    pub fn forward(&mut self, request: &[u8]) -> Result<(), OfpError> {
        let version = self.dialect.version();
        if request.first() == Some(&version.wire()) {
            return self.send(&Message::RequestForward(request.to_vec()));
        }
        // What it cannot read as it came is said in its own version.
        let (_, inner) = crate::msg::decode(request, &Limits::default())?;
        let mut bytes = Vec::new();
        inner.encode(self.dialect, header::message_xid(request), &mut bytes)?;
        self.send(&Message::RequestForward(bytes))
    }

    /// Answers a request that came inside another with an error.
    pub fn refuse_bytes(&mut self, request: &[u8], error: OfpError) {
        let message = ErrorMessage::of(error, self.dialect.version(), request);
        // ERROR always encodes.
        let _ = Message::Error(message).encode(self.dialect, header::message_xid(request), &mut self.output);
    }

    fn handle_hello(&mut self, bytes: &[u8]) {
        let limits = Limits::default();
        let Ok((header, Message::Hello(hello))) = crate::msg::decode(bytes, &limits) else {
            self.phase = Phase::Broken;
            return;
        };
        match self.versions.highest_common(hello.versions) {
            Some(version) => {
                self.dialect = Dialect::new(version);
                self.limits.async_config = AsyncConfig::default_for(version);
                self.phase = Phase::Open;
            }
            None => {
                let version = Version::from_wire(header.version).unwrap_or(Version::V10);
                let text = incompatible(self.versions, hello.versions);
                let error = ErrorMessage::of(OfpError::OFPHFC_INCOMPATIBLE, version, text.as_bytes());
                let _ = Message::Error(error).encode(Dialect::new(version), 0, &mut self.output);
                self.phase = Phase::Broken;
            }
        }
    }

    fn handle_open(&mut self, bytes: &[u8], now: Instant) -> Result<Option<Request>, OfpError> {
        let any_version = matches!(bytes.get(1), Some(0..=3));
        if !any_version && bytes.first() != Some(&self.dialect.version().wire()) {
            return Err(OfpError::OFPBRC_BAD_VERSION);
        }
        let (header, body) = header::parse(bytes)?;
        if matches!(header.raw.def().class, Class::StatRequest(_) | Class::VendorStatRequest(..)) {
            return match self.assembly.add(&header, bytes, body, now)? {
                None => Ok(None),
                Some(whole) => {
                    let message = crate::msg::decode_body(&header, whole.body(body), &self.limits)?;
                    Ok(Some(Request { header, message, bytes: bytes.to_vec() }))
                }
            };
        }
        let message = crate::msg::decode_body(&header, body, &self.limits)?;
        self.remember(&message);
        match message {
            Message::Hello(_) | Message::EchoReply(_) | Message::Error(_) => Ok(None),
            Message::EchoRequest(data) => {
                let reply = Message::EchoReply(data);
                reply.encode(self.dialect, header.xid, &mut self.output).map(|()| None)
            }
            message if is_from_switch(&message) => Err(crate::msg::refusal(header.raw)),
            message => Ok(Some(Request { header, message, bytes: bytes.to_vec() })),
        }
    }

    fn remember(&mut self, message: &Message) {
        match message {
            Message::SetFlowFormat(true) => self.dialect.protocol = nxm(self.dialect.protocol),
            Message::SetFlowFormat(false) => self.dialect.protocol = standard(self.dialect.protocol),
            Message::FlowModTableId(on) => {
                self.limits.flow_mod_table_id = *on;
                self.dialect.protocol = with_table_ids(self.dialect.protocol, *on);
            }
            Message::SetPacketInFormat(format) => self.dialect.packet_in_format = *format,
            Message::SetControllerId(id) => self.controller_id = *id,
            Message::SetAsync(config) => self.limits.async_config = *config,
            _ => {}
        }
    }

    /// Sets the packet-in format without being asked by the controller.
    pub fn set_packet_in_format(&mut self, format: PacketInFormat) {
        self.dialect.packet_in_format = format;
    }
}

/// The text that goes with OFPHFC_INCOMPATIBLE.
pub fn incompatible(ours: VersionSet, theirs: VersionSet) -> String {
    format!("We support {}, you support {}, no common versions.", ours.describe(), theirs.describe())
}

fn nxm(protocol: Protocols) -> Protocols {
    match protocol {
        Protocols::OF10_STD => Protocols::OF10_NXM,
        Protocols::OF10_STD_TID => Protocols::OF10_NXM_TID,
        other => other,
    }
}

fn standard(protocol: Protocols) -> Protocols {
    match protocol {
        Protocols::OF10_NXM => Protocols::OF10_STD,
        Protocols::OF10_NXM_TID => Protocols::OF10_STD_TID,
        other => other,
    }
}

fn with_table_ids(protocol: Protocols, on: bool) -> Protocols {
    match (protocol, on) {
        (Protocols::OF10_STD, true) => Protocols::OF10_STD_TID,
        (Protocols::OF10_NXM, true) => Protocols::OF10_NXM_TID,
        (Protocols::OF10_STD_TID, false) => Protocols::OF10_STD,
        (Protocols::OF10_NXM_TID, false) => Protocols::OF10_NXM,
        (other, _) => other,
    }
}

fn is_from_switch(message: &Message) -> bool {
    matches!(
        message,
        Message::FeaturesReply(_)
            | Message::GetConfigReply(_)
            | Message::PacketIn(_)
            | Message::FlowRemoved(_)
            | Message::PortStatus(_)
            | Message::BarrierReply
            | Message::RoleReply(_)
            | Message::RoleStatus(_)
            | Message::GetAsyncReply(_)
            | Message::DescReply(_)
            | Message::FlowStatsReply(_)
            | Message::AggregateReply(_)
            | Message::TableStatsReply(_)
            | Message::TableFeaturesReply(_)
            | Message::PortStatsReply(_)
            | Message::PortDescReply(_)
            | Message::GroupStatsReply(_)
            | Message::GroupDescReply(_)
            | Message::GroupFeaturesReply(_)
            | Message::MeterStatsReply(_)
            | Message::MeterConfigReply(_)
            | Message::MeterFeaturesReply(_)
            | Message::QueueConfigReply(..)
            | Message::QueueStatsReply(_)
            | Message::TableDescReply(_)
            | Message::TableStatus(_)
            | Message::RequestForward(_)
            | Message::FlowMonitorReply(_)
            | Message::FlowMonitorPaused
            | Message::FlowMonitorResumed
            | Message::TlvTableReply(_)
            | Message::IpfixBridgeReply(_)
            | Message::IpfixFlowReply(_)
    )
}

/// Requests that come in pieces (1.3 and later).
///
/// I1  Pieces share the transaction id and the row; only the kinds that may be long may have two pieces with a body.
/// I2  All pieces together have at most [`Assembly::MAX_BYTES`]; the next one must come within a second.
#[derive(Debug, Default)]
struct Assembly {
    partial: HashMap<u32, Partial>,
    bytes: usize,
}

#[derive(Debug)]
struct Partial {
    raw: Raw,
    first: Vec<u8>,
    body: Vec<u8>,
    deadline: Instant,
}

/// A request whose pieces are all there.
#[derive(Debug)]
enum Whole {
    /// It was one piece.
    Single,
    /// The bodies of several.
    Joined(Vec<u8>),
}

impl Whole {
    fn body<'a>(&'a self, single: &'a [u8]) -> &'a [u8] {
        match self {
            Whole::Single => single,
            Whole::Joined(body) => body,
        }
    }
}

impl Assembly {
    const MAX_BYTES: usize = 4 << 20;
    const PATIENCE: Duration = Duration::from_secs(1);

    /// Takes a piece; the whole body if it was the last.
    fn add(
        &mut self,
        header: &Header,
        bytes: &[u8],
        body: &[u8],
        now: Instant,
    ) -> Result<Option<Whole>, OfpError> {
        let may_be_partial = header.version >= Version::V13.wire();
        let more = may_be_partial && header.more();
        let Some(mut partial) = self.remove(header.xid) else {
            if !more {
                return Ok(Some(Whole::Single));
            }
            let body = body.to_vec();
            let partial =
                Partial { raw: header.raw, first: bytes.to_vec(), body, deadline: now + Self::PATIENCE };
            return self.insert(header.xid, partial).map(|()| None);
        };
        if partial.raw != header.raw {
            return Err(OfpError::OFPBRC_BAD_STAT);
        }
        if !body.is_empty() && !partial.body.is_empty() && !may_be_long(header.raw) {
            return Err(OfpError::OFPBRC_BAD_STAT);
        }
        partial.body.extend_from_slice(body);
        if !more {
            return Ok(Some(Whole::Joined(partial.body)));
        }
        partial.deadline = now + Self::PATIENCE;
        self.insert(header.xid, partial).map(|()| None)
    }

    fn insert(&mut self, xid: u32, partial: Partial) -> Result<(), OfpError> {
        // An empty piece costs memory, too.
        let cost = partial.body.len() + partial.first.len();
        if self.bytes + cost > Self::MAX_BYTES {
            return Err(OfpError::OFPBRC_MULTIPART_BUFFER_OVERFLOW);
        }
        self.bytes += cost;
        self.partial.insert(xid, partial);
        Ok(())
    }

    fn remove(&mut self, xid: u32) -> Option<Partial> {
        let partial = self.partial.remove(&xid)?;
        self.bytes -= partial.body.len() + partial.first.len();
        Some(partial)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.partial.values().map(|p| p.deadline).min()
    }

    fn take_overdue(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let overdue = |(xid, p): (&u32, &Partial)| (p.deadline <= now).then_some(*xid);
        let xids: Vec<u32> = self.partial.iter().filter_map(overdue).collect();
        xids.into_iter().filter_map(|xid| self.remove(xid)).map(|p| p.first).collect()
    }
}

fn may_be_long(raw: Raw) -> bool {
    matches!(
        raw,
        Raw::Ofpst13TableFeaturesRequest
            | Raw::Ofpst14FlowMonitorRequest
            | Raw::Onfst13FlowMonitorRequest
            | Raw::NxstFlowMonitorRequest
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msg::{FragMode, SwitchConfig};

    const NOW: Instant = Instant(0);

    fn open(version: Version) -> SwitchConn {
        let mut conn = SwitchConn::new(VersionSet::ALL, 7);
        let hello = Message::Hello(Hello::new(VersionSet::one(version)));
        conn.handle_message(&hello.to_bytes(Dialect::new(version), 1).unwrap(), NOW);
        assert_eq!(conn.version(), Some(version));
        conn.take_output();
        conn
    }

    #[test]
    fn no_common_version_ends_with_an_explanation() {
        let mut conn = SwitchConn::new(VersionSet::one(Version::V13), 1);
        conn.take_output();
        let hello = Message::Hello(Hello::new(VersionSet::one(Version::V10)));
        conn.handle_message(&hello.to_bytes(Dialect::new(Version::V10), 1).unwrap(), NOW);
        assert!(conn.is_broken());
        let out = conn.take_output();
        let text = b"We support version 0x04, you support version 0x01, no common versions.";
        assert_eq!(&out[..12], &[1, 1, 0, 0x52, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&out[12..], text);
    }

    #[test]
    fn every_misunderstanding_has_one_answer() {
        let cases: [(&[u8], &[u8]); 5] = [
            (&[1, 5, 0, 8, 0, 0, 0, 5], &[0, 1, 0, 0]),
            (&[4, 0xff, 0, 8, 0, 0, 0, 5], &[0, 1, 0, 1]),
            (&[4, 18, 0, 16, 0, 0, 0, 5, 0, 99, 0, 0, 0, 0, 0, 0], &[0, 1, 0, 2]),
            (&[4, 4, 0, 16, 0, 0, 0, 5, 0, 0, 0x23, 0x20, 0, 0, 0, 0xff], &[0, 1, 0, 4]),
            (&[4, 21, 0, 8, 0, 0, 0, 5], &[0, 1, 0, 1]),
        ];
        for (request, error) in cases {
            let mut conn = open(Version::V13);
            assert_eq!(conn.handle_message(request, NOW), None);
            let out = conn.take_output();
            assert_eq!(&out[..2], &[4, 1], "{request:?}");
            assert_eq!(&out[4..12], &[&request[4..8], error].concat(), "{request:?}");
            assert_eq!(&out[12..], request);
        }
    }

    #[test]
    fn an_echo_is_answered_and_a_question_handed_out() {
        let mut conn = open(Version::V13);
        assert_eq!(conn.handle_message(&[4, 2, 0, 9, 0, 0, 0, 5, 42], NOW), None);
        assert_eq!(conn.take_output(), [4, 3, 0, 9, 0, 0, 0, 5, 42]);
        let request = conn.handle_message(&[4, 7, 0, 8, 0, 0, 0, 6], NOW).unwrap();
        assert_eq!(request.message, Message::GetConfigRequest);
        let config =
            SwitchConfig { frag: FragMode::Drop, invalid_ttl_to_controller: false, miss_send_len: 128 };
        conn.reply(&request, &Message::GetConfigReply(config)).unwrap();
        assert_eq!(conn.take_output(), [4, 8, 0, 12, 0, 0, 0, 6, 0, 1, 0, 128]);
    }

    #[test]
    fn pieces_are_waited_for_a_second() {
        let mut conn = open(Version::V13);
        let piece = [4, 18, 0, 24, 0, 0, 0, 5, 0, 4, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert_eq!(conn.handle_message(&piece, NOW), None);
        assert_eq!(conn.poll_timeout(), Some(Instant::from_millis(1000)));
        conn.handle_timeout(Instant::from_millis(999));
        assert_eq!(conn.take_output(), []);
        conn.handle_timeout(Instant::from_millis(1000));
        assert_eq!(conn.take_output()[8..16], [0xff, 0xff, 0x0a, 0x50, 0x4f, 0x4e, 0x46, 0x00]);
        assert_eq!(conn.poll_timeout(), None);
    }
}
