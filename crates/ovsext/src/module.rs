//! A filter module: one for each switch on which the extension is enabled.
//!
//! Where it sits: every function here is one of NDIS's callbacks, and is one call of the extension.
//!
//! I1  The device finds a module only between attach and detach, and detach waits until nobody is inside any more.

use alloc::boxed::Box;
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use ndis::{
    BLOCK, BlockPool, Chain, HostWatch, OidRequest, SpareRequest, Switch, Timer, forward_oid, oid_answered,
    unicode,
};
use ndis_sys::*;
use switch_ext::{After, Decision, Extension, Pause, SendFlags, Setup, Veto};
use sync::{RwSpin, try_box_with};

use crate::door::{self, Door};
use crate::driver::{FRIENDLY, UNIQUE};
use crate::host::SwitchHost;
use crate::oid;

/// Blocks for each processor: heads of a full batch and of its clones, and packets of ours on their way.
const BLOCKS_PER_PROCESSOR: usize = 256;
/// Events of connections that wait for housekeeping, which hands them to those who listen.
const EVENTS: usize = 4096;
/// How often housekeeping is due, in milliseconds.
const HOUSEKEEPING: u32 = 1000;

struct Module {
    extension: Box<Extension<SwitchHost>>,
    spare: SpareRequest,
    /// Stopped before the extension goes: it is declared after, so it is taken out first.
    timer: Option<Timer>,
    /// As the timer.
    watch: Option<HostWatch>,
}

impl Module {
    /// Lets nothing begin by itself any more, and waits until nothing is under way that did (PASSIVE_LEVEL).
    fn quiet(&mut self) {
        self.watch = None;
        self.timer = None;
        self.extension.platform().work.stop();
    }
}

/// The module that the device talks to: the first that was attached.
static FIRST: AtomicPtr<Module> = AtomicPtr::new(ptr::null_mut());
/// Calls that are inside it from outside NDIS.
static INSIDE: AtomicU32 = AtomicU32::new(0);

/// Calls `f` with the extension of the first switch; `None` if there is no switch.
pub(crate) fn with_extension<R>(f: impl FnOnce(&Extension<SwitchHost>) -> R) -> Option<R> {
    INSIDE.fetch_add(1, Ordering::AcqRel);
    // SAFETY: detach takes the pointer away before it waits for those who are inside, of whom we are one.
    let module = NonNull::new(FIRST.load(Ordering::Acquire)).map(|m| unsafe { m.as_ref() });
    let result = module.map(|m| f(&m.extension));
    INSIDE.fetch_sub(1, Ordering::AcqRel);
    result
}

/// The module that NDIS's context stands for.
///
/// # Safety
/// `context` is what `attach` set, and the module is not detached.
unsafe fn module<'a>(context: NDIS_HANDLE) -> &'a Module {
    // SAFETY: the caller's promise: the context points to a module that is there.
    unsafe { &*context.cast::<Module>() }
}

#[inline(never)]
unsafe fn make(filter: NDIS_HANDLE, door: &'static Door) -> Result<Box<Module>, NDIS_STATUS> {
    const NO_MEMORY: NDIS_STATUS = NDIS_STATUS_RESOURCES;
    let processors = ndis::processors().max(1);
    // SAFETY: FilterAttach was given the handle; the module goes before the handle does.
    let switch = unsafe { Switch::attach(filter, unicode(&UNIQUE), unicode(&FRIENDLY)) };
    let switch = switch.map_err(|e| match e {
        ndis::SwitchError::NotASwitch(status) => status,
        ndis::SwitchError::Incomplete => NDIS_STATUS_NOT_SUPPORTED,
        ndis::SwitchError::NoMemory => NO_MEMORY,
    })?;
    let blocks = BlockPool::try_new(filter, processors * BLOCKS_PER_PROCESSOR, BLOCK).ok_or(NO_MEMORY)?;
    // SAFETY: as above.
    let work = unsafe { ndis::WorkItem::try_new(filter) }.ok_or(NO_MEMORY)?;
    let (is_seen, module) = (AtomicBool::new(false), AtomicPtr::new(ptr::null_mut()));
    let long_blocks = RwSpin::new(None);
    let host = SwitchHost { switch, blocks, long_blocks, door, is_seen, work, module };
    let seed = ndis::interrupt_time() ^ (filter.addr() as u64).rotate_left(32);
    let mut config = datapath::Config { seed, ..datapath::Config::default() };
    config.conntrack.seed = [seed, seed.rotate_left(17) ^ ndis::system_time()];
    config.conntrack.max_events = EVENTS;
    let setup = Setup { processors, config };
    boxed(host, &setup).ok_or(NO_MEMORY)
}

