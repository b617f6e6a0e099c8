//! Names of connections: `unix:FILE`, `tcp:HOST[:PORT]`, `ssl:HOST[:PORT]`, `punix:FILE`, `ptcp:[PORT][:HOST]`, `pssl:[PORT][:HOST]`.
//!
//! Where it sits: parsed from command lines and database rows; `socket` connects to and listens on the parsed forms.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::dirs;

/// The port of database connections whose name gives none.
pub const OVSDB_PORT: u16 = 6640;
/// The port of OpenFlow connections whose name gives none.
pub const OPENFLOW_PORT: u16 = 6653;

/// Where an active connection goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Active {
    /// A socket file.
    Unix(PathBuf),
    /// A host (an address or a name to resolve) and a port.
    Tcp(String, u16),
    /// The same, encrypted.
    Tls(String, u16),
}

/// Where a passive connection listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passive {
    /// A socket file.
    Unix(PathBuf),
    /// An address to bind, every IPv4 address if none, and a port, which the kernel chooses if 0.
    Tcp(Option<IpAddr>, u16),
    /// The same, encrypted.
    Tls(Option<IpAddr>, u16),
}

/// Why a name is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No such kind of connection.
    #[error("Address family not supported by protocol")]
    UnknownMethod,
    /// A port that is no number from 0 to 65535.
    #[error("bad port number \"{0}\"")]
    BadPort(String),
    /// Nothing before the port.
    #[error("host must be specified")]
    NoHost,
    /// An address that is none.
    #[error("bad IP address \"{0}\"")]
    BadAddress(String),
    /// Brackets around no IPv6 address, or text after them.
    #[error("bad bracketed address")]
    BadBrackets,
}

impl From<NameError> for io::Error {
    /// The errno that Open vSwitch's tools report for such a name.
    fn from(_: NameError) -> io::Error {
        Errno::AFNOSUPPORT.into()
    }
}

/// Whether `name` has the form of an active name, whatever follows the colon.
pub fn is_active(name: &str) -> bool {
    matches!(name.split_once(':'), Some(("unix" | "tcp" | "ssl", _)))
}

/// Whether `name` has the form of a passive name, whatever follows the colon.
pub fn is_passive(name: &str) -> bool {
    matches!(name.split_once(':'), Some(("punix" | "ptcp" | "pssl", _)))
}

/// Whether a peer by this name can go away without the kernel's telling: not where both ends are in one machine.
pub fn needs_probes(name: &str) -> bool {
    !matches!(name.split_once(':'), Some(("unix" | "punix", _)))
}

impl Active {
    /// Parses an active name; `default_port` is for TCP names without one.
    pub fn parse(name: &str, default_port: u16) -> Result<Active, NameError> {
        match name.split_once(':') {
            Some(("unix", path)) => Ok(Active::Unix(dirs::in_folder(dirs::rundir(), path))),
            Some((method @ ("tcp" | "ssl"), target)) => {
                let (host, port) = split_host_port(target)?;
                if host.is_empty() {
                    return Err(NameError::NoHost);
                }
                let port = port.map_or(Ok(default_port), parse_port)?;
                let host = host.to_owned();
                Ok(if method == "ssl" { Active::Tls(host, port) } else { Active::Tcp(host, port) })
            }
            _ => Err(NameError::UnknownMethod),
        }
    }
}

impl Passive {
    /// Parses a passive name; `default_port` is for `ptcp:` names without one.
    pub fn parse(name: &str, default_port: u16) -> Result<Passive, NameError> {
        match name.split_once(':') {
            Some(("punix", path)) => Ok(Passive::Unix(dirs::in_folder(dirs::rundir(), path))),
            Some((method @ ("ptcp" | "pssl"), target)) => {
                let (port, host) = target.split_once(':').unwrap_or((target, ""));
                let port = if port.is_empty() { default_port } else { parse_port(port)? };
                let host = parse_bind_address(host)?;
                Ok(if method == "pssl" { Passive::Tls(host, port) } else { Passive::Tcp(host, port) })
            }
            _ => Err(NameError::UnknownMethod),
        }
    }
}

