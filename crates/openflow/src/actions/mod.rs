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
//! Spec: ovs-actions(7).

mod conntrack;
mod control;
mod encap;
mod fields;
mod headers;
mod learn;
mod multi;
mod output;
mod sample;
mod subfield;

pub use conntrack::{Ct, CtClear, CtZone, Nat, NatAddrs, NatKind, NatPortChoice};
pub use control::{
    CheckPktLarger, ClearActions, CloneActions, Conjunction, Exit, FinTimeout, GotoTable, Meter, Note,
    Resubmit, WriteActions, WriteMetadata,
};
pub use encap::{Decap, Encap, EncapProperty};
pub use fields::{Move, SetField, SetFieldForm, StackPop, StackPush};
pub use headers::{
    DecMplsTtl, DecNshTtl, DecTtl, PopMpls, PopQueue, PushMpls, PushVlan, SetEthDst, SetEthSrc, SetIpDscp,
    SetIpEcn, SetIpTtl, SetIpv4Dst, SetIpv4Src, SetMplsLabel, SetMplsTc, SetMplsTtl, SetQueue, SetTpDst,
    SetTpSrc, SetTunnel, SetVlanPcp, SetVlanVid, StripVlan,
};
pub use learn::{Learn, LearnDest, LearnSource, LearnSpec};
pub use multi::{Bundle, BundleAlgorithm, HashFields, Multipath, MultipathAlgorithm};
pub use output::{Controller, Enqueue, Group, Output, OutputReg, OutputTrunc, PacketInReason};
pub use sample::{Sample, SampleDirection, SampleSource};
pub use subfield::Subfield;

use flow::Match;

use crate::{Names, OfpError, Protocols, TextError, Version};

macro_rules! actions {
    ($($name:ident,)+) => {
        /// An action or an instruction.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "each is documented at its struct")]
        pub enum Action {
            $($name($name),)+
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
    SetField, Move, StackPush, StackPop,
    SetVlanVid, SetVlanPcp, StripVlan, PushVlan,
    SetEthSrc, SetEthDst, SetIpv4Src, SetIpv4Dst, SetIpDscp, SetIpEcn, SetIpTtl, SetTpSrc, SetTpDst,
    SetMplsLabel, SetMplsTc, SetMplsTtl, DecMplsTtl, PushMpls, PopMpls,
    DecTtl, SetTunnel, SetQueue, PopQueue, FinTimeout,
    Resubmit, Learn, Conjunction, Multipath, Note, Exit, Sample,
    Ct, Nat, CtClear, CloneActions, CheckPktLarger, Encap, Decap, DecNshTtl,
    Meter, ClearActions, WriteActions, WriteMetadata, GotoTable,
}

/// Decodes a list of actions (`struct ofp_action_header` and so on).
pub fn decode(bytes: &[u8], version: Version) -> Result<Vec<Action>, OfpError> {
    let _ = (bytes, version);
    Err(OfpError::OFPBAC_BAD_TYPE)
}

/// Decodes a list of OpenFlow 1.1+ instructions.
pub fn decode_instructions(bytes: &[u8], version: Version) -> Result<Vec<Action>, OfpError> {
    let _ = (bytes, version);
    Err(OfpError::OFPBIC_UNSUP_INST)
}

/// Appends a list of actions. An action that the version cannot say is an error; `out` is then of no use.
pub fn encode(actions: &[Action], version: Version, out: &mut Vec<u8>) -> Result<(), OfpError> {
    let _ = (actions, version, out);
    Ok(())
}

/// Appends instructions (1.1 and later), or a list of actions (1.0).
pub fn encode_instructions(actions: &[Action], version: Version, out: &mut Vec<u8>) -> Result<(), OfpError> {
    let _ = (actions, version, out);
    Ok(())
}

/// What a list of actions is checked against.
#[derive(Clone, Copy, Debug)]
pub struct CheckContext<'a> {
    /// The match of the flow.
    pub matcher: &'a Match,
    /// One more than the largest valid port.
    pub max_ports: u32,
    /// The flow's table.
    pub table_id: u8,
    /// How many tables there are.
    pub n_tables: u8,
}

/// Checks ports, tables and prerequisites of `actions` against the flow that has them; notes in them whether the flow
/// has a VLAN tag. Returns the protocols, of `usable`, that carry the list without contradiction.
pub fn check(
    actions: &mut [Action],
    cx: &CheckContext<'_>,
    usable: Protocols,
) -> Result<Protocols, OfpError> {
    let _ = (actions, cx);
    Ok(usable)
}

/// True if `actions`, or actions within them, send to `port`.
pub fn output_to_port(actions: &[Action], port: crate::OfpPort) -> bool {
    let _ = (actions, port);
    false
}

/// True if `actions`, or actions within them, name the group.
pub fn output_to_group(actions: &[Action], group: u32) -> bool {
    let _ = (actions, group);
    false
}

/// Parses a list of actions and instructions as in a flow (`actions=…`), and the protocols that can carry it.
pub fn parse(text: &str, names: &Names) -> Result<(Vec<Action>, Protocols), TextError> {
    let _ = (text, names);
    Err(TextError::new("unsupported"))
}

/// Parses a list of actions in which instructions are not allowed (packet-out, groups).
pub fn parse_plain(text: &str, names: &Names) -> Result<(Vec<Action>, Protocols), TextError> {
    parse(text, names)
}

/// The text of a list of actions, without `actions=`; `drop` for the empty list.
pub fn format(actions: &[Action], names: &Names) -> String {
    let _ = (actions, names);
    String::new()
}
