//! A request's headers, and the frame of what is answered.
//!
//! Where it sits: every message goes through here before a family sees it.
//!
//! Spec: ovsext 1.5 and 2.2. What the original leaves unchecked of nfnetlink's messages is checked here.

use netlink::{Attrs, Builder, GenlHeader, HEADER_LEN, Header, Messages, NfgenHeader, flags, kinds};
use odp::netlink::ids::{self, Family, cmd, control_cmd, ctnetlink, packet_cmd};

use crate::{Errno, Status};

/// Bytes of the smallest request: both headers and the datapath's number.
const MIN_REQUEST: usize = 24;
/// Bytes of the smallest room for a reply: that of an error.
pub(crate) const MIN_REPLY: usize = 36;

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Write,
    Transact,
}

/// Whom a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Control,
    Datapath,
    Vport,
    Netdev,
    Flow,
    Packet,
    Meter,
    CtLimit,
    CtSetting,
    Counts,
    Ct,
}

/// A request whose headers are as they should be.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub header: Header,
    pub target: Target,
    pub command: u8,
    pub dp_ifindex: i32,
    /// Address family of nfnetlink messages.
    pub nf_family: u8,
    pub attrs: Attrs<'a>,
}

/// What `2.2` of the interface says of a command.
struct Rule {
    commands: &'static [u8],
    dumps: &'static [u8],
    checks_dp: bool,
}

fn rule(target: Target) -> Rule {
    let rule = |commands, dumps, checks_dp| Rule { commands, dumps, checks_dp };
    match target {
        Target::Control => rule(&[control_cmd::SOCK_PROP], &[], false),
        Target::Datapath => rule(&[cmd::NEW, cmd::GET, cmd::SET], &[cmd::GET], false),
        Target::Vport | Target::Flow => rule(&[cmd::NEW, cmd::DEL, cmd::GET, cmd::SET], &[cmd::GET], true),
        Target::Netdev => rule(&[1], &[], false),
        Target::Packet => rule(&[packet_cmd::EXECUTE], &[], true),
        Target::Meter => rule(&[1, 2, 3, 4], &[], false),
        Target::CtLimit => rule(&[1, 2, 3], &[], false),
        Target::CtSetting => rule(&[cmd::GET, cmd::SET], &[cmd::GET], false),
        Target::Counts => rule(&[cmd::GET], &[], false),
        Target::Ct => rule(&[2], &[1], false),
    }
}

fn family(kind: u16) -> Option<(Target, Family)> {
    [
        (Target::Control, ids::CONTROL),
        (Target::Datapath, ids::DATAPATH),
        (Target::Vport, ids::VPORT),
        (Target::Netdev, ids::NETDEV),
        (Target::Flow, ids::FLOW),
        (Target::Packet, ids::PACKET),
        (Target::Meter, ids::METER),
        (Target::CtLimit, ids::CT_LIMIT),
        (Target::CtSetting, ids::CT_SETTING),
        (Target::Counts, ids::COUNTS),
    ]
    .into_iter()
    .find(|(_, f)| f.id == kind)
}

/// Reads the one message of a request that came on the handle with number `pid`.
pub(crate) fn parse(bytes: &[u8], pid: u32, operation: Operation) -> Result<Request<'_>, Status> {
    if bytes.len() < MIN_REQUEST {
        return Err(Status::InvalidLength);
    }
    let message = Messages::new(bytes).next().and_then(Result::ok).ok_or(Status::InvalidParameter)?;
    if message.header.pid != pid {
        return Err(Status::InvalidParameter);
    }
    let request = match message.header.kind {
        ctnetlink::GET | ctnetlink::DELETE => nfnetlink(message.header, message.payload),
        kind => genl(kind, message.header, message.payload),
    };
    let request = request.ok_or(Status::InvalidParameter)?;
    if !allowed(&request, operation) || request.attrs.clone().any(|a| a.is_err()) {
        return Err(Status::InvalidParameter);
    }
    Ok(request)
}

