//! Connections as `dpctl/dump-conntrack` prints them, and the tuples that `dpctl/flush-conntrack` reads.
//!
//! Where it sits: over [`Entry`], which is a copy; called by the commands of ovs-vswitchd and ovs-dpctl.
//!
//! ~~~text
//! tcp,orig=(src=10.1.1.1,dst=10.1.1.2,sport=1,dport=2),reply=(…),zone=1,timeout=29,mark=5,protoinfo=(state=SYN_SENT)
//! ~~~
//!
//! Spec: ovs-dpctl(8), "Connection tracking table commands".

use core::fmt::{self, Display, Formatter};
use core::net::{Ipv4Addr, Ipv6Addr};

use wire::ip;

use crate::alg::Expectation;
use crate::entry::{Counters, Entry, TcpInfo, TcpState};
use crate::tuple::Tuple;

/// How much of an entry is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// `--more`: ids, and both ends' states.
    pub more: Extent,
    /// `--statistics`: packets, bytes, times.
    pub statistics: Extent,
}

/// Whether a part is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// It is left out.
    #[default]
    Brief,
    /// It is printed.
    Full,
}

/// An entry to be printed.
#[derive(Clone, Copy, Debug)]
pub struct EntryText<'a>(pub &'a Entry, pub Detail);

impl Display for Entry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        EntryText(self, Detail::default()).fmt(f)
    }
}

impl Display for EntryText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let EntryText(e, detail) = self;
        let (more, statistics) = (detail.more == Extent::Full, detail.statistics == Extent::Full);
        protocol(f, e.orig.proto)?;
        for (name, tuple, counters) in
            [("orig", &e.orig, e.orig_counters), ("reply", &e.reply, e.reply_counters)]
        {
            write!(f, ",{name}=({}", Addresses(tuple))?;
            if statistics {
                write_counters(f, counters)?;
            }
            f.write_str(")")?;
        }
        if statistics {
            write_time(f, "start", e.start_ms)?;
            write_time(f, "stop", e.stop_ms)?;
        }
        if more {
            f.write_str(",id=0")?;
        }
        if e.orig.zone != 0 {
            write!(f, ",zone={}", e.orig.zone)?;
        }
        if more {
            f.write_str(",status=0")?;
        }
        if statistics {
            write!(f, ",timeout={}", e.timeout.as_secs())?;
        }
        if e.mark != 0 {
            write!(f, ",mark={}", e.mark)?;
        }
        if e.label != 0 {
            write!(f, ",labels={:#x}", e.label)?;
        }
        if let Some(tcp) = &e.tcp {
            write_tcp(f, tcp, detail.more)?;
        }
        if let Some(alg) = e.alg {
            write!(f, ",helper={}", alg.name())?;
        }
        if let Some(parent) = e.parent.as_ref().filter(|_| more) {
            write!(f, ",parent=({})", Addresses(parent))?;
        }
        Ok(())
    }
}

impl Display for Expectation {
    /// As `dpctl/dump-conntrack-exp` lists it.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        protocol(f, self.tuple.proto)?;
        write!(f, ",orig=({})", Addresses(&self.tuple))?;
        if self.tuple.zone != 0 {
            write!(f, ",zone={}", self.tuple.zone)?;
        }
        if self.mark != 0 {
            write!(f, ",mark={}", self.mark)?;
        }
        if self.label != 0 {
            write!(f, ",labels={:#x}", self.label)?;
        }
        write!(f, ",parent=({})", Addresses(&self.parent))
    }
}

/// The protocol's name where it has one.
fn protocol(f: &mut Formatter<'_>, proto: u8) -> fmt::Result {
    match protocol_name(proto) {
        Some(name) => f.write_str(name),
        None => write!(f, "{proto}"),
    }
}

/// The name under which dumps and statistics show a protocol.
pub(crate) const fn protocol_name(proto: u8) -> Option<&'static str> {
    Some(match proto {
        ip::PROTO_ICMP => "icmp",
        ip::PROTO_ICMPV6 => "icmpv6",
        ip::PROTO_TCP => "tcp",
        ip::PROTO_UDP => "udp",
        ip::PROTO_SCTP => "sctp",
        ip::PROTO_UDPLITE => "udplite",
        33 => "dccp",
        ip::PROTO_IGMP => "igmp",
        _ => return None,
    })
}

