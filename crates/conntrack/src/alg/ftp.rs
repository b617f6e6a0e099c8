//! What the control channel of FTP announces: where a data connection will come to.
//!
//! Where it sits: read by `alg.rs` of each segment of a control connection. Pure text; total.
//!
//! Spec: RFC 959 (`PORT`, reply 227), RFC 2428 (`EPRT`, reply 229).

use core::fmt::Write;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::ops::Range;

use crate::tcp::Side;

/// Bytes of a segment that are looked at.
const LINE: usize = 256;
/// Bytes of an announcement's text at most.
pub const MAX_TEXT: usize = 64;

/// How an address is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `h1,h2,h3,h4,p1,p2`.
    Numbers,
    /// `|1|address|port|`, between any character.
    Extended(u8),
    /// `|||port|`.
    PortOnly(u8),
}

/// Where a data connection will come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// Which bytes of the payload say so.
    pub text: Range<usize>,
    pub form: Form,
    /// The address, unless it is that of the control connection.
    pub address: Option<u128>,
    pub port: u16,
}

/// Reads the announcement that `payload` begins with, as sent by `side` of a control connection: its client sends
/// commands, its server replies.
pub(crate) fn announced(payload: &[u8], side: Side, is_ipv6: bool) -> Option<Announcement> {
    let line = payload.get(..payload.len().min(LINE))?;
    // A line that goes on in another segment tells too little.
    let end = line.iter().position(|b| *b == b'\n')?;
    let line = line.get(..end)?;
    let (from, extended) = match side {
        Side::Orig if starts(line, b"PORT ") => (5, false),
        Side::Orig if starts(line, b"EPRT ") => (5, true),
        Side::Reply if starts(line, b"227 ") => {
            (4 + line.get(4..)?.iter().position(u8::is_ascii_digit)?, false)
        }
        Side::Reply if starts(line, b"229 ") => {
            (4 + line.get(4..)?.iter().position(|b| *b == b'(')? + 1, true)
        }
        _ => return None,
    };
    let text = line.get(from..)?;
    if !extended {
        return if is_ipv6 { None } else { numbers(text, from) };
    }
    let delimiter = *text.first().filter(|d| (33..=126).contains(*d) && !d.is_ascii_digit())?;
    let mut fields = text.get(1..)?.split(|b| *b == delimiter);
    let (family, address, port) = (fields.next()?, fields.next()?, fields.next()?);
    // The text ends behind the delimiter that follows the port.
    fields.next()?;
    let len = 4 + family.len() + address.len() + port.len();
    let (form, address) = match (side, family, address) {
        (Side::Orig, b"1", a) if !is_ipv6 => {
            (Form::Extended(delimiter), Some(parse::<Ipv4Addr>(a)?.to_bits().into()))
        }
        (Side::Orig, b"2", a) if is_ipv6 => {
            (Form::Extended(delimiter), Some(parse::<Ipv6Addr>(a)?.to_bits()))
        }
        (Side::Reply, b"", b"") => (Form::PortOnly(delimiter), None),
        _ => return None,
    };
    let port = parse::<u16>(port).filter(|p| *p != 0)?;
    Some(Announcement { text: from..from + len, form, address, port })
}

fn starts(line: &[u8], word: &[u8]) -> bool {
    line.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

fn parse<T: core::str::FromStr>(text: &[u8]) -> Option<T> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// Six numbers with commas between them; what follows is not looked at.
fn numbers(text: &[u8], from: usize) -> Option<Announcement> {
    let (mut values, mut at) = ([0u8; 6], 0);
    for (n, value) in values.iter_mut().enumerate() {
        if n > 0 {
            (text.get(at) == Some(&b',')).then_some(())?;
            at += 1;
        }
        let rest = text.get(at..)?;
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        *value = parse(rest.get(..digits)?)?;
        at += digits;
    }
    let [a, b, c, d, high, low] = values;
    let port = u16::from_be_bytes([high, low]);
    let address = Some(u32::from_be_bytes([a, b, c, d]).into());
    (port != 0).then_some(Announcement { text: from..from + at, form: Form::Numbers, address, port })
}

/// Text of fixed size.
struct Text {
    bytes: [u8; MAX_TEXT],
    len: usize,
}

impl Write for Text {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        let to = self.bytes.get_mut(self.len..).and_then(|b| b.get_mut(..s.len()));
        to.ok_or(core::fmt::Error)?.copy_from_slice(s.as_bytes());
        self.len += s.len();
        Ok(())
    }
}

