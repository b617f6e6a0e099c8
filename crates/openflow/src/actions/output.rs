//! Actions that send the packet: output, controller, enqueue, group.
//!
//! Where it sits: the ends of most action lists.
//!
//! `CONTROLLER:len` is the standard output to the port CONTROLLER; whatever more is asked for (`id`, `userdata`, …)
//! takes one of two Nicira actions.

use std::fmt::Write;

use super::check::Checker;
use super::text::{ParseContext, Text, hex_bytes};
use super::wire::{Encoder, Len, Raw, V10, V11_UP, nicira, nicira_in, put_header, standard, zeros};
use super::{Act, Action, Family, Subfield};
use crate::text::{Pairs, TextError, number, text_error, values};
use crate::{Names, OfpError, OfpPort, PutBytes, Version};

/// `output`: to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// The port.
    pub port: OfpPort,
    /// To the controller: how many bytes of the packet; 65535: all.
    pub max_len: u16,
}

/// `output:field`: to the port whose number a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputReg {
    /// Where the number is.
    pub src: Subfield,
    /// To the controller: how many bytes.
    pub max_len: u16,
}

/// `output(port=,max_len=)`: the first bytes of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputTrunc {
    /// The port.
    pub port: OfpPort,
    /// Bytes kept, at least 14.
    pub max_len: u32,
}

/// Why a packet goes to a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketInReason {
    /// No flow matched.
    NoMatch = 0,
    /// A flow's action said so.
    Action = 1,
    /// The TTL is invalid.
    InvalidTtl = 2,
    /// An output in the action set.
    ActionSet = 3,
    /// An output in a group bucket.
    Group = 4,
    /// An output in a packet-out.
    PacketOut = 5,
    /// The table-miss flow, where the version tells it from `NoMatch`.
    ExplicitMiss = 6,
    /// No flow matched, from a table that sends to the controller only by implication.
    ImplicitMiss = 7,
}

impl PacketInReason {
    const NAMES: [(&str, PacketInReason); 6] = [
        ("no_match", PacketInReason::NoMatch),
        ("action", PacketInReason::Action),
        ("invalid_ttl", PacketInReason::InvalidTtl),
        ("action_set", PacketInReason::ActionSet),
        ("group", PacketInReason::Group),
        ("packet_out", PacketInReason::PacketOut),
    ];

    /// Its name in texts.
    pub fn name(self) -> &'static str {
        match self {
            PacketInReason::ExplicitMiss => "explicit_miss",
            PacketInReason::ImplicitMiss => "implicit_miss",
            _ => PacketInReason::NAMES.iter().find(|(_, r)| *r == self).map_or("", |(name, _)| name),
        }
    }

    /// The reason called `name`, of those that OpenFlow has.
    pub fn from_name(name: &str) -> Option<PacketInReason> {
        PacketInReason::NAMES.iter().find(|(n, _)| *n == name).map(|(_, r)| *r)
    }

    /// The reason with this number, of those that OpenFlow has.
    pub fn from_wire(n: u8) -> Option<PacketInReason> {
        PacketInReason::NAMES.iter().map(|(_, r)| *r).find(|r| *r as u8 == n)
    }
}

/// `controller`: to controllers, with everything that can be asked beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// How many bytes of the packet; 65535: all.
    pub max_len: u16,
    /// Which controllers.
    pub controller_id: u16,
    /// The reason to give.
    pub reason: PacketInReason,
    /// Bytes to give back.
    pub userdata: Vec<u8>,
    /// Stop the packet, to be resumed by the controller.
    pub pause: bool,
    /// The meter that limits the rate; zero: none.
    pub meter_id: u32,
    /// It arrived as, and goes out as, the newer of its two wire forms, even if the older would do.
    pub extended: bool,
}

/// `enqueue`: to a queue of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueue {
    /// The port.
    pub port: OfpPort,
    /// The queue.
    pub queue: u32,
}

/// `group`: through a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group(
    /// The group's number.
    pub u32,
);

