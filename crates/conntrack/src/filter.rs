//! Which connections a flush means: the fields of a direction that have to fit.
//!
//! Where it sits: `dpctl/flush-conntrack`, `ovs-ofctl ct-flush` and OpenFlow's flush message fill a [`TupleMatch`] for
//! each direction and hand [`Conntrack::flush_if`](crate::Conntrack::flush_if) its verdict.
//!
//! Spec: ovs-dpctl(8), "flush-conntrack".

use core::fmt::{self, Display, Formatter};
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use wire::ip;

use crate::tuple::Tuple;

/// Fields of one direction; what is `None` fits anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TupleMatch {
    /// Address family, once an address is given.
    pub is_ipv6: Option<bool>,
    /// Source address.
    pub src: Option<u128>,
    /// Destination address.
    pub dst: Option<u128>,
    /// IP protocol.
    pub proto: Option<u8>,
    /// Source port; of ICMP, the id.
    pub src_port: Option<u16>,
    /// Destination port.
    pub dst_port: Option<u16>,
    /// ICMP type.
    pub icmp_type: Option<u8>,
    /// ICMP code.
    pub icmp_code: Option<u8>,
    /// ICMP id.
    pub icmp_id: Option<u16>,
}

/// Why a text is no tuple; printed in Open vSwitch's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TupleError<'a> {
    /// A field without `=`.
    MissingValue(&'a str),
    /// No field of that name.
    UnknownField(&'a str),
    /// A field's value cannot be read.
    BadValue(&'a str),
    /// Addresses of both families; the value that came second.
    MixedFamilies(&'a str),
    /// A port, but no protocol that has ports.
    PortWithoutProtocol,
    /// ICMP's fields with another protocol, or none.
    InvalidL4,
}

impl Display for TupleError<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            TupleError::MissingValue(key) => write!(f, "field {key} missing value"),
            TupleError::UnknownField(key) => write!(f, "invalid conntrack tuple field: {key}"),
            TupleError::BadValue(key) => write!(f, "failed to parse field {key}"),
            TupleError::MixedFamilies(value) => write!(f, "the L3 protocol does not match {value}"),
            TupleError::PortWithoutProtocol => f.write_str("port is set without protocol"),
            TupleError::InvalidL4 => f.write_str("invalid L4 fields"),
        }
    }
}

impl core::error::Error for TupleError<'_> {}

fn number<T: FromStr>(value: &str) -> Result<Option<T>, TupleErrorAt> {
    // Rust would take a sign.
    if value.starts_with('+') {
        return Err(TupleErrorAt::Value);
    }
    value.parse().map(Some).map_err(|_| TupleErrorAt::Value)
}

/// What went wrong, before the field is named.
enum TupleErrorAt {
    Value,
    Family,
    Unknown,
}