#[inline(never)]
fn boxed(host: SwitchHost, setup: &Setup) -> Option<Box<Module>> {
    let extension = boxed_extension(host, setup)?;
    try_box_with(|| {
        let spare = SpareRequest::try_new()?;
        Some(Module { extension, spare, timer: None, watch: None })
    })
}

#[inline(never)]
fn boxed_extension(host: SwitchHost, setup: &Setup) -> Option<Box<Extension<SwitchHost>>> {
    try_box_with(|| Extension::try_new(host, setup))
}

pub(crate) unsafe extern "win64" fn attach(
    filter: NDIS_HANDLE,
    _driver: NDIS_HANDLE,
    parameters: *mut NDIS_FILTER_ATTACH_PARAMETERS,
) -> NDIS_STATUS {
    // SAFETY: NDIS's parameters are there for the call.
    if unsafe { (*parameters).MiniportMediaType } != NdisMedium802_3 {
        return NDIS_STATUS_UNSUPPORTED_MEDIA;
    }
    let Some(door) = door::get() else { return NDIS_STATUS_FAILURE };
    // SAFETY: `filter` is the handle that NDIS gave.
    let module = match unsafe { make(filter, door) } {
        Ok(module) => Box::into_raw(module),
        Err(status) => return status,
    };
    let attributes = NDIS_FILTER_ATTRIBUTES {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_FILTER_ATTRIBUTES,
            Revision: 1,
            Size: NDIS_SIZEOF_FILTER_ATTRIBUTES_REVISION_1,
        },
        Flags: 0,
    };
    // SAFETY: called in FilterAttach; the module lives until `detach`; on failure nobody has the pointer but us.
    unsafe {
        (*module).extension.platform().module.store(module.cast(), Ordering::Release);
        (*module).timer = Timer::start(filter, HOUSEKEEPING, housekeep, module.cast());
        (*module).watch = HostWatch::start(host_changed, module.cast());
        let status = match ((*module).timer.is_some(), (*module).watch.is_some()) {
            (true, true) if show(&(*module).extension) => {
                NdisFSetAttributes(filter, module.cast(), &attributes)
            }
            _ => NDIS_STATUS_RESOURCES,
        };
        if status != NDIS_STATUS_SUCCESS {
            (*module).quiet();
            drop(Box::from_raw(module));
            return status;
        }
    }
    if FIRST.compare_exchange(ptr::null_mut(), module, Ordering::AcqRel, Ordering::Acquire).is_err() {
        // SAFETY: the module is there until it is detached.
        unsafe { (*module).extension.platform().is_seen.store(false, Ordering::Release) };
    }
    NDIS_STATUS_SUCCESS
}

/// Lets user space see the switch if it sees none: a second one forwards what the switch forwards by itself, and nothing
/// else. False if memory is short.
fn show(extension: &Extension<SwitchHost>) -> bool {
    let is_first = FIRST.load(Ordering::Acquire).is_null();
    extension.platform().is_seen.store(is_first, Ordering::Release);
    extension.adopt()
}

pub(crate) unsafe extern "win64" fn detach(context: NDIS_HANDLE) {
    let pointer = context.cast::<Module>();
    let _ = FIRST.compare_exchange(pointer, ptr::null_mut(), Ordering::AcqRel, Ordering::Acquire);
    while INSIDE.load(Ordering::Acquire) != 0 {
        /// One millisecond, relative.
        const MOMENT: i64 = -10_000;
        // SAFETY: FilterDetach is called at PASSIVE_LEVEL; the interval is static.
        unsafe { KeDelayExecutionThread(0, 0, &MOMENT) };
    }
    // SAFETY: `attach` made the module; NDIS has no call inside it any more, and neither has anybody else.
    unsafe {
        (*pointer).quiet();
        (*pointer).extension.detach();
        drop(Box::from_raw(pointer));
    }
}

pub(crate) unsafe extern "win64" fn restart(
    context: NDIS_HANDLE,
    _parameters: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    // SAFETY: NDIS calls with the context that was set.
    let restarted = unsafe { module(context) }.extension.restart();
    if restarted { NDIS_STATUS_SUCCESS } else { NDIS_STATUS_RESOURCES }
}

pub(crate) unsafe extern "win64" fn pause(
    context: NDIS_HANDLE,
    _parameters: *mut NDIS_FILTER_PAUSE_PARAMETERS,
) -> NDIS_STATUS {
    // SAFETY: as above.
    match unsafe { module(context) }.extension.pause() {
        Pause::Done => NDIS_STATUS_SUCCESS,
        Pause::Pending => NDIS_STATUS_PENDING,
    }
}

pub(crate) unsafe extern "win64" fn send(
    context: NDIS_HANDLE,
    lists: *mut NET_BUFFER_LIST,
    _port: u32,
    _flags: u32,
) {
    // SAFETY: as above, and NDIS gives the packets away.
    unsafe { module(context).extension.ingress(crate::host::Packets(Chain::from_raw(lists))) }
}