/// The family's rows.
pub const FAMILY: Family = Family {
    wire: &[
        standard(0, V10, Len::Exact(8), |r| checked(Output { port: r.port16(4), max_len: r.u16(6) })),
        standard(0, V11_UP, Len::Exact(16), |r| {
            checked(Output { port: OfpPort::from_of11(r.u32(4))?, max_len: r.u16(8) })
        }),
        standard(11, V10, Len::Exact(16), |r| Ok(Enqueue { port: r.port16(4), queue: r.u32(12) }.into())),
        standard(22, V11_UP, Len::Exact(8), |r| Ok(Group(r.u32(4)).into())),
        nicira_in(40, V10, Len::Exact(16), |r| Ok(Group(r.u32(12)).into())),
        nicira(15, Len::Exact(24), decode_output_reg),
        nicira(32, Len::Exact(24), decode_output_reg2),
        nicira(39, Len::Exact(16), decode_output_trunc),
        nicira(20, Len::Exact(16), decode_controller),
        nicira(37, Len::AtLeast(16), decode_controller2),
    ],
    text: &[
        Text { name: "output", parse: parse_output },
        Text { name: "controller", parse: parse_controller },
        Text { name: "enqueue", parse: parse_enqueue },
        Text { name: "group", parse: |arg, cx| cx.number32(arg).map(|n| cx.push(Group(n))) },
    ],
};

/// An output to a port that any switch could have.
fn checked(output: Output) -> Result<Action, OfpError> {
    super::check::output_port(output.port, OfpPort::MAX.0)?;
    Ok(output.into())
}

fn decode_output_reg(r: &Raw) -> Result<Action, OfpError> {
    zeros(r.rest(18), OfpError::OFPBAC_BAD_ARGUMENT)?;
    let (src, _) = r.subfield(12, 10)?;
    Ok(OutputReg { src, max_len: r.u16(16) }.into())
}

fn decode_output_reg2(r: &Raw) -> Result<Action, OfpError> {
    let (field, end) = r.field(14)?;
    let src = super::wire::bits_of(field, r.u16(10))?;
    r.zeros(end)?;
    Ok(OutputReg { src, max_len: r.u16(12) }.into())
}

fn decode_output_trunc(r: &Raw) -> Result<Action, OfpError> {
    let trunc = OutputTrunc { port: r.port16(10), max_len: r.u32(12) };
    if trunc.max_len < 14 { Err(OfpError::OFPBAC_BAD_ARGUMENT) } else { Ok(trunc.into()) }
}

fn decode_controller(r: &Raw) -> Result<Action, OfpError> {
    Ok(Controller {
        max_len: r.u16(10),
        controller_id: r.u16(12),
        reason: PacketInReason::from_wire(r.u8(14)).ok_or(OfpError::NXBRC_BAD_REASON)?,
        ..Controller::default()
    }
    .into())
}

fn decode_controller2(r: &Raw) -> Result<Action, OfpError> {
    r.zeros_in(10, 6)?;
    let mut c = Controller { extended: true, ..Controller::default() };
    let mut data = r.rest(16);
    while !data.is_empty() {
        let property = Raw { bytes: data, ..*r };
        let len = usize::from(property.u16(2));
        if len < 4 || len > data.len() {
            return Err(OfpError::OFPBPC_BAD_LEN);
        }
        let exactly = |n: usize| if len == n { Ok(()) } else { Err(OfpError::OFPBPC_BAD_LEN) };
        let at_least = |n: usize| if len >= n { Ok(()) } else { Err(OfpError::OFPBPC_BAD_LEN) };
        match property.u16(0) {
            0 => at_least(6).map(|()| c.max_len = property.u16(4))?,
            1 => at_least(6).map(|()| c.controller_id = property.u16(4))?,
            2 => {
                at_least(5)?;
                c.reason = PacketInReason::from_wire(property.u8(4)).ok_or(OfpError::NXBRC_BAD_REASON)?;
            }
            3 => c.userdata = data.get(4..len).unwrap_or(&[]).to_vec(),
            4 => c.pause = true,
            5 => exactly(8).map(|()| c.meter_id = property.u32(4))?,
            0xffff => return Err(OfpError::OFPBPC_BAD_EXP_TYPE),
            _ => return Err(OfpError::OFPBPC_BAD_TYPE),
        }
        data = data.get(len.next_multiple_of(8)..).unwrap_or(&[]);
    }
    Ok(c.into())
}

impl Act for Output {
    fn name(&self) -> &'static str {
        "output"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        if e.version == Version::V10 {
            e.standard(0, |b| {
                b.put_u16(self.port.to_of10());
                b.put_u16(self.max_len);
            });
        } else {
            e.standard(0, |b| {
                b.put_u32(self.port.0);
                b.put_u16(self.max_len);
                b.put_zeros(6);
            });
        }
        Ok(())
    }

    fn print(&self, out: &mut String, names: &Names) {
        let _ = match self.port.reserved_name() {
            Some(name) if self.port == OfpPort::CONTROLLER => write!(out, "{name}:{}", self.max_len),
            Some(name) => out.write_str(name),
            None => write!(out, "output:{}", names.port(self.port)),
        };
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        cx.output_port(self.port)
    }
}