fn genl(kind: u16, header: Header, payload: &[u8]) -> Option<Request<'_>> {
    let (target, family) = family(kind)?;
    let (genl, rest) = GenlHeader::split(payload)?;
    if genl.version < family.version {
        return None;
    }
    let (number, attrs) = rest.split_first_chunk::<4>()?;
    Some(Request {
        header,
        target,
        command: genl.command,
        dp_ifindex: i32::from_ne_bytes(*number),
        nf_family: 0,
        attrs: Attrs::new(attrs),
    })
}

/// nfnetlink's header and, on this device only, four bytes of padding.
fn nfnetlink(header: Header, payload: &[u8]) -> Option<Request<'_>> {
    let (nf, rest) = NfgenHeader::split(payload)?;
    if nf.version != 0 {
        return None;
    }
    let attrs = Attrs::new(rest.get(ids_pad()..)?);
    let command = header.kind.to_le_bytes().first().copied()?;
    Some(Request { header, target: Target::Ct, command, dp_ifindex: 0, nf_family: nf.family, attrs })
}

/// Bytes between nfnetlink's header and the attributes.
const fn ids_pad() -> usize {
    odp::netlink::OVS_HEADER_LEN
}

fn allowed(r: &Request<'_>, operation: Operation) -> bool {
    let rule = rule(r.target);
    let dumps = r.header.flags & flags::DUMP == flags::DUMP;
    let waits = r.target == Target::Control && r.command <= control_cmd::PACKET_SUBSCRIBE;
    let known = match operation {
        Operation::Transact => rule.commands.contains(&r.command),
        Operation::Write => waits || (dumps && rule.dumps.contains(&r.command)),
    };
    known && (r.dp_ifindex == 0 || !(rule.checks_dp || waits))
}

/// Begins a message of a generic netlink family.
pub(crate) fn begin(b: &mut Builder, family: Family, header: &Header, command: u8) {
    let genl = GenlHeader { command, version: family.version }.emit();
    let [a, b0, c, d] = genl;
    b.begin(&Header { kind: family.id, ..*header }, &[a, b0, c, d, 0, 0, 0, 0]);
}

/// Begins a message of nfnetlink.
pub(crate) fn begin_nf(b: &mut Builder, header: &Header, nf_family: u8) {
    let [f, v, h, l] = NfgenHeader { family: nf_family, version: 0, res_id: 0 }.emit();
    b.begin(header, &[f, v, h, l, 0, 0, 0, 0]);
}

/// The message that ends a dump.
pub(crate) fn begin_done(header: &Header) -> [u8; HEADER_LEN] {
    let [l0, l1, l2, l3] = (HEADER_LEN as u32).to_ne_bytes();
    let [k0, k1] = kinds::DONE.to_ne_bytes();
    let [f0, f1] = header.flags.to_ne_bytes();
    let [s0, s1, s2, s3] = header.seq.to_ne_bytes();
    let [p0, p1, p2, p3] = header.pid.to_ne_bytes();
    [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, p0, p1, p2, p3]
}

/// The message that says why a request failed.
pub(crate) fn error(request: &[u8], error: Errno) -> Option<[u8; MIN_REPLY]> {
    let echoed: [u8; HEADER_LEN] = *request.first_chunk()?;
    let [_, _, _, _, _, _, _, _, s0, s1, s2, s3, p0, p1, p2, p3] = echoed;
    let mut out = [0; MIN_REPLY];
    let (head, rest) = out.split_at_mut_checked(HEADER_LEN)?;
    let len = (MIN_REPLY as u32).to_ne_bytes();
    let kind = kinds::ERROR.to_ne_bytes();
    head.get_mut(..4)?.copy_from_slice(&len);
    head.get_mut(4..6)?.copy_from_slice(&kind);
    head.get_mut(8..)?.copy_from_slice(&[s0, s1, s2, s3, p0, p1, p2, p3]);
    rest.get_mut(..4)?.copy_from_slice(&error.number().wrapping_neg().to_ne_bytes());
    rest.get_mut(4..)?.copy_from_slice(&echoed);
    Some(out)
}
