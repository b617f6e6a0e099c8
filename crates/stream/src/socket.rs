//! Sockets behind names: connected streams and listeners.
//!
//! Where it sits: `link` and servers call it with parsed names; it is the only place of the project's sessions that touches sockets.
//! New kinds (Windows named pipes) become another `Duplex`.
//!
//! I1  A unix socket file that this process bound is removed when its listener is dropped, or with the process (`files`).
//! I2  Unix paths that do not fit a socket address go through the folder's descriptor in /proc.

mod unix;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use unix::UnixIo;

use crate::files::OwnFile;
use crate::name::{Active, Passive};
use crate::replay::{self, Journal, Recording, Reel};
use crate::tls::{self, PeerId, TlsIo};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;
/// Bytes of a unix socket address's path.
const UNIX_PATH_MAX: usize = 107;
/// Mode of a bound socket file, before the umask.
const SOCKET_MODE: Mode = Mode::from_raw_mode(0o770);

/// Streams dialled, and listeners opened.
static DIALLED: AtomicU64 = AtomicU64::new(0);
static LISTENING: AtomicU64 = AtomicU64::new(0);

/// How often this process has dialled so far.
pub fn streams_dialled() -> u64 {
    DIALLED.load(Ordering::Relaxed)
}

/// How many listeners this process has opened so far.
pub fn listeners_opened() -> u64 {
    LISTENING.load(Ordering::Relaxed)
}

/// What a connection must do.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A connected byte stream.
pub struct Stream {
    /// What logs call the peer.
    pub name: String,
    /// The bytes.
    pub io: Box<dyn Duplex>,
    /// Both ends' addresses, where they have any.
    pub addresses: Option<Addresses>,
    /// The name in the peer's certificate, over TLS.
    pub(crate) peer: Option<PeerId>,
}

/// The two ends of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Our end.
    pub local: SocketAddr,
    /// The peer's.
    pub peer: SocketAddr,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Stream {
    /// Connects; logs will call the peer `name`.
    pub async fn connect(target: &Active, name: &str) -> io::Result<Stream> {
        DIALLED.fetch_add(1, Ordering::Relaxed);
        match replay::journal() {
            None => Stream::dial(target, name).await,
            Some(Journal::Record(recorder)) => {
                recorder.dialled(name, recorder.take(Stream::dial(target, name)).await)
            }
            Some(Journal::Replay(player)) => player.dial(name).await,
        }
    }

    async fn dial(target: &Active, name: &str) -> io::Result<Stream> {
        match target {
            Active::Unix(path) => {
                let reachable = ReachablePath::new(path)?;
                let io = UnixIo::new(UnixStream::connect(reachable.path()).await?)?;
                Ok(Stream { name: name.to_owned(), io: Box::new(io), addresses: None, peer: None })
            }
            Active::Tcp(host, port) => {
                let io = connect_tcp(host, *port).await?;
                Stream::from_tcp(io, name.to_owned())
            }
            Active::Tls(host, port) => {
                // What is missing is said before anybody is bothered.
                tls::client()?;
                let socket = connect_tcp(host, *port).await?;
                let addresses = prepare_tcp(&socket)?;
                let io = TlsIo::connect(socket, host).await?;
                Ok(Stream::from_tls(io, addresses, name.to_owned()))
            }
        }
    }

    /// The name in the peer's certificate, where it has presented one.
    pub fn peer_id(&self) -> Option<&str> {
        self.peer.as_ref()?.get().map(String::as_str)
    }

    fn from_tcp(io: TcpStream, name: String) -> io::Result<Stream> {
        let addresses = prepare_tcp(&io)?;
        Ok(Stream { name, io: Box::new(io), addresses: Some(addresses), peer: None })
    }

    fn from_tls(io: TlsIo, addresses: Addresses, name: String) -> Stream {
        let peer = Some(io.peer());
        Stream { name, io: Box::new(io), addresses: Some(addresses), peer }
    }
}

fn prepare_tcp(socket: &TcpStream) -> io::Result<Addresses> {
    socket.set_nodelay(true)?;
    Ok(Addresses { local: socket.local_addr()?, peer: socket.peer_addr()? })
}

async fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return TcpStream::connect((address, port)).await;
    }
    match tokio::net::lookup_host((host, port)).await {
        Ok(mut addresses) => match addresses.next() {
            Some(address) => TcpStream::connect(address).await,
            None => Err(unresolved(host)),
        },
        Err(_) => Err(unresolved(host)),
    }
}

fn unresolved(host: &str) -> io::Error {
    log::warn!(target: "dns_resolve@5", "{host}: failed to resolve");
    Errno::AFNOSUPPORT.into()
}

/// A bound and listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: Source,
    /// Where what comes of it is recorded.
    tape: Option<Mutex<Recording>>,
    /// The port in use, for TCP.
    port: Option<u16>,
    _file: Option<OwnFile>,
}

/// Where a listener's peers come from.
#[derive(Debug)]
enum Source {
    Unix(UnixListener),
    Tcp(TcpListener),
    Tls(TcpListener),
    /// From a recording.
    Replay(Reel),
}