impl TupleMatch {
    /// Reads `ct_nw_src=10.1.1.1,ct_nw_proto=6,ct_tp_dst=80` and its like; an empty text fits anything.
    pub fn parse(text: &str) -> Result<TupleMatch, TupleError<'_>> {
        let mut m = TupleMatch::default();
        for field in text.split([',', ' ', '\t']).filter(|f| !f.is_empty()) {
            let (key, value) = field.split_once('=').ok_or(TupleError::MissingValue(field))?;
            m.set(key, value).map_err(|e| match e {
                TupleErrorAt::Value => TupleError::BadValue(key),
                TupleErrorAt::Family => TupleError::MixedFamilies(value),
                TupleErrorAt::Unknown => TupleError::UnknownField(key),
            })?;
        }
        m.check()?;
        Ok(m)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), TupleErrorAt> {
        match key {
            "ct_nw_src" | "ct_nw_dst" => {
                let addr: Ipv4Addr = value.parse().map_err(|_| TupleErrorAt::Value)?;
                self.set_address(key.ends_with("src"), addr.to_bits().into(), false)?;
            }
            "ct_ipv6_src" | "ct_ipv6_dst" => {
                let addr: Ipv6Addr = value.parse().map_err(|_| TupleErrorAt::Value)?;
                self.set_address(key.ends_with("src"), addr.to_bits(), true)?;
            }
            "ct_nw_proto" => self.proto = number(value)?,
            "ct_tp_src" => self.src_port = number(value)?,
            "ct_tp_dst" => self.dst_port = number(value)?,
            "icmp_type" => self.icmp_type = number(value)?,
            "icmp_code" => self.icmp_code = number(value)?,
            "icmp_id" => self.icmp_id = number(value)?,
            _ => return Err(TupleErrorAt::Unknown),
        }
        Ok(())
    }

    fn set_address(&mut self, is_src: bool, addr: u128, is_ipv6: bool) -> Result<(), TupleErrorAt> {
        if self.is_ipv6.is_some_and(|v6| v6 != is_ipv6) {
            return Err(TupleErrorAt::Family);
        }
        self.is_ipv6 = Some(is_ipv6);
        *(if is_src { &mut self.src } else { &mut self.dst }) = Some(addr);
        Ok(())
    }

    fn check(&self) -> Result<(), TupleError<'static>> {
        let ports = self.src_port.is_some() || self.dst_port.is_some();
        let icmp = self.icmp_type.is_some() || self.icmp_code.is_some() || self.icmp_id.is_some();
        let is_icmp = matches!(self.proto, Some(ip::PROTO_ICMP | ip::PROTO_ICMPV6));
        if icmp && !is_icmp {
            Err(TupleError::InvalidL4)
        } else if ports && self.proto.is_none_or(|p| p == 0) {
            Err(TupleError::PortWithoutProtocol)
        } else {
            Ok(())
        }
    }

    /// True if `t` has all fields that are given.
    pub fn matches(&self, t: &Tuple) -> bool {
        fn fits<T: PartialEq>(wanted: Option<T>, is: T) -> bool {
            wanted.is_none_or(|w| w == is)
        }
        fits(self.is_ipv6, t.is_ipv6)
            && fits(self.src, t.src)
            && fits(self.dst, t.dst)
            && fits(self.proto, t.proto)
            && fits(self.src_port, t.src_port)
            && fits(self.dst_port, t.dst_port)
            && fits(self.icmp_type, t.icmp_type)
            && fits(self.icmp_code, t.icmp_code)
            && fits(self.icmp_id, t.src_port)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn errors_are_open_vswitchs() {
        let error = |text| TupleMatch::parse(text).unwrap_err().to_string();
        assert_eq!(error("foo"), "field foo missing value");
        assert_eq!(error("ct_nw_src=1"), "failed to parse field ct_nw_src");
        assert_eq!(error("ct_nw_src=10.1.1.1,ct_ipv6_src=fc00::1"), "the L3 protocol does not match fc00::1");
        assert_eq!(error("ct_tp_src=1"), "port is set without protocol");
        assert_eq!(error("ct_nw_proto=17,icmp_type=8"), "invalid L4 fields");
        assert_eq!(error("ct_nw_proto=999"), "failed to parse field ct_nw_proto");
        assert_eq!(error("ct_tp_src=abc,ct_nw_proto=6"), "failed to parse field ct_tp_src");
    }

    #[test]
    fn partial_tuples_fit() {
        let t = Tuple {
            src: 0x0a01_0101,
            dst: 0x0a01_0102,
            src_port: 1,
            dst_port: 2,
            proto: 17,
            ..Tuple::default()
        };
        let fits = |text| TupleMatch::parse(text).unwrap().matches(&t);
        assert!(fits("") && fits("ct_nw_src=10.1.1.1") && fits("ct_nw_proto=17,ct_tp_dst=2"));
        assert!(!fits("ct_nw_dst=10.1.1.1") && !fits("ct_nw_proto=6") && !fits("ct_ipv6_src=::1"));
    }
}