/// What is within a tuple's parentheses.
struct Addresses<'a>(&'a Tuple);

impl Display for Addresses<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let t = self.0;
        if t.is_ipv6 {
            write!(f, "src={},dst={}", Ipv6Addr::from_bits(t.src), Ipv6Addr::from_bits(t.dst))?;
        } else {
            let v4 = |a: u128| Ipv4Addr::from_bits(a as u32);
            write!(f, "src={},dst={}", v4(t.src), v4(t.dst))?;
        }
        if t.is_icmp() {
            write!(f, ",id={},type={},code={}", t.src_port, t.icmp_type, t.icmp_code)
        } else {
            write!(f, ",sport={},dport={}", t.src_port, t.dst_port)
        }
    }
}

fn write_counters(f: &mut Formatter<'_>, c: Counters) -> fmt::Result {
    if c.packets == 0 && c.bytes == 0 {
        return Ok(());
    }
    write!(f, ",packets={},bytes={}", c.packets, c.bytes)
}

/// A time of day in UTC, to the millisecond; nothing for zero.
fn write_time(f: &mut Formatter<'_>, name: &str, ms: u64) -> fmt::Result {
    if ms == 0 {
        return Ok(());
    }
    let (year, month, day) = civil(ms / 86_400_000);
    let (h, m, s) = (ms / 3_600_000 % 24, ms / 60_000 % 60, ms / 1000 % 60);
    write!(f, ",{name}={year}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}", ms % 1000)
}

/// The Gregorian date of a day, counted from 1970-01-01. Years begin in March, so that leap days come last.
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + carry, month, day)
}

/// One name for both ends.
pub(crate) fn coarse(tcp: &TcpInfo) -> &'static str {
    match tcp.state_orig.max(tcp.state_reply) {
        TcpState::Closed | TcpState::Listen => "CLOSED",
        TcpState::SynSent | TcpState::SynRecv => "SYN_SENT",
        TcpState::Established => "ESTABLISHED",
        TcpState::CloseWait | TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck => "CLOSING",
        TcpState::FinWait2 | TcpState::TimeWait => "TIME_WAIT",
    }
}

fn write_tcp(f: &mut Formatter<'_>, tcp: &TcpInfo, more: Extent) -> fmt::Result {
    if more == Extent::Brief {
        return write!(f, ",protoinfo=(state={})", coarse(tcp));
    }
    write!(f, ",protoinfo=(state_orig={},state_reply={}", tcp.state_orig.name(), tcp.state_reply.name())?;
    if tcp.wscale_orig.is_some() || tcp.wscale_reply.is_some() {
        let shift = |s: Option<u8>| s.unwrap_or(0);
        write!(f, ",wscale_orig={},wscale_reply={}", shift(tcp.wscale_orig), shift(tcp.wscale_reply))?;
    }
    let flags = |scale: Option<u8>| match (scale, tcp.mid_stream) {
        (Some(_), _) => "WINDOW_SCALE",
        (None, true) => "BE_LIBERAL",
        (None, false) => "0",
    };
    write!(f, ",flags_orig={},flags_reply={})", flags(tcp.wscale_orig), flags(tcp.wscale_reply))
}

/// Connections by protocol, as `dpctl/ct-stats-show` prints them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProtocolCounts {
    total: u32,
    tcp: u32,
    udp: u32,
    sctp: u32,
    icmp: u32,
    other: u32,
    /// TCP's, by the coarse state.
    states: [u32; TCP_STATES.len()],
}

const TCP_STATES: [&str; 5] = ["CLOSED", "SYN_SENT", "ESTABLISHED", "CLOSING", "TIME_WAIT"];

impl ProtocolCounts {
    /// Counts one.
    pub fn add(&mut self, e: &Entry) {
        let count = match e.orig.proto {
            ip::PROTO_TCP => &mut self.tcp,
            ip::PROTO_UDP => &mut self.udp,
            ip::PROTO_ICMP | ip::PROTO_ICMPV6 => &mut self.icmp,
            ip::PROTO_SCTP => &mut self.sctp,
            _ => &mut self.other,
        };
        *count += 1;
        self.total += 1;
        if let Some(tcp) = &e.tcp {
            let at = TCP_STATES.iter().position(|&s| s == coarse(tcp));
            if let Some(n) = at.and_then(|at| self.states.get_mut(at)) {
                *n += 1;
            }
        }
    }

