//! Structures of the IP Helper (netioapi.h): routes, neighbours, addresses.
//!
//! Where it sits: see the crate's header.

use core::ffi::c_void;

/// An IP address with its family: `Data` is `sockaddr_in` or `sockaddr_in6` without the family.
#[repr(C, align(4))]
#[derive(Clone, Copy)]
pub struct SOCKADDR_INET {
    pub si_family: u16,
    pub Data: [u8; 26],
}

/// A prefix of addresses.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IP_ADDRESS_PREFIX {
    pub Prefix: SOCKADDR_INET,
    pub PrefixLength: u8,
}

/// A route.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MIB_IPFORWARD_ROW2 {
    pub InterfaceLuid: u64,
    pub InterfaceIndex: u32,
    pub DestinationPrefix: IP_ADDRESS_PREFIX,
    pub NextHop: SOCKADDR_INET,
    pub SitePrefixLength: u8,
    pub ValidLifetime: u32,
    pub PreferredLifetime: u32,
    pub Metric: u32,
    pub Protocol: i32,
    pub Loopback: u8,
    pub AutoconfigureAddress: u8,
    pub Publish: u8,
    pub Immortal: u8,
    pub Age: u32,
    pub Origin: i32,
}

/// A neighbour.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MIB_IPNET_ROW2 {
    pub Address: SOCKADDR_INET,
    pub InterfaceIndex: u32,
    pub InterfaceLuid: u64,
    pub PhysicalAddress: [u8; 32],
    pub PhysicalAddressLength: u32,
    pub State: i32,
    pub Flags: u8,
    pub ReachabilityTime: u32,
}

/// An address of the host's.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MIB_UNICASTIPADDRESS_ROW {
    pub Address: SOCKADDR_INET,
    pub InterfaceLuid: u64,
    pub InterfaceIndex: u32,
    pub PrefixOrigin: i32,
    pub SuffixOrigin: i32,
    pub ValidLifetime: u32,
    pub PreferredLifetime: u32,
    pub OnLinkPrefixLength: u8,
    pub SkipAsSource: u8,
    pub DadState: i32,
    pub ScopeId: u32,
    pub CreationTimeStamp: i64,
}

/// All addresses of the host: `NumEntries` rows follow, from `Table` on.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MIB_UNICASTIPADDRESS_TABLE {
    pub NumEntries: u32,
    pub Table: [MIB_UNICASTIPADDRESS_ROW; 1],
}

/// Called when a route, an interface or an address changed: the context, the row's keys or null, and what happened.
pub type MIB_CHANGE_CALLBACK = unsafe extern "win64" fn(context: *mut c_void, row: *mut c_void, kind: i32);
