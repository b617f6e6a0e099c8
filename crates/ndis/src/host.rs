//! The host's own network: its addresses, routes and neighbours, and news of their changes.
//!
//! Where it sits: over NETIO.SYS, the kernel's IP Helper. Everything here is for PASSIVE_LEVEL.
//!
//! Spec: netioapi.h; functions return NTSTATUS in the kernel.

use core::ffi::c_void;
use core::mem::zeroed;
use core::ptr;

use ndis_sys::*;

/// Where `sockaddr_in` and `sockaddr_in6` have their address, behind the family.
const V4: usize = 2;
const V6: usize = 6;

/// An IP address; of IPv4 in the low 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpAddress {
    /// Its bits.
    pub bits: u128,
    /// It is IPv6.
    pub is_ipv6: bool,
}

impl IpAddress {
    fn to_sockaddr(self) -> SOCKADDR_INET {
        let mut socket = SOCKADDR_INET { si_family: AF_INET, Data: [0; 26] };
        if self.is_ipv6 {
            socket.si_family = AF_INET6;
            put(&mut socket.Data, V6, &self.bits.to_be_bytes());
        } else {
            put(&mut socket.Data, V4, &(self.bits as u32).to_be_bytes());
        }
        socket
    }

    fn from_sockaddr(socket: &SOCKADDR_INET) -> Option<IpAddress> {
        let bits = match socket.si_family {
            AF_INET => u32::from_be_bytes(*socket.Data.get(V4..)?.first_chunk()?).into(),
            AF_INET6 => u128::from_be_bytes(*socket.Data.get(V6..)?.first_chunk()?),
            _ => return None,
        };
        Some(IpAddress { bits, is_ipv6: socket.si_family == AF_INET6 })
    }
}

fn put(to: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = to.get_mut(at..).and_then(|to| to.get_mut(..bytes.len())) {
        to.copy_from_slice(bytes);
    }
}

/// The first hop on the way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The interface's LUID.
    pub interface: u64,
    /// The neighbour's Ethernet address.
    pub eth: [u8; 6],
    /// The address that the host would send from.
    pub from: IpAddress,
}

/// Why there is no [`NextHop`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHop {
    /// No route, or nobody answers there.
    NoWay,
    /// Memory is short.
    NoMemory,
}

fn hop_status(status: i32) -> Result<(), NoHop> {
    match status {
        STATUS_SUCCESS => Ok(()),
        STATUS_INSUFFICIENT_RESOURCES => Err(NoHop::NoMemory),
        _ => Err(NoHop::NoWay),
    }
}

/// The LUID of the interface of a GUID, as the switch has it.
pub fn interface(guid: &[u8; 16]) -> Option<u64> {
    let mut luid = 0;
    // SAFETY: a GUID is 16 bytes of any value, which need not be aligned here: it is copied.
    let guid = unsafe { ptr::from_ref(guid).cast::<GUID>().read_unaligned() };
    // SAFETY: both are there for the call.
    let status = unsafe { ConvertInterfaceGuidToLuid(&guid, &mut luid) };
    (status == STATUS_SUCCESS).then_some(luid)
}

/// Calls `each` with every address of the host's that may be used and its interface; false if they cannot be listed.
pub fn addresses(mut each: impl FnMut(IpAddress, u64)) -> bool {
    let mut table: *mut MIB_UNICASTIPADDRESS_TABLE = ptr::null_mut();
    // SAFETY: the place for the table is there for the call.
    if unsafe { GetUnicastIpAddressTable(AF_UNSPEC, &mut table) } != STATUS_SUCCESS || table.is_null() {
        return false;
    }
    // SAFETY: the table is ours until it is freed, and as many rows as it says follow its head.
    unsafe {
        let first = (&raw const (*table).Table).cast::<MIB_UNICASTIPADDRESS_ROW>();
        for n in 0..(*table).NumEntries as usize {
            let row = &*first.add(n);
            // One that is being looked for on the link, or that another one has, is not the host's yet.
            let is_own = row.DadState >= IpDadStateDeprecated;
            if let Some(address) = IpAddress::from_sockaddr(&row.Address).filter(|_| is_own) {
                each(address, row.InterfaceLuid);
            }
        }
        FreeMibTable(table.cast());
    }
    true
}