/// The text that announces `address` and `port`, and how long it is.
pub(crate) fn written(
    form: Form,
    address: u128,
    port: u16,
    is_ipv6: bool,
) -> Option<([u8; MAX_TEXT], usize)> {
    let mut text = Text { bytes: [0; MAX_TEXT], len: 0 };
    let v4 = address as u32;
    let done = match form {
        Form::Numbers => {
            let ([a, b, c, d], [high, low]) = (v4.to_be_bytes(), port.to_be_bytes());
            write!(text, "{a},{b},{c},{d},{high},{low}")
        }
        Form::Extended(d) if is_ipv6 => {
            let d = char::from(d);
            write!(text, "{d}2{d}{}{d}{port}{d}", Ipv6Addr::from_bits(address))
        }
        Form::Extended(d) => {
            let d = char::from(d);
            write!(text, "{d}1{d}{}{d}{port}{d}", Ipv4Addr::from_bits(v4))
        }
        Form::PortOnly(d) => {
            let d = char::from(d);
            write!(text, "{d}{d}{d}{port}{d}")
        }
    };
    done.ok().map(|()| (text.bytes, text.len))
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};

    use proptest::prelude::*;

    use super::*;

    fn read(side: Side, is_ipv6: bool, line: &str) -> Option<(String, u16)> {
        let a = announced(line.as_bytes(), side, is_ipv6)?;
        // What is written again says the same.
        let (text, len) = written(a.form, a.address.unwrap_or(0), a.port, is_ipv6).unwrap();
        assert_eq!(&text[..len], &line.as_bytes()[a.text.clone()], "{line}");
        let address = match a.address {
            None => String::from("-"),
            Some(a) if is_ipv6 => Ipv6Addr::from_bits(a).to_string(),
            Some(a) => Ipv4Addr::from_bits(a as u32).to_string(),
        };
        Some((address, a.port))
    }

    #[test]
    fn commands_and_replies_are_read() {
        let (command, reply) = (Side::Orig, Side::Reply);
        let some = |address: &str, port| Some((String::from(address), port));
        assert_eq!(read(command, false, "PORT 10,0,0,1,20,1\r\n"), some("10.0.0.1", 5121));
        assert_eq!(read(command, false, "port 10,0,0,1,0,21\n"), some("10.0.0.1", 21));
        assert_eq!(
            read(reply, false, "227 Entering Passive Mode (10,0,0,2,30,5).\r\n"),
            some("10.0.0.2", 7685)
        );
        assert_eq!(read(reply, false, "227 =10,0,0,2,30,5\r\n"), some("10.0.0.2", 7685));
        assert_eq!(read(command, false, "EPRT |1|10.0.0.1|5282|\r\n"), some("10.0.0.1", 5282));
        assert_eq!(read(command, true, "EPRT !2!fc00::1!5282!\r\n"), some("fc00::1", 5282));
        assert_eq!(read(reply, true, "229 Extended Passive Mode (|||7685|)\r\n"), some("-", 7685));
    }

    #[test]
    fn others_are_not() {
        for line in [
            "PORT 10,0,0,1,20,1",
            "PORT 10,0,0,1,20\r\n",
            "PORT 10,0,0,256,20,1\r\n",
            "PORT 10,0,0,1,0,0\r\n",
            "USER PORT 1,2,3,4,5,6\r\n",
            "EPRT |2|fc00::1|5282|\r\n",
            "EPRT |1|10.0.0.1|0|\r\n",
            "EPRT |1|10.0.0.1|5282\r\n",
            "EPRT 111\r\n",
            "EPRT |1|10.0.0.1|99999|\r\n",
            "227 1,2,3,4,5,6\r\n",
            "\r\n",
            "",
        ] {
            assert_eq!(announced(line.as_bytes(), Side::Orig, false), None, "{line}");
        }
        assert_eq!(announced(b"PORT 1,2,3,4,5,6\r\n", Side::Reply, false), None);
        assert_eq!(announced(b"PORT 1,2,3,4,5,6\r\n", Side::Orig, true), None);
        assert_eq!(announced(b"229 ok (|1|1.2.3.4|5|)\r\n", Side::Reply, false), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(
            start in prop::sample::select(&["PORT ", "EPRT |", "227 (", "229 (|||", ""][..]),
            rest in prop::collection::vec(any::<u8>(), 0..80), reply: bool, is_ipv6: bool
        ) {
            let mut line = start.as_bytes().to_vec();
            line.extend(rest);
            line.push(b'\n');
            let side = if reply { Side::Reply } else { Side::Orig };
            if let Some(a) = announced(&line, side, is_ipv6) {
                prop_assert!(a.text.end < line.len() && a.port != 0);
            }
        }
    }
}