impl Listener {
    /// Binds and listens. Must be called within the runtime.
    pub fn bind(target: &Passive) -> io::Result<Listener> {
        LISTENING.fetch_add(1, Ordering::Relaxed);
        match replay::journal() {
            None => Listener::listen(target),
            Some(Journal::Record(recorder)) => {
                let listener = Listener::listen(target);
                let port = listener.as_ref().map(|listener| listener.port);
                let tape = recorder.listens(target, port)?;
                listener.map(|listener| Listener { tape: Some(Mutex::new(tape)), ..listener })
            }
            Some(Journal::Replay(player)) => {
                let (reel, port) = player.listen(target)?;
                Ok(Listener { socket: Source::Replay(reel), tape: None, port, _file: None })
            }
        }
    }

    fn listen(target: &Passive) -> io::Result<Listener> {
        match target {
            Passive::Unix(path) => Listener::bind_unix(path),
            Passive::Tcp(host, port) => Listener::bind_tcp(*host, *port),
            Passive::Tls(host, port) => {
                tls::server()?;
                let mut listener = Listener::bind_tcp(*host, *port)?;
                if let Source::Tcp(socket) = listener.socket {
                    listener.socket = Source::Tls(socket);
                }
                Ok(listener)
            }
        }
    }

    fn bind_unix(path: &Path) -> io::Result<Listener> {
        let reachable = ReachablePath::new(path)?;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (listener, file) = listen_unix(path, &reachable).inspect_err(|error| {
            log::error!(target: "stream_unix", "{}: binding failed: {}", path.display(), error_text(error));
        })?;
        let socket = Source::Unix(UnixListener::from_std(listener)?);
        Ok(Listener { socket, tape: None, port: None, _file: Some(file) })
    }

    fn bind_tcp(host: Option<IpAddr>, port: u16) -> io::Result<Listener> {
        let address = SocketAddr::new(host.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), port);
        let name = match host {
            Some(IpAddr::V4(host)) => format!("{port}:{host}"),
            Some(IpAddr::V6(host)) => format!("{port}:[{host}]"),
            None => port.to_string(),
        };
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address).inspect_err(|error| {
            log::error!(target: "socket_util", "{name}: bind: {}", error_text(error));
        })?;
        let listener = socket.listen(BACKLOG as u32)?;
        let bound = listener.local_addr()?.port();
        if port == 0 {
            log::info!(target: "socket_util", "{name}: listening on port {bound}");
        }
        Ok(Listener { socket: Source::Tcp(listener), tape: None, port: Some(bound), _file: None })
    }

    /// The TCP port in use.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Waits for the next peer. Cancelling loses none.
    pub async fn accept(&self) -> io::Result<Stream> {
        match (&self.tape, replay::journal()) {
            (Some(tape), Some(Journal::Record(recorder))) => {
                let peer = recorder.take(self.next_peer()).await;
                recorder.accepted(&mut tape.lock().unwrap_or_else(PoisonError::into_inner), peer)
            }
            _ => self.next_peer().await,
        }
    }

    async fn next_peer(&self) -> io::Result<Stream> {
        match &self.socket {
            Source::Replay(reel) => reel.accept().await,
            Source::Unix(listener) => {
                let (io, peer) = listener.accept().await?;
                let name = match peer.as_pathname() {
                    Some(path) => format!("unix:{}", path.display()),
                    None => format!("unix#{}", next_unix_number()),
                };
                Ok(Stream { name, io: Box::new(UnixIo::new(io)?), addresses: None, peer: None })
            }
            Source::Tcp(listener) => {
                let (io, peer) = listener.accept().await?;
                Stream::from_tcp(io, format!("tcp:{peer}"))
            }
            Source::Tls(listener) => {
                let (socket, peer) = listener.accept().await?;
                let addresses = prepare_tcp(&socket)?;
                Ok(Stream::from_tls(TlsIo::accept(socket)?, addresses, format!("ssl:{peer}")))
            }
        }
    }
}

fn next_unix_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn listen_unix(
    path: &Path,
    reachable: &ReachablePath,
) -> io::Result<(std::os::unix::net::UnixListener, OwnFile)> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // On Linux the file that bind makes takes the socket's own mode, so there is no moment with a wider one.
    rustix::fs::fchmod(socket.as_fd(), SOCKET_MODE)?;
    bind(&socket, &SocketAddrUnix::new(reachable.path())?)?;
    let file = OwnFile::new(path);
    listen(&socket, BACKLOG)?;
    Ok((socket.into(), file))
}

/// A path to a unix socket that fits into a socket address (I2).
struct ReachablePath {
    path: PathBuf,
    _folder: Option<OwnedFd>,
}

impl ReachablePath {
    fn new(path: &Path) -> io::Result<ReachablePath> {
        if path.as_os_str().len() <= UNIX_PATH_MAX {
            return Ok(ReachablePath { path: path.to_owned(), _folder: None });
        }
        let (Some(folder), Some(file)) = (path.parent(), path.file_name()) else {
            return Err(Errno::NAMETOOLONG.into());
        };
        let folder = rustix::fs::open(folder, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(file);
        if short.as_os_str().len() > UNIX_PATH_MAX {
            log::warn!(target: "socket_util_unix",
                "Unix socket name {} is longer than maximum {UNIX_PATH_MAX} bytes", path.display());
            return Err(Errno::NAMETOOLONG.into());
        }
        Ok(ReachablePath { path: short, _folder: Some(folder) })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// An error in the system's words alone, as C prints it.
pub fn error_text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}
