//! What the switch writes into a `userspace` action to know the packet by when it comes back.
//!
//! Where it sits: translation encodes a cookie, the datapath carries its bytes without looking, the upcall handler
//! decodes them. The bytes are private to the switch.

use alloc::vec::Vec;
use core::fmt;

use packet::OdpPort;
use wire::bytes;

/// Why the switch asked for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// Every packet of the flow is handled by the switch, for [`SlowPath`] reasons.
    SlowPath(SlowPath),
    /// A `controller` action.
    Controller(Controller),
    /// A `sample` action, for flow collectors.
    FlowSample(FlowSample),
}

/// Why a flow cannot be handled in the datapath alone; a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlowPath(pub u16);

impl SlowPath {
    /// CFM packets.
    pub const CFM: u16 = 1;
    /// BFD packets.
    pub const BFD: u16 = 1 << 1;
    /// LACP packets.
    pub const LACP: u16 = 1 << 2;
    /// STP packets.
    pub const STP: u16 = 1 << 3;
    /// LLDP packets.
    pub const LLDP: u16 = 1 << 4;
    /// An action that the datapath does not have.
    pub const ACTION: u16 = 1 << 5;
    /// A match that the datapath cannot express.
    pub const MATCH: u16 = 1 << 6;
    /// Sent to a controller.
    pub const CONTROLLER: u16 = 1 << 7;

    const NAMES: [(u16, &'static str); 8] = [
        (Self::CFM, "cfm"),
        (Self::BFD, "bfd"),
        (Self::LACP, "lacp"),
        (Self::STP, "stp"),
        (Self::LLDP, "lldp"),
        (Self::ACTION, "action"),
        (Self::MATCH, "match"),
        (Self::CONTROLLER, "controller"),
    ];

    /// The reason of a name.
    pub fn named(name: &str) -> Option<SlowPath> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(bit, _)| SlowPath(*bit))
    }
}

impl fmt::Display for SlowPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sep = "";
        for (bit, name) in Self::NAMES {
            if self.0 & bit != 0 {
                write!(f, "{sep}{name}")?;
                sep = ",";
            }
        }
        Ok(())
    }
}

/// Parameters of a `controller` action, as the packet-in needs them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controller {
    /// OpenFlow's packet-in reason.
    pub reason: u8,
    /// Only for its side effects (statistics).
    pub dont_send: bool,
    /// A continuation is wanted.
    pub continuation: bool,
    /// Names the frozen state of the translation.
    pub recirc_id: u32,
    /// Cookie of the rule.
    pub rule_cookie: u64,
    /// Which controllers are addressed.
    pub controller_id: u16,
    /// Bytes of the packet to send.
    pub max_len: u16,
}

/// Parameters of a `sample` action, as flow collectors are told them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowSample {
    /// How many of 65535 packets are sampled.
    pub probability: u16,
    /// The collectors.
    pub collector_set_id: u32,
    /// The observation domain.
    pub obs_domain_id: u32,
    /// The observation point.
    pub obs_point_id: u32,
    /// The port that the packet is said to leave by; `NONE`: it comes in.
    pub output_port: OdpPort,
    /// On which side of the switch the sample is said to be taken.
    pub side: SampleSide,
}

/// On which side of the switch a [`FlowSample`] is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum SampleSide {
    /// As the port tells.
    #[default]
    Unsaid = 0,
    /// Coming in.
    Ingress = 1,
    /// Going out.
    Egress = 2,
}

impl SampleSide {
    fn from_number(number: u8) -> Option<SampleSide> {
        [SampleSide::Unsaid, SampleSide::Ingress, SampleSide::Egress].into_iter().find(|s| *s as u8 == number)
    }
}

