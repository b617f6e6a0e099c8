//! Encrypted byte streams.
//!
//! Where it sits: `socket` makes them over TCP and hides them behind `Duplex`.
//!
//! I1  Accepting does not wait: the handshake of an accepted connection happens when it is first read or written, so a peer that
//!     says nothing holds up nobody else.
//! I2  Errors are logged with the library's reason, once, and are then one errno, as in Open vSwitch.
//! I3  A peer that closes without saying good-bye has closed. When we close we say it, as far as that goes without waiting.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};

use rustix::io::Errno;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{Accept, TlsAcceptor, TlsConnector, TlsStream};

use super::config::reason;
use super::{Bootstrap, bootstrap, der};

/// The name in the peer's certificate, once the handshake is done.
pub(crate) type PeerId = Arc<OnceLock<String>>;

enum State {
    Handshake(Box<Accept<TcpStream>>),
    Open(Box<TlsStream<TcpStream>>),
    Failed,
}

/// One connection.
pub(crate) struct TlsIo {
    state: State,
    bootstrap: Bootstrap,
    peer: PeerId,
}

impl TlsIo {
    /// Dials over a connected socket; `host` is what was dialled.
    pub(crate) async fn connect(socket: TcpStream, host: &str) -> io::Result<TlsIo> {
        let (config, name, bootstrap) = super::client()?;
        let name = server_name(name.as_deref().unwrap_or(host));
        match TlsConnector::from(config).connect(name, socket).await {
            Ok(stream) => {
                let mut this = TlsIo { state: State::Failed, bootstrap, peer: PeerId::default() };
                this.open(TlsStream::from(stream))?;
                Ok(this)
            }
            Err(error) => Err(explained("SSL_connect", error)),
        }
    }

    /// Serves over an accepted socket.
    pub(crate) fn accept(socket: TcpStream) -> io::Result<TlsIo> {
        let (config, bootstrap) = super::server()?;
        let accept = TlsAcceptor::from(config).accept(socket);
        Ok(TlsIo { state: State::Handshake(Box::new(accept)), bootstrap, peer: PeerId::default() })
    }

    /// Where the peer's name will be.
    pub(crate) fn peer(&self) -> PeerId {
        self.peer.clone()
    }

    fn open(&mut self, stream: TlsStream<TcpStream>) -> io::Result<()> {
        let chain = stream.get_ref().1.peer_certificates();
        if let Some(file) = &self.bootstrap {
            return Err(bootstrap::keep(chain, file));
        }
        let subject =
            chain.and_then(<[_]>::first).and_then(|leaf| der::names(leaf)).map(|names| names.subject);
        if let Some(name) = subject.and_then(der::common_name) {
            let _ = self.peer.set(name);
        }
        self.state = State::Open(Box::new(stream));
        Ok(())
    }

    /// The stream, once the handshake is done.
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Pin<&mut TlsStream<TcpStream>>>> {
        if let State::Handshake(accept) = &mut self.state {
            let done = ready!(Pin::new(accept).poll(context));
            self.state = State::Failed;
            match done {
                Ok(stream) => self.open(TlsStream::from(stream))?,
                Err(error) => return Poll::Ready(Err(explained("SSL_accept", error))),
            }
        }
        match &mut self.state {
            State::Open(stream) => Poll::Ready(Ok(Pin::new(stream))),
            _ => Poll::Ready(Err(Errno::PROTO.into())),
        }
    }
}

/// The name for the server: addresses, and what no name can be, are not sent.
fn server_name(host: &str) -> ServerName<'static> {
    let bare = host.split('%').next().unwrap_or_default();
    ServerName::try_from(bare.to_owned()).unwrap_or_else(|_| IpAddr::from([0, 0, 0, 0]).into())
}

/// The errno for an error of the library, whose reason goes to the log.
fn explained(function: &str, error: io::Error) -> io::Error {
    let library = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(library) = library {
        log::warn!(target: "stream_ssl@10/25", "{function}: {}", reason(library));
        return Errno::PROTO.into();
    }
    if error.kind() == io::ErrorKind::UnexpectedEof {
        log::warn!(target: "stream_ssl@10/25", "{function}: unexpected SSL/TLS connection close");
        return Errno::PROTO.into();
    }
    error
}

impl AsyncRead for TlsIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = ready!(self.poll_open(context))?;
        match ready!(stream.poll_read(context, buffer)) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            other => Poll::Ready(other.map_err(|error| explained("SSL_read", error))),
        }
    }
}

impl AsyncWrite for TlsIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = ready!(self.poll_open(context))?;
        stream.poll_write(context, data).map_err(|error| explained("SSL_write", error))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Open(stream) => {
                Pin::new(stream).poll_flush(context).map_err(|error| explained("SSL_write", error))
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Open(stream) => Pin::new(stream).poll_shutdown(context),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for TlsIo {
    fn drop(&mut self) {
        if let State::Open(stream) = &mut self.state {
            let _ = Pin::new(stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }
}
