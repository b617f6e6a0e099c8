//! OpenFlow actions, and instructions, which are actions here: one ordered list says what a flow does.
//!
//! Where it sits: flow mods, groups and packet-outs carry a `Vec<Action>`; translation carries it out.
//!
//! Each action is a struct in the file of its family, with everything about it: its wire forms, its text and its
//! checks. The [`Action`] enum joins them. Adding one is a struct, its rows and one line here.
//!
//! Instructions of OpenFlow 1.1 and later are in the list in the order of execution: meter, apply-actions (in line),
//! clear-actions, write-actions, write-metadata, goto-table.
//!
//! Spec: ovs-actions(7). Next: `output.rs`, a family; `wire.rs` and `text.rs`, the two forms of lists.

mod check;
mod conntrack;
mod control;
mod encap;
mod fields;
mod headers;
mod instructions;
mod learn;
mod mpls;
mod multi;
mod nat;
mod output;
mod sample;
mod subfield;
mod text;
mod vlan;
mod wire;

pub use check::{CheckContext, check};
pub use conntrack::{Ct, CtClear, CtZone};
pub use control::{
    CheckPktLarger, CloneActions, Conjunction, DebugRecirc, DebugSlow, Exit, FinTimeout, Note, PopQueue,
    Resubmit, SetQueue, SetTunnel,
};
pub use encap::{DecNshTtl, Decap, Encap, EncapProperty};
pub use fields::{DeleteField, Move, SetField, SetFieldForm, StackPop, StackPush};
pub use headers::{
    DecTtl, SetEthDst, SetEthSrc, SetIpDscp, SetIpEcn, SetIpTtl, SetIpv4Dst, SetIpv4Src, SetTpDst, SetTpSrc,
};
pub use instructions::{
    ClearActions, GotoTable, Meter, WriteActions, WriteMetadata, decode as decode_instructions,
    encode as encode_instructions, may_be_in_set,
};
pub use learn::{Learn, LearnDest, LearnSource, LearnSpec};
pub use mpls::{DecMplsTtl, PopMpls, PushMpls, SetMplsLabel, SetMplsTc, SetMplsTtl};
pub use multi::{Bundle, BundleAlgorithm, HashFields, Multipath, MultipathAlgorithm};
pub use nat::{Nat, NatAddrs, NatKind, NatPortChoice};
pub use output::{Controller, Enqueue, Group, Output, OutputReg, OutputTrunc, PacketInReason};
pub use sample::{Sample, SampleDirection, SampleSource};
pub use subfield::{BadNumber, Subfield};
pub use text::{format, parse, parse_plain};
pub use vlan::{PushVlan, SetVlanPcp, SetVlanVid, StripVlan};

use check::Checker;
use text::Text;
use wire::{Encoder, Wire};

use std::collections::BTreeMap;

use crate::{Names, OfpError, OfpPort, Version};

/// What an action can do, whichever it is.
trait Act {
    /// Its name in complaints.
    fn name(&self) -> &'static str;

    /// Appends its wire form, which may be several actions.
    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError>;

    /// Appends its text.
    fn print(&self, out: &mut String, names: &Names);

    /// Checks it against what is known of the packet, and notes what it makes of the packet.
    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        let _ = cx;
        Ok(())
    }

    /// The actions within it.
    fn nested(&self) -> &[Action] {
        &[]
    }
}

/// The rows of a file of actions.
struct Family {
    wire: &'static [Wire],
    text: &'static [Text],
}

/// Every family.
static FAMILIES: &[Family] = &[
    output::FAMILY,
    fields::FAMILY,
    vlan::FAMILY,
    headers::FAMILY,
    mpls::FAMILY,
    control::FAMILY,
    instructions::FAMILY,
    conntrack::FAMILY,
    nat::FAMILY,
    learn::FAMILY,
    multi::FAMILY,
    sample::FAMILY,
    encap::FAMILY,
];

macro_rules! actions {
    ($($name:ident,)+) => {
        /// An action or an instruction.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "each is documented at its struct")]
        pub enum Action {
            $($name($name),)+
        }

        impl Action {
            fn act(&self) -> &dyn Act {
                match self {
                    $(Action::$name(action) => action,)+
                }
            }

            fn act_mut(&mut self) -> &mut dyn Act {
                match self {
                    $(Action::$name(action) => action,)+
                }
            }
        }

        $(impl From<$name> for Action {
            fn from(action: $name) -> Action {
                Action::$name(action)
            }
        })+
    };
}