/// Splits `HOST[:PORT]`, where an IPv6 address stands in brackets, or bare if no port follows.
fn split_host_port(target: &str) -> Result<(&str, Option<&str>), NameError> {
    if let Some(rest) = target.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(NameError::BadBrackets)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(NameError::BadBrackets),
        };
    }
    match target.split_once(':') {
        Some((_, rest)) if rest.contains(':') => Ok((target, None)),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((target, None)),
    }
}

fn parse_port(text: &str) -> Result<u16, NameError> {
    match text.parse() {
        Ok(port) if text.bytes().all(|c| c.is_ascii_digit()) => Ok(port),
        _ => Err(NameError::BadPort(text.to_owned())),
    }
}

fn parse_bind_address(host: &str) -> Result<Option<IpAddr>, NameError> {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or(NameError::BadBrackets)?,
        None => host,
    };
    if bare.is_empty() {
        return Ok(None);
    }
    bare.parse().map(Some).map_err(|_| NameError::BadAddress(host.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_names() {
        let tcp = |host: &str, port| Ok(Active::Tcp(host.to_owned(), port));
        let table = [
            ("tcp:127.0.0.1:1", tcp("127.0.0.1", 1)),
            ("tcp:127.0.0.1", tcp("127.0.0.1", 6640)),
            ("tcp:[::1]:99", tcp("::1", 99)),
            ("tcp:[::1]", tcp("::1", 6640)),
            ("tcp:::1", tcp("::1", 6640)),
            ("tcp:[fe80::1%lo]:1", tcp("fe80::1%lo", 1)),
            ("tcp:example.org:1", tcp("example.org", 1)),
            ("unix:/a/b", Ok(Active::Unix("/a/b".into()))),
            ("tcp:", Err(NameError::NoHost)),
            ("tcp::1", Err(NameError::NoHost)),
            ("tcp:h:x", Err(NameError::BadPort("x".into()))),
            ("tcp:h:99999", Err(NameError::BadPort("99999".into()))),
            ("tcp:h:+1", Err(NameError::BadPort("+1".into()))),
            ("tcp:[::1", Err(NameError::BadBrackets)),
            ("tcp:[::1]x", Err(NameError::BadBrackets)),
            ("ssl:h:1", Ok(Active::Tls("h".into(), 1))),
            ("foo:bar", Err(NameError::UnknownMethod)),
            ("foo", Err(NameError::UnknownMethod)),
            ("punix:x", Err(NameError::UnknownMethod)),
        ];
        for (name, expected) in table {
            assert_eq!(Active::parse(name, OVSDB_PORT), expected, "{name}");
        }
    }

    #[test]
    fn passive_names() {
        let tcp = |host: Option<&str>, port| Ok(Passive::Tcp(host.map(|h| h.parse().unwrap()), port));
        let table = [
            ("ptcp:", tcp(None, 6653)),
            ("ptcp:0", tcp(None, 0)),
            ("ptcp:1:127.0.0.1", tcp(Some("127.0.0.1"), 1)),
            ("ptcp:1:[::1]", tcp(Some("::1"), 1)),
            ("ptcp:1:::1", tcp(Some("::1"), 1)),
            ("ptcp::127.0.0.1", tcp(Some("127.0.0.1"), 6653)),
            ("punix:/a", Ok(Passive::Unix("/a".into()))),
            ("ptcp:x", Err(NameError::BadPort("x".into()))),
            ("ptcp:1:foo", Err(NameError::BadAddress("foo".into()))),
            ("pssl:1", Ok(Passive::Tls(None, 1))),
            ("pfoo:1", Err(NameError::UnknownMethod)),
        ];
        for (name, expected) in table {
            assert_eq!(Passive::parse(name, OPENFLOW_PORT), expected, "{name}");
        }
    }
}