impl Act for OutputReg {
    fn name(&self) -> &'static str {
        "output_reg"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        match crate::matches::oxm::header32(self.src.field) {
            Some(header) => e.nicira(15, |b| {
                b.put_u16(self.src.ofs_nbits());
                b.put_u32(header);
                b.put_u16(self.max_len);
                b.put_zeros(6);
            }),
            None => e.nicira_of(32, 24, |b| {
                b.put_u16(self.src.ofs_nbits());
                b.put_u16(self.max_len);
                put_header(self.src.field, b);
            }),
        }
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "output:{}", self.src);
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        self.src.check_src(&cx.m)
    }
}

impl Act for OutputTrunc {
    fn name(&self) -> &'static str {
        "output_trunc"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        e.nicira(39, |b| {
            b.put_u16(self.port.to_of10());
            b.put_u32(self.max_len);
        });
        Ok(())
    }

    fn print(&self, out: &mut String, names: &Names) {
        let _ = write!(out, "output(port={},max_len={})", names.port(self.port), self.max_len);
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        cx.output_port(self.port)
    }
}

impl Default for Controller {
    fn default() -> Controller {
        Controller {
            max_len: u16::MAX,
            controller_id: 0,
            reason: PacketInReason::Action,
            userdata: Vec::new(),
            pause: false,
            meter_id: 0,
            extended: false,
        }
    }
}

impl Controller {
    fn needs_properties(&self) -> bool {
        !self.userdata.is_empty() || self.pause || self.meter_id != 0
    }

    fn put_properties(&self, b: &mut Vec<u8>) {
        let mut property = |kind: u16, body: &[u8]| {
            let start = b.len();
            b.put_u16(kind);
            b.put_u16(4 + body.len() as u16);
            b.extend_from_slice(body);
            b.pad8(start);
        };
        let padded = |n: u16| [n.to_be_bytes(), [0, 0]].concat();
        if self.max_len != u16::MAX {
            property(0, &padded(self.max_len));
        }
        if self.controller_id != 0 {
            property(1, &padded(self.controller_id));
        }
        if self.reason != PacketInReason::Action {
            property(2, &[self.reason as u8]);
        }
        if !self.userdata.is_empty() {
            property(3, &self.userdata);
        }
        if self.pause {
            property(4, &[]);
        }
        if self.meter_id != 0 {
            property(5, &self.meter_id.to_be_bytes());
        }
    }
}

impl Act for Controller {
    fn name(&self) -> &'static str {
        "controller"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        if self.userdata.len() > 60_000 {
            return Err(OfpError::OFPBAC_BAD_LEN);
        }
        if self.extended || self.needs_properties() {
            e.nicira(37, |b| {
                b.put_zeros(6);
                self.put_properties(b);
            });
        } else {
            e.nicira(20, |b| {
                b.put_u16(self.max_len);
                b.put_u16(self.controller_id);
                b.put_u8(self.reason as u8);
                b.put_u8(0);
            });
        }
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        if self.reason == PacketInReason::Action && self.controller_id == 0 && !self.needs_properties() {
            let _ = write!(out, "CONTROLLER:{}", self.max_len);
            return;
        }
        let mut items = Vec::new();
        if self.reason != PacketInReason::Action {
            items.push(format!("reason={}", self.reason.name()));
        }
        if self.max_len != u16::MAX {
            items.push(format!("max_len={}", self.max_len));
        }
        if self.controller_id != 0 {
            items.push(format!("id={}", self.controller_id));
        }
        if !self.userdata.is_empty() {
            items.push(format!("userdata={}", super::text::dotted_hex(&self.userdata)));
        }
        if self.pause {
            items.push("pause".to_owned());
        }
        if self.meter_id != 0 {
            items.push(format!("meter_id={}", self.meter_id));
        }
        let _ = write!(out, "controller({})", items.join(","));
    }
}

