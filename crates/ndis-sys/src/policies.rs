//! Structures of policies: what the switch tells of a port, and how it is asked.
//!
//! Where it sits: beside `structs.rs`; `layout.rs` asserts both.

use crate::structs::{GUID, NDIS_OBJECT_HEADER};

/// A policy of a port.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_SWITCH_PORT_PROPERTY_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub PortId: u32,
    pub PropertyType: i32,
    pub PropertyId: GUID,
    pub PropertyVersion: u16,
    pub SerializationVersion: u16,
    pub PropertyInstanceId: GUID,
    pub PropertyBufferLength: u32,
    pub PropertyBufferOffset: u32,
    pub Reserved: u32,
}

/// A policy of a port that goes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_SWITCH_PORT_PROPERTY_DELETE_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub PortId: u32,
    pub PropertyType: i32,
    pub PropertyId: GUID,
    pub PropertyInstanceId: GUID,
}

/// Which policies of a port are asked for; those that there are begin at `FirstPropertyOffset`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_SWITCH_PORT_PROPERTY_ENUM_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub PortId: u32,
    pub PropertyType: i32,
    pub PropertyId: GUID,
    pub SerializationVersion: u16,
    pub FirstPropertyOffset: u32,
    pub NumProperties: u32,
    pub Reserved: u16,
}

/// One policy of those; the next begins `QwordAlignedPropertyBufferLength` behind its end.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_SWITCH_PORT_PROPERTY_ENUM_INFO {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub PropertyVersion: u16,
    pub PropertyInstanceId: GUID,
    pub QwordAlignedPropertyBufferLength: u32,
    pub PropertyBufferLength: u32,
    pub PropertyBufferOffset: u32,
}

/// What a port's adapter may send (revision 1 ends with `AllowTeaming`).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_SWITCH_PORT_PROPERTY_SECURITY {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub AllowMacSpoofing: u8,
    pub AllowIeeePriorityTag: u8,
    pub VirtualSubnetId: u32,
    pub AllowTeaming: u8,
    pub DynamicIPAddressLimit: u32,
}

/// The VLANs of a port, unless they are private. A VLAN's bit is `id % 64` of element `id / 64`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_SWITCH_PORT_PROPERTY_VLAN {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub OperationMode: i32,
    pub _pad: u32,
    pub AccessVlanId: u16,
    pub NativeVlanId: u16,
    pub PruneVlanIdArray: [u64; 64],
    pub TrunkVlanIdArray: [u64; 64],
}

/// The same structure where they are private. Of a port with one secondary VLAN that is the array's first sixteen bits.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_SWITCH_PORT_PROPERTY_PVLAN {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub OperationMode: i32,
    pub _pad: u32,
    pub PvlanMode: i32,
    pub PrimaryVlanId: u16,
    pub SecondaryVlanIdArray: [u64; 64],
}

/// How a port's adapter is kept apart from others.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_SWITCH_PORT_PROPERTY_ISOLATION {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub IsolationMode: i32,
    pub AllowUntaggedTraffic: u8,
    pub DefaultIsolationId: u32,
}
