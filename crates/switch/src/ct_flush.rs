//! Connections that controllers have forgotten: NXT_CT_FLUSH and NXT_CT_FLUSH_ZONE.
//!
//! Where it sits: `requests.rs` hands the messages in; the connections are the datapath's.
//!
//! Spec: ovs-ofctl(8), "ct-flush".

use conntrack::{Entry, Tuple};
use openflow::msg::{CtFlush, CtTuple};
use packet::Now;

use crate::core::Switch;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

impl Switch {
    /// Forgets the connections of a zone.
    pub(crate) fn flush_zone(&self, zone: u16, now: Now) {
        self.dpif.flush_connections(now, Some(zone));
    }

    /// Forgets the connections that a message describes.
    pub(crate) fn flush_connections(&self, what: &CtFlush, now: Now) {
        self.dpif.flush_connections_if(now, &|entry| is_meant(what, entry));
    }
}

fn is_meant(what: &CtFlush, e: &Entry) -> bool {
    what.zone.is_none_or(|zone| zone == e.orig.zone)
        && what.mark.is_none_or(|(value, mask)| (value ^ e.mark) & mask == 0)
        && what.labels.is_none_or(|(value, mask)| (value ^ e.label) & mask == 0)
        && (what.protocol == 0 || what.protocol == e.orig.proto)
        && fits(&what.orig, &e.orig)
        && fits(&what.reply, &e.reply)
}

/// True if everything that `what` says of a direction is so; what is zero says nothing.
fn fits(what: &CtTuple, tuple: &Tuple) -> bool {
    let address = |wanted: std::net::Ipv6Addr, is: u128| {
        let (number, is_ipv6) = match wanted.to_ipv4_mapped() {
            Some(v4) => (u128::from(u32::from(v4)), false),
            None => (u128::from(wanted), true),
        };
        wanted.is_unspecified() || is_ipv6 == tuple.is_ipv6 && number == is
    };
    let number = |wanted: u16, is: u16| wanted == 0 || wanted == is;
    let ports = match tuple.proto {
        ICMP | ICMPV6 => {
            let (kind, code) = (what.icmp_type(), what.icmp_code());
            (what.dst_port == 0 || kind == tuple.icmp_type && code == tuple.icmp_code)
                && number(what.src_port, tuple.src_port)
        }
        _ => number(what.src_port, tuple.src_port) && number(what.dst_port, tuple.dst_port),
    };
    address(what.src, tuple.src) && address(what.dst, tuple.dst) && ports
}