impl Cookie {
    /// The bytes that go into `userdata`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Cookie::SlowPath(reasons) => {
                out.push(1);
                out.extend_from_slice(&reasons.0.to_be_bytes());
            }
            Cookie::Controller(c) => {
                out.push(2);
                out.push(c.reason);
                out.push(u8::from(c.dont_send) | u8::from(c.continuation) << 1);
                out.extend_from_slice(&c.recirc_id.to_be_bytes());
                out.extend_from_slice(&c.rule_cookie.to_be_bytes());
                out.extend_from_slice(&c.controller_id.to_be_bytes());
                out.extend_from_slice(&c.max_len.to_be_bytes());
            }
            Cookie::FlowSample(s) => {
                out.push(3);
                out.push(s.side as u8);
                out.extend_from_slice(&s.probability.to_be_bytes());
                let words = [s.collector_set_id, s.obs_domain_id, s.obs_point_id, s.output_port.0];
                words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
            }
        }
        out
    }

    /// What was encoded; `None` for bytes of another origin.
    pub fn decode(data: &[u8]) -> Option<Cookie> {
        match (data.first()?, data.len()) {
            (1, 3) => Some(Cookie::SlowPath(SlowPath(bytes::u16_at(data, 1)?))),
            (2, 19) => {
                let flags = bytes::u8_at(data, 2)?;
                Some(Cookie::Controller(Controller {
                    reason: bytes::u8_at(data, 1)?,
                    dont_send: flags & 1 != 0,
                    continuation: flags & 2 != 0,
                    recirc_id: bytes::u32_at(data, 3)?,
                    rule_cookie: bytes::u64_at(data, 7)?,
                    controller_id: bytes::u16_at(data, 15)?,
                    max_len: bytes::u16_at(data, 17)?,
                }))
            }
            (3, 20) => Some(Cookie::FlowSample(FlowSample {
                side: SampleSide::from_number(bytes::u8_at(data, 1)?)?,
                probability: bytes::u16_at(data, 2)?,
                collector_set_id: bytes::u32_at(data, 4)?,
                obs_domain_id: bytes::u32_at(data, 8)?,
                obs_point_id: bytes::u32_at(data, 12)?,
                output_port: OdpPort(bytes::u32_at(data, 16)?),
            })),
            _ => None,
        }
    }
}

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cookie::SlowPath(reasons) => write!(f, "slow_path({reasons})"),
            Cookie::Controller(c) => write!(
                f,
                "controller(reason={},dont_send={},continuation={},recirc_id={},rule_cookie={},controller_id={},max_len={})",
                c.reason,
                u8::from(c.dont_send),
                u8::from(c.continuation),
                c.recirc_id,
                Cookie64(c.rule_cookie),
                c.controller_id,
                c.max_len
            ),
            Cookie::FlowSample(s) => write!(
                f,
                "flow_sample(probability={},collector_set_id={},obs_domain_id={},obs_point_id={},output_port={}{})",
                s.probability,
                s.collector_set_id,
                s.obs_domain_id,
                s.obs_point_id,
                s.output_port,
                match s.side {
                    SampleSide::Unsaid => "",
                    SampleSide::Ingress => ",ingress",
                    SampleSide::Egress => ",egress",
                }
            ),
        }
    }
}

/// A cookie in hexadecimal; zero is bare.
struct Cookie64(u64);

impl fmt::Display for Cookie64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("0") } else { write!(f, "{:#x}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_trip() {
        let c = Controller {
            reason: 1,
            continuation: true,
            rule_cookie: 7,
            max_len: 65535,
            ..Default::default()
        };
        let sample = |side| {
            Cookie::FlowSample(FlowSample {
                probability: 1,
                collector_set_id: 2,
                obs_domain_id: 3,
                obs_point_id: 4,
                output_port: OdpPort(5),
                side,
            })
        };
        for cookie in [
            Cookie::Controller(c),
            Cookie::SlowPath(SlowPath(SlowPath::ACTION)),
            sample(SampleSide::Unsaid),
            sample(SampleSide::Ingress),
            sample(SampleSide::Egress),
        ] {
            assert_eq!(Cookie::decode(&cookie.encode()), Some(cookie));
        }
        assert_eq!(Cookie::decode(&[9, 9]), None);
        let mut no_side = sample(SampleSide::Egress).encode();
        no_side[1] = 3;
        assert_eq!(Cookie::decode(&no_side), None);
    }
}