    /// Prints what was counted; with [`Extent::Full`] also TCP's states.
    pub fn write(&self, out: &mut impl fmt::Write, more: Extent) -> fmt::Result {
        writeln!(out, "Connections Stats:\n    Total: {}", self.total)?;
        if self.tcp != 0 {
            writeln!(out, "  TCP: {}", self.tcp)?;
            if more == Extent::Full {
                writeln!(out, "    Conn per TCP states:")?;
                for (name, n) in TCP_STATES.iter().zip(self.states).filter(|(_, n)| *n != 0) {
                    writeln!(out, "\t  [{name}]={n}")?;
                }
            }
        }
        for (name, n) in [("UDP", self.udp), ("SCTP", self.sctp), ("ICMP", self.icmp), ("Other", self.other)]
        {
            if n != 0 {
                writeln!(out, "  {name}: {n}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};

    use super::*;

    const MORE: Detail = Detail { more: Extent::Full, statistics: Extent::Brief };
    const STATS: Detail = Detail { more: Extent::Brief, statistics: Extent::Full };

    fn entry(proto: u8) -> Entry {
        let orig = Tuple {
            src: 0x0a01_0101,
            dst: 0x0a01_0102,
            src_port: 3,
            dst_port: 4,
            zone: 1,
            proto,
            ..Tuple::default()
        };
        let tcp = TcpInfo { state_orig: TcpState::SynSent, wscale_orig: Some(7), ..TcpInfo::default() };
        Entry {
            orig,
            reply: orig.reversed(),
            mark: 5,
            label: 7,
            timeout: core::time::Duration::from_millis(29_999),
            orig_counters: Counters { packets: 1, bytes: 60 },
            start_ms: 951_782_400_123,
            tcp: (proto == 6).then_some(tcp),
            ..Entry::default()
        }
    }

    #[test]
    fn as_open_vswitch_prints() {
        let e = entry(6);
        assert_eq!(
            e.to_string(),
            "tcp,orig=(src=10.1.1.1,dst=10.1.1.2,sport=3,dport=4),reply=(src=10.1.1.2,dst=10.1.1.1,sport=4,dport=3),zone=1,mark=5,labels=0x7,protoinfo=(state=SYN_SENT)"
        );
        assert_eq!(
            EntryText(&e, MORE).to_string(),
            "tcp,orig=(src=10.1.1.1,dst=10.1.1.2,sport=3,dport=4),reply=(src=10.1.1.2,dst=10.1.1.1,sport=4,dport=3),id=0,zone=1,status=0,mark=5,labels=0x7,protoinfo=(state_orig=SYN_SENT,state_reply=CLOSED,wscale_orig=7,wscale_reply=0,flags_orig=WINDOW_SCALE,flags_reply=0)"
        );
        assert_eq!(
            EntryText(&entry(17), STATS).to_string(),
            "udp,orig=(src=10.1.1.1,dst=10.1.1.2,sport=3,dport=4,packets=1,bytes=60),reply=(src=10.1.1.2,dst=10.1.1.1,sport=4,dport=3),start=2000-02-29T00:00:00.123,zone=1,timeout=29,mark=5,labels=0x7"
        );
        let ping = Tuple { icmp_type: 8, src_port: 77, dst_port: 77, zone: 0, ..entry(1).orig };
        assert_eq!(
            Entry { orig: ping, reply: ping.reversed(), ..Entry::default() }.to_string(),
            "icmp,orig=(src=10.1.1.1,dst=10.1.1.2,id=77,type=8,code=0),reply=(src=10.1.1.2,dst=10.1.1.1,id=77,type=0,code=0)"
        );
        assert!(entry(47).to_string().starts_with("47,orig=("));
    }

    #[test]
    fn counts_by_protocol() {
        let mut counts = ProtocolCounts::default();
        [6, 17, 1].iter().for_each(|&p| counts.add(&entry(p)));
        let mut text = String::new();
        counts.write(&mut text, Extent::Full).unwrap();
        assert_eq!(
            text,
            "Connections Stats:\n    Total: 3\n  TCP: 1\n    Conn per TCP states:\n\t  [SYN_SENT]=1\n  UDP: 1\n  ICMP: 1\n"
        );
    }
}
