//! Actions that change one header each: VLAN, MPLS, Ethernet, IP and transport addresses, TTL.

use wire::EthAddr;

/// `mod_vlan_vid` and `set_vlan_vid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetVlanVid {
    /// The identifier, 12 bits.
    pub vid: u16,
    /// Push a tag where there is none (`mod_vlan_vid`).
    pub push_vlan_if_needed: bool,
    /// The flow is known to match a VLAN tag, or to have pushed one.
    pub flow_has_vlan: bool,
}

/// `mod_vlan_pcp` and `set_vlan_pcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetVlanPcp {
    /// The priority, 3 bits.
    pub pcp: u8,
    /// Push a tag where there is none (`mod_vlan_pcp`).
    pub push_vlan_if_needed: bool,
    /// The flow is known to match a VLAN tag, or to have pushed one.
    pub flow_has_vlan: bool,
}

/// `dec_ttl`: decrements the IP TTL; packets whose TTL runs out go to these controllers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecTtl {
    /// The controllers' ids; usually the one id 0.
    pub ids: Vec<u16>,
    /// It was written with the list of ids.
    pub with_ids: bool,
}

macro_rules! one_argument {
    ($($name:ident($ty:ty) $doc:literal;)+) => {
        $(
            #[doc = $doc]
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct $name(
                /// The argument.
                pub $ty,
            );
        )+
    };
}

one_argument! {
    PushVlan(u16) "`push_vlan`: pushes a tag of this type.";
    SetEthSrc(EthAddr) "`mod_dl_src`.";
    SetEthDst(EthAddr) "`mod_dl_dst`.";
    SetIpv4Src(u32) "`mod_nw_src`.";
    SetIpv4Dst(u32) "`mod_nw_dst`.";
    SetIpDscp(u8) "`mod_nw_tos`: the TOS byte without its ECN bits.";
    SetIpEcn(u8) "`mod_nw_ecn`.";
    SetIpTtl(u8) "`mod_nw_ttl`.";
    SetTpSrc(u16) "`mod_tp_src`.";
    SetTpDst(u16) "`mod_tp_dst`.";
    PushMpls(u16) "`push_mpls`: pushes a label of this type.";
    PopMpls(u16) "`pop_mpls`: pops a label; the argument is the Ethernet type of what is below.";
    SetMplsLabel(u32) "`set_mpls_label`.";
    SetMplsTc(u8) "`set_mpls_tc`.";
    SetMplsTtl(u8) "`set_mpls_ttl`.";
    SetTunnel(u64) "`set_tunnel`: the tunnel key.";
    SetQueue(u32) "`set_queue`: the queue for later outputs.";
}

macro_rules! no_argument {
    ($($name:ident $doc:literal;)+) => {
        $(
            #[doc = $doc]
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct $name;
        )+
    };
}

no_argument! {
    StripVlan "`strip_vlan` and `pop_vlan`: pops the outer tag.";
    DecMplsTtl "`dec_mpls_ttl`.";
    PopQueue "`pop_queue`: back to the default queue.";
    DecNshTtl "`dec_nsh_ttl`.";
}