impl Act for Enqueue {
    fn name(&self) -> &'static str {
        "enqueue"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        if e.version == Version::V10 {
            e.standard(11, |b| {
                b.put_u16(self.port.to_of10());
                b.put_zeros(6);
                b.put_u32(self.queue);
            });
            return Ok(());
        }
        // Later versions have no such action, but its parts.
        super::SetQueue(self.queue).encode(e)?;
        Output { port: self.port, max_len: u16::MAX }.encode(e)?;
        super::PopQueue.encode(e)
    }

    fn print(&self, out: &mut String, names: &Names) {
        let _ = write!(out, "enqueue:{}:{}", names.port(self.port), self.queue);
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        match self.port {
            OfpPort::IN_PORT | OfpPort::LOCAL => Ok(()),
            OfpPort(n) if n < cx.max_ports => Ok(()),
            _ => Err(OfpError::OFPBAC_BAD_OUT_PORT),
        }
    }
}

impl Act for Group {
    fn name(&self) -> &'static str {
        "group"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        if e.version == Version::V10 {
            e.nicira(40, |b| {
                b.put_zeros(2);
                b.put_u32(self.0);
            });
        } else {
            e.standard(22, |b| b.put_u32(self.0));
        }
        Ok(())
    }

    fn print(&self, out: &mut String, _: &Names) {
        let _ = write!(out, "group:{}", self.0);
    }
}

fn parse_output(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    if let Some(port) = values::port(arg, cx.names) {
        cx.push_output(port);
        return Ok(());
    }
    if arg.contains("port") && arg.contains("max_len") {
        return parse_output_trunc(arg, cx);
    }
    let src = Subfield::parse(arg).map_err(|_| text_error!("{arg}: output to unknown port"))?;
    cx.push(OutputReg { src, max_len: u16::MAX });
    Ok(())
}

fn parse_output_trunc(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let mut trunc = OutputTrunc { port: OfpPort::NONE, max_len: 0 };
    for (key, value) in Pairs::new(arg) {
        match key {
            "port" => {
                trunc.port = values::port(value, cx.names)
                    .ok_or_else(|| text_error!("output to unknown truncate port: {value}"))?;
                let physical = trunc.port.is_ordinary();
                if !physical && !matches!(trunc.port, OfpPort::LOCAL | OfpPort::IN_PORT) {
                    return Err(text_error!("output to unsupported truncate port: {value}"));
                }
            }
            "max_len" => {
                trunc.max_len = number::u32(value)?;
                if trunc.max_len < 14 {
                    return Err(text_error!("max_len {} is less than the minimum value 14", trunc.max_len));
                }
            }
            _ => return Err(text_error!("invalid key '{key}' in output_trunc argument")),
        }
    }
    cx.push(trunc);
    Ok(())
}

fn parse_controller(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let mut c = Controller::default();
    if !arg.is_empty() && arg.bytes().all(|b| b.is_ascii_digit()) {
        c.max_len = number::u16(arg, "max_len")?;
    } else {
        for (key, value) in Pairs::new(arg) {
            match key {
                "reason" => {
                    c.reason = PacketInReason::from_name(value)
                        .ok_or_else(|| text_error!("unknown reason \"{value}\""))?;
                }
                "max_len" => c.max_len = number::u16(value, "max_len")?,
                "id" => c.controller_id = number::u16(value, "id")?,
                "userdata" => {
                    c.userdata = hex_bytes(value)
                        .ok_or_else(|| TextError::new("bad hex digit in `controller' action `userdata'"))?;
                }
                "pause" => c.pause = true,
                "meter_id" => c.meter_id = number::u32(value)?,
                _ => return Err(text_error!("unknown key \"{key}\" parsing controller action")),
            }
        }
    }
    if c.reason == PacketInReason::Action && c.controller_id == 0 && !c.needs_properties() {
        cx.push(Output { port: OfpPort::CONTROLLER, max_len: c.max_len });
    } else {
        cx.push(c);
    }
    Ok(())
}

fn parse_enqueue(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let mut parts = arg.split([':', ',']).filter(|p| !p.is_empty());
    let (Some(port), Some(queue)) = (parts.next(), parts.next()) else {
        return Err(TextError::new(
            "\"enqueue\" syntax is \"enqueue:PORT:QUEUE\" or \"enqueue(PORT,QUEUE)\"",
        ));
    };
    let port = values::port(port, cx.names).ok_or_else(|| text_error!("{port}: enqueue to unknown port"))?;
    cx.push(Enqueue { port, queue: number::u32(queue)? });
    Ok(())
}