/// The first hop on the way to `to`, from `from` if that is given. A neighbour who is not known is asked, and waited for.
#[inline(never)]
pub fn next_hop(to: IpAddress, from: Option<IpAddress>) -> Result<NextHop, NoHop> {
    let (route, source) = route(to, from)?;
    // As the host has it: of an address that means something on one link only it says on which.
    let gateway = IpAddress::from_sockaddr(&route.NextHop).filter(|hop| hop.bits != 0).map(|_| route.NextHop);
    let eth = neighbour(&route, gateway.unwrap_or(to.to_sockaddr()), &source)?;
    let from = IpAddress::from_sockaddr(&source).ok_or(NoHop::NoWay)?;
    Ok(NextHop { interface: route.InterfaceLuid, eth, from })
}

#[inline(never)]
fn route(to: IpAddress, from: Option<IpAddress>) -> Result<(MIB_IPFORWARD_ROW2, SOCKADDR_INET), NoHop> {
    let (to, from) = (to.to_sockaddr(), from.map(IpAddress::to_sockaddr));
    let from = from.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: zeros are a valid value of both, and all places are there for the call.
    unsafe {
        let (mut route, mut source): (MIB_IPFORWARD_ROW2, SOCKADDR_INET) = (zeroed(), zeroed());
        hop_status(GetBestRoute2(ptr::null(), 0, from, &to, 0, &mut route, &mut source))?;
        Ok((route, source))
    }
}

#[inline(never)]
fn neighbour(
    route: &MIB_IPFORWARD_ROW2,
    hop: SOCKADDR_INET,
    source: &SOCKADDR_INET,
) -> Result<[u8; 6], NoHop> {
    // SAFETY: zeros are a valid value.
    let mut row: MIB_IPNET_ROW2 = unsafe { zeroed() };
    row.Address = hop;
    (row.InterfaceLuid, row.InterfaceIndex) = (route.InterfaceLuid, route.InterfaceIndex);
    // SAFETY: the row is there for the call.
    let known = unsafe { GetIpNetEntry2(&mut row) } == STATUS_SUCCESS && row.State >= NlnsProbe;
    if !known {
        // SAFETY: both are there for the call, which waits for the neighbour.
        hop_status(unsafe { ResolveIpNetEntry2(&mut row, source) })?;
    }
    let eth = *row.PhysicalAddress.first_chunk().ok_or(NoHop::NoWay)?;
    if row.PhysicalAddressLength as usize == size_of_val(&eth) { Ok(eth) } else { Err(NoHop::NoWay) }
}

/// Listens for changes of routes, interfaces and addresses, until it is dropped.
#[derive(Debug)]
pub struct HostWatch([*mut c_void; 3]);

// SAFETY: handles of the kernel's, which may be cancelled from anywhere.
unsafe impl Send for HostWatch {}
// SAFETY: as above.
unsafe impl Sync for HostWatch {}

impl HostWatch {
    /// Has `callback` called with `context` at every change; `None` if that cannot be had.
    ///
    /// # Safety
    /// `context` is what `callback` expects, and outlives this. It is not dropped by the callback.
    pub unsafe fn start(callback: MIB_CHANGE_CALLBACK, context: *mut c_void) -> Option<HostWatch> {
        let mut watch = HostWatch([ptr::null_mut(); 3]);
        let [routes, interfaces, addresses] = &mut watch.0;
        // SAFETY: the callback and its context are the caller's; each handle has its place.
        let all = unsafe {
            NotifyRouteChange2(AF_UNSPEC, callback, context, 0, routes) == STATUS_SUCCESS
                && NotifyIpInterfaceChange(AF_UNSPEC, callback, context, 0, interfaces) == STATUS_SUCCESS
                && NotifyUnicastIpAddressChange(AF_UNSPEC, callback, context, 0, addresses) == STATUS_SUCCESS
        };
        all.then_some(watch)
    }
}

impl Drop for HostWatch {
    fn drop(&mut self) {
        for handle in self.0.iter().filter(|handle| !handle.is_null()) {
            // SAFETY: ours; it waits until no callback runs any more.
            unsafe { CancelMibChangeNotify2(*handle) };
        }
    }
}
