//! Sending lines to the system log: /dev/log, another socket, or nowhere.
//!
//! Where it sits: `mod` hands it formatted lines. The method is `--syslog-method`, else `OVS_SYSLOG_METHOD`, else `libc`.

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;

use super::pattern::{Line, format};
use crate::program;

/// How lines reach the system log.
#[derive(Debug)]
pub enum Syslog {
    /// Nowhere.
    Null,
    /// A datagram socket of the system log, connected when first used.
    Local {
        /// Its path.
        path: String,
        /// The connection.
        socket: Option<UnixDatagram>,
        /// Whether this is libc's way, which has no host name in the header.
        libc: bool,
    },
    /// A host.
    Udp(UdpSocket, SocketAddr),
}

/// The header of lines sent over sockets, in the log's own pattern language.
const PREFIX: &str = "<%B> %D{%h %e %T} %E %A: ";

impl Syslog {
    /// The method called `name`; an error is the text that users see.
    pub fn parse(name: &str) -> Result<Syslog, String> {
        let unsupported = || format!("unsupported syslog method '{name}'");
        match name.split_once(':') {
            None if name == "null" => Ok(Syslog::Null),
            None if name == "libc" => Ok(Syslog::libc()),
            Some(("unix", path)) => Ok(Syslog::Local { path: path.to_owned(), socket: None, libc: false }),
            Some(("udp", target)) => Syslog::udp(target).ok_or_else(unsupported),
            _ => Err(unsupported()),
        }
    }

    /// The C library's way.
    pub fn libc() -> Syslog {
        Syslog::Local { path: "/dev/log".to_owned(), socket: None, libc: true }
    }

    /// Datagrams to `IP:PORT`.
    pub fn udp(target: &str) -> Option<Syslog> {
        let address: SocketAddr = target.parse().ok()?;
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).ok()?;
        socket.set_nonblocking(true).ok()?;
        Some(Syslog::Udp(socket, address))
    }

    /// The header as listings show it.
    pub(super) fn prefix(&self) -> &'static str {
        if matches!(self, Syslog::Null) { "" } else { PREFIX }
    }

    /// Sends a message, laid out by `pattern`, one datagram per line of text. What the system log does not take is lost.
    pub(super) fn send(&mut self, pattern: &str, line: &Line<'_>) {
        if matches!(self, Syslog::Null) {
            return;
        }
        for part in line.message.lines() {
            let line = Line { message: part, ..*line };
            let text = format(pattern, &line);
            match self {
                Syslog::Null => {}
                Syslog::Local { path, socket, libc } => {
                    let header = if *libc { "<%B>%d{%h %e %T} " } else { PREFIX };
                    let tag = if *libc { format!("{}: ", program::name()) } else { String::new() };
                    let datagram = format!("{}{tag}{text}", format(header, &line));
                    send_local(path, socket, datagram.as_bytes());
                }
                Syslog::Udp(socket, address) => {
                    let datagram = format!("{}{text}", format(PREFIX, &line));
                    let _ = socket.send_to(datagram.as_bytes(), *address);
                }
            }
        }
    }
}

fn send_local(path: &str, socket: &mut Option<UnixDatagram>, datagram: &[u8]) {
    // The second try is for a system log that was restarted.
    for _ in 0..2 {
        if socket.is_none() {
            *socket = UnixDatagram::unbound().ok().filter(|new| {
                let _ = new.set_nonblocking(true);
                new.connect(path).is_ok()
            });
        }
        match socket.as_ref().map(|connected| connected.send(datagram)) {
            Some(Err(error)) if error.kind() != std::io::ErrorKind::WouldBlock => *socket = None,
            _ => return,
        }
    }
}

/// Facilities by name, in syslog's order of numbers.
const FACILITIES: [&str; 23] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "clock", "ftp", "ntp",
    "audit", "alert", "clock2", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

/// The default facility.
pub(super) const DAEMON: u8 = 3;

/// The number of the facility called `name`.
pub(super) fn facility(name: &str) -> Option<u8> {
    let number = FACILITIES.iter().position(|facility| facility.eq_ignore_ascii_case(name))?;
    // Number 10 has no name here: clock is 9, ftp 11.
    Some(if number >= 10 { number as u8 + 1 } else { number as u8 })
}