actions! {
    Output, OutputReg, OutputTrunc, Controller, Enqueue, Group, Bundle,
    SetField, Move, DeleteField, StackPush, StackPop,
    SetVlanVid, SetVlanPcp, StripVlan, PushVlan,
    SetEthSrc, SetEthDst, SetIpv4Src, SetIpv4Dst, SetIpDscp, SetIpEcn, SetIpTtl, SetTpSrc, SetTpDst,
    SetMplsLabel, SetMplsTc, SetMplsTtl, DecMplsTtl, PushMpls, PopMpls,
    DecTtl, SetTunnel, SetQueue, PopQueue, FinTimeout,
    Resubmit, Learn, Conjunction, Multipath, Note, Exit, Sample, DebugRecirc, DebugSlow,
    Ct, Nat, CtClear, CloneActions, CheckPktLarger, Encap, Decap, DecNshTtl,
    Meter, ClearActions, WriteActions, WriteMetadata, GotoTable,
}

impl Act for Action {
    fn name(&self) -> &'static str {
        self.act().name()
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        self.act().encode(e)
    }

    fn print(&self, out: &mut String, names: &Names) {
        self.act().print(out, names);
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        self.act_mut().check(cx)
    }

    fn nested(&self) -> &[Action] {
        self.act().nested()
    }
}

/// Decodes a list of actions (`struct ofp_action_header` and so on).
pub fn decode(bytes: &[u8], version: Version) -> Result<Vec<Action>, OfpError> {
    if !bytes.len().is_multiple_of(8) {
        return Err(OfpError::OFPBRC_BAD_LEN);
    }
    let actions = wire::decode_list(bytes, version, 0)?;
    instructions::verify(&actions)?;
    Ok(actions)
}

/// Appends a list of actions. An action that the version cannot say is an error; `out` is then of no use.
pub fn encode(actions: &[Action], version: Version, out: &mut Vec<u8>) -> Result<(), OfpError> {
    wire::encode_list(actions, version, out)
}

fn any(actions: &[Action], found: &impl Fn(&Action) -> bool) -> bool {
    actions.iter().any(|a| found(a) || any(a.nested(), found))
}

/// True if `actions`, or actions within them, send to `port`.
pub fn output_to_port(actions: &[Action], port: OfpPort) -> bool {
    any(actions, &|action| match action {
        Action::Output(o) => o.port == port,
        Action::OutputTrunc(o) => o.port == port,
        Action::Enqueue(e) => e.port == port,
        Action::Controller(_) => port == OfpPort::CONTROLLER,
        _ => false,
    })
}

/// The fields of tunnel metadata that `actions`, or actions within them, name, and of how many bits each must be at least.
pub fn options_named(actions: &[Action]) -> BTreeMap<u8, u16> {
    let mut named = BTreeMap::new();
    name_options(actions, &mut named);
    named
}

fn name_options(actions: &[Action], named: &mut BTreeMap<u8, u16>) {
    for action in actions {
        let whole = |field| Subfield { field, ofs: 0, n_bits: 0 };
        let parts: Vec<Subfield> = match action {
            Action::SetField(a) => vec![whole(a.field)],
            Action::DeleteField(a) => vec![whole(a.0)],
            Action::Move(a) => vec![a.src, a.dst],
            Action::StackPush(StackPush(s)) | Action::StackPop(StackPop(s)) => vec![*s],
            Action::OutputReg(a) => vec![a.src],
            Action::Multipath(a) => vec![a.dst],
            Action::Bundle(a) => a.dst.into_iter().collect(),
            Action::CheckPktLarger(a) => vec![a.dst],
            Action::Ct(Ct { zone: CtZone::Field(zone), .. }) => vec![*zone],
            Action::Sample(a) => a.fields(),
            Action::Learn(a) => a.specs.iter().flat_map(LearnSpec::fields).collect(),
            _ => Vec::new(),
        };
        for part in parts {
            if let Some(n) = part.field.option() {
                let most = named.entry(n).or_default();
                *most = (part.ofs + part.n_bits).max(*most);
            }
        }
        name_options(action.nested(), named);
    }
}

/// True if `actions`, or actions within them, name the group.
pub fn output_to_group(actions: &[Action], group: u32) -> bool {
    any(actions, &|action| matches!(action, Action::Group(Group(n)) if *n == group))
}

/// True if `actions`, or actions within them, are for debugging: real switches do not have them.
pub fn has_debugging(actions: &[Action]) -> bool {
    any(actions, &|action| matches!(action, Action::DebugRecirc(_) | Action::DebugSlow(_)))
}

#[cfg(test)]
mod tests;