pub(crate) unsafe extern "win64" fn send_complete(
    context: NDIS_HANDLE,
    lists: *mut NET_BUFFER_LIST,
    flags: u32,
) {
    let single_source = flags & NDIS_SEND_COMPLETE_FLAGS_SWITCH_SINGLE_SOURCE != 0;
    // SAFETY: as above.
    let (module, chain) = unsafe { (module(context), Chain::from_raw(lists)) };
    module.extension.send_complete(crate::host::Packets(chain), single_source);
}

/// Nothing is queued here: packets are decided on the spot.
pub(crate) unsafe extern "win64" fn cancel_send(context: NDIS_HANDLE, id: *mut c_void) {
    // SAFETY: as above; cancels go to those below, which may have queued.
    unsafe { NdisFCancelSendNetBufferLists(module(context).extension.platform().switch.filter(), id) }
}

pub(crate) unsafe extern "win64" fn oid_request(
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
) -> NDIS_STATUS {
    // SAFETY: as above; the request is there until it is completed.
    let (module, parsed) = unsafe { (module(context), oid::parse(&OidRequest::from_raw(request))) };
    match module.extension.handle_oid(parsed) {
        Decision::Veto(Veto::Resources) => NDIS_STATUS_RESOURCES,
        Decision::Veto(Veto::NotSupported) => NDIS_STATUS_NOT_SUPPORTED,
        Decision::Veto(Veto::Failure) => NDIS_STATUS_FAILURE,
        Decision::Forward(after) => {
            let filter = module.extension.platform().switch.filter();
            // SAFETY: the request came by this callback, which returns what this returns.
            unsafe {
                forward_oid(filter, request, &module.spare, after.to_words(), |note, status| {
                    done(module, note, status)
                })
            }
        }
    }
}

pub(crate) unsafe extern "win64" fn oid_request_complete(
    context: NDIS_HANDLE,
    request: *mut NDIS_OID_REQUEST,
    status: NDIS_STATUS,
) {
    // SAFETY: as above; the request is one that we sent down.
    unsafe {
        let module = module(context);
        let filter = module.extension.platform().switch.filter();
        oid_answered(filter, request, &module.spare, status, |note, status| done(module, note, status));
    }
}

fn done(module: &Module, note: [u32; 2], status: NDIS_STATUS) {
    module.extension.oid_done(After::from_words(note), status == NDIS_STATUS_SUCCESS);
}

pub(crate) unsafe extern "win64" fn cancel_oid_request(context: NDIS_HANDLE, id: *mut c_void) {
    // SAFETY: as above; a clone has its original's id.
    unsafe { NdisFCancelOidRequest(module(context).extension.platform().switch.filter(), id) }
}

pub(crate) unsafe extern "win64" fn net_pnp_event(
    context: NDIS_HANDLE,
    event: *mut NET_PNP_EVENT_NOTIFICATION,
) -> NDIS_STATUS {
    // SAFETY: as above; the event is there for the call. It is passed on whatever becomes of it here.
    unsafe {
        let extension = &module(context).extension;
        if (*event).NetPnPEvent.NetEvent == NetEventSwitchActivate {
            // What is not learned now comes by requests, or at the next restart.
            let _ = extension.activate();
        }
        NdisFNetPnPEvent(extension.platform().switch.filter(), event)
    }
}

unsafe extern "win64" fn housekeep(_: *mut c_void, context: *mut c_void, _: *mut c_void, _: *mut c_void) {
    // SAFETY: the timer's context is the module, which outlives the timer.
    unsafe { module(context) }.extension.housekeep();
}

/// Routes, interfaces or addresses of the host changed; may be called at any time between attach and detach.
unsafe extern "win64" fn host_changed(context: *mut c_void, _row: *mut c_void, _kind: i32) {
    // SAFETY: the watch's context is the module, which outlives the watch.
    unsafe { module(context) }.extension.host_changed();
}

/// The work of the module's item.
pub(crate) unsafe extern "win64" fn find_ways(context: *mut c_void, _item: NDIS_HANDLE) {
    // SAFETY: whoever asked gave the module, which waits for the work before it goes.
    let extension = &unsafe { module(context) }.extension;
    extension.platform().work.run(|| extension.find_ways());
}

/// NDIS's flags for what packets have in common.
pub(crate) fn send_flags(flags: SendFlags) -> u32 {
    let flag = |set: bool, bit: u32| if set { bit } else { 0 };
    flag(flags.single_source, NDIS_SEND_FLAGS_SWITCH_SINGLE_SOURCE)
        | flag(flags.destination_group, NDIS_SEND_FLAGS_SWITCH_DESTINATION_GROUP)
}
