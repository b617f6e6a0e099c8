//! The filter driver as NDIS sees it: registration, the module's states, requests, plug-and-play events.
//!
//! Where it sits: the driver's calls come in here; the administrator calls the driver through [`Module`].
//!
//! Spec: filter module states; OID requests are serialised, cloned before they are passed on, and completed once.

use std::ffi::c_void;
use std::ptr;

use ndis_sys::*;

use crate::fault::{Fault, goes_wrong};
use crate::kernel::{at_most, exports, handle, in_the_driver};
use crate::processors::{level, reschedule, set_level, wait_until};
use crate::world::{broken, rule, with};

/// States of the module, as NDIS keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    #[default]
    Detached,
    Attaching,
    Paused,
    Restarting,
    Running,
    Pausing,
}

/// The one filter module.
#[derive(Default)]
pub(crate) struct Module {
    pub characteristics: Option<Box<NDIS_FILTER_DRIVER_CHARACTERISTICS>>,
    pub driver_context: usize,
    pub driver_handle: usize,
    pub filter: usize,
    pub switch: usize,
    pub context: usize,
    pub stage: Stage,
    /// NdisFPauseComplete was called.
    pub pause_completed: bool,
    /// Pauses so far.
    pub pauses: usize,
    /// A request of the switch that the driver has: the original, and how it was answered.
    pub request: Option<(usize, Option<i32>)>,
    /// It was passed on.
    pub request_forwarded: bool,
    /// Number of the request whose cancelling the driver passed on last.
    pub cancelled: usize,
    /// What is attached to is no switch.
    pub is_elsewhere: bool,
    /// An extension below has given what it saves of an adapter.
    pub has_saved: bool,
    /// What NdisFNetPnPEvent returned last.
    pub event_status: i32,
    /// Calls with packets that are inside the driver.
    pub inside: usize,
    /// No more packets are to come.
    pub closing: bool,
    pub unload: Option<unsafe extern "win64" fn(*mut DRIVER_OBJECT)>,
}

// SAFETY: function pointers and names of static strings.
unsafe impl Send for Module {}

/// The driver's functions.
pub(crate) fn callbacks() -> NDIS_FILTER_DRIVER_CHARACTERISTICS {
    with(|w| *w.module.characteristics.as_deref().expect("the driver registered"))
}

pub(crate) fn context() -> NDIS_HANDLE {
    with(|w| w.module.context as NDIS_HANDLE)
}

/// The handle is this module's.
pub(crate) fn is_filter(filter: NDIS_HANDLE, what: &str) {
    if with(|w| w.module.filter != filter as usize) {
        broken(&format!("{what}: not the filter module's handle"));
    }
}

/// FilterAttach to what is no switch of Hyper-V: to another medium, or to a stack that has no such functions.
pub(crate) fn attach_elsewhere() {
    const WAN: i32 = 3;
    with(|w| w.module.is_elsewhere = true);
    let [no_switch, other_medium] = [NdisMedium802_3, WAN].map(attach_to);
    with(|w| w.module.is_elsewhere = false);
    let short = with(|w| w.fail_one_in != 0);
    let is_refused = |status, expected| status == expected || short && status == NDIS_STATUS_RESOURCES;
    rule(
        is_refused(no_switch, NDIS_STATUS_NOT_SUPPORTED)
            && is_refused(other_medium, NDIS_STATUS_UNSUPPORTED_MEDIA),
        "the extension attaches to what is no switch (rule 79)",
    );
}

/// FilterAttach; true if it succeeded.
pub(crate) fn attach() -> bool {
    attach_to(NdisMedium802_3) == NDIS_STATUS_SUCCESS
}

/// FilterAttach to a stack of some medium; its status.
fn attach_to(medium: i32) -> NDIS_STATUS {
    let (filter, switch) = (handle(), handle());
    let driver_context = with(|w| {
        w.module.stage = Stage::Attaching;
        (w.module.filter, w.module.switch) = (filter, switch);
        w.module.driver_context
    });
    // SAFETY: zeros are a valid value, and the header says what it is.
    let mut parameters: NDIS_FILTER_ATTACH_PARAMETERS = unsafe { std::mem::zeroed() };
    parameters.Header = NDIS_OBJECT_HEADER {
        Type: NDIS_OBJECT_TYPE_FILTER_ATTACH_PARAMETERS,
        Revision: 4,
        Size: NDIS_SIZEOF_FILTER_ATTACH_PARAMETERS_REVISION_4,
    };
    parameters.MiniportMediaType = medium;
    let f = callbacks().AttachHandler.expect("checked at registration");
    // SAFETY: called at PASSIVE_LEVEL with parameters that live for the call.
    let status =
        in_the_driver(|| unsafe { f(filter as NDIS_HANDLE, driver_context as NDIS_HANDLE, &mut parameters) });
    let ok = status == NDIS_STATUS_SUCCESS;
    rule(!ok || with(|w| w.module.context != 0), "FilterAttach succeeded without NdisFSetAttributes");
    with(|w| {
        w.module.stage = if ok { Stage::Paused } else { Stage::Detached };
        if !ok {
            w.module.context = 0;
        }
    });
    status
}

/// FilterRestart; true if it succeeded.
pub(crate) fn restart() -> bool {
    if goes_wrong(Fault::ForgetARestart) {
        with(|w| w.module.stage = Stage::Running);
        return true;
    }
    with(|w| w.module.stage = Stage::Restarting);
    // SAFETY: zeros are a valid value.
    let mut parameters: NDIS_FILTER_RESTART_PARAMETERS = unsafe { std::mem::zeroed() };
    parameters.Header = NDIS_OBJECT_HEADER {
        Type: NDIS_OBJECT_TYPE_FILTER_RESTART_PARAMETERS,
        Revision: 1,
        Size: NDIS_SIZEOF_FILTER_RESTART_PARAMETERS_REVISION_1,
    };
    let f = callbacks().RestartHandler.expect("checked at registration");
    // SAFETY: as above.
    let status = in_the_driver(|| unsafe { f(context(), &mut parameters) });
    rule(status != NDIS_STATUS_PENDING, "FilterRestart is pending: the simulator does not wait for it");
    let ok = status == NDIS_STATUS_SUCCESS;
    with(|w| w.module.stage = if ok { Stage::Running } else { Stage::Paused });
    ok
}

/// FilterPause, until it is over.
pub(crate) fn pause() {
    with(|w| {
        w.module.stage = Stage::Pausing;
        w.module.pause_completed = false;
    });
    // SAFETY: zeros are a valid value.
    let mut parameters: NDIS_FILTER_PAUSE_PARAMETERS = unsafe { std::mem::zeroed() };
    parameters.Header = NDIS_OBJECT_HEADER {
        Type: NDIS_OBJECT_TYPE_FILTER_PAUSE_PARAMETERS,
        Revision: 1,
        Size: NDIS_SIZEOF_FILTER_PAUSE_PARAMETERS_REVISION_1,
    };
    let f = callbacks().PauseHandler.expect("checked at registration");
    // SAFETY: as above.
    match in_the_driver(|| unsafe { f(context(), &mut parameters) }) {
        NDIS_STATUS_SUCCESS => {
            rule(!with(|w| w.module.pause_completed), "FilterPause succeeded and was completed as well");
        }
        NDIS_STATUS_PENDING if goes_wrong(Fault::EndAPauseEarly) => {}
        NDIS_STATUS_PENDING => wait_until(|| with(|w| w.module.pause_completed)),
        status => broken(&format!("FilterPause failed with {status:#x}")),
    }
    let (out, kept) = with(|w| {
        w.module.stage = Stage::Paused;
        w.module.pauses += 1;
        let packets = || w.ledger.packets.values();
        (packets().any(|p| p.made_by_driver), packets().any(|p| p.shared))
    });
    rule(!out, "a pause ended while packets of the driver were out");
    rule(!kept, "a pause ended while a packet was kept whose data others had shared (rule 7)");
}

/// FilterDetach.
pub(crate) fn detach() {
    let f = callbacks().DetachHandler.expect("checked at registration");
    // SAFETY: as above; the module is paused.
    in_the_driver(|| unsafe { f(context()) });
    let left = with(|w| {
        w.module.stage = Stage::Detached;
        w.module.context = 0;
        let l = &w.ledger;
        let of_the_module = l.packets.len()
            + l.mdls.len()
            + l.pools.len()
            + l.timers.len()
            + l.clones.len()
            + l.port_references.len();
        of_the_module + w.net.leaks().len()
    });
    rule(left == 0, "FilterDetach leaves something behind (rule 3)");
}

/// Asks the driver to give a request up that it has passed on. Whoever answers it does so as before.
fn cancel(id: usize) {
    with(|w| w.module.cancelled = 0);
    let f = callbacks().CancelOidRequestHandler.expect("the driver handles requests");
    // SAFETY: the module is there as long as a request is at it.
    in_the_driver(|| unsafe { f(context(), id as *mut c_void) });
    rule(with(|w| w.module.cancelled == id), "cancelling a request is not passed on (rule 19)");
}

impl Module {
    /// Where it is in its life: its state, and how often it was paused.
    pub fn moment(&self) -> (Stage, usize) {
        (self.stage, self.pauses)
    }
}

/// Gives a request to the driver and waits for the answer.
pub(crate) fn request(request: &mut NDIS_OID_REQUEST) -> i32 {
    request.RequestId = handle() as _;
    let original = ptr::from_mut(request);
    wait_until(|| with(|w| w.module.request.is_none()));
    with(|w| {
        w.module.request = Some((original as usize, None));
        w.module.request_forwarded = false;
    });
    let f = callbacks().OidRequestHandler.expect("the driver handles requests");
    // SAFETY: the request and its buffer live until the answer is here.
    let status = in_the_driver(|| unsafe { f(context(), original) });
    let status = if status == NDIS_STATUS_PENDING {
        if with(|w| w.random.once_in(4)) {
            cancel(request.RequestId as usize);
        }
        wait_until(|| with(|w| w.module.request.is_some_and(|(_, answer)| answer.is_some())));
        with(|w| w.module.request.and_then(|(_, answer)| answer)).expect("waited for")
    } else {
        let answered = with(|w| w.module.request.is_some_and(|(_, answer)| answer.is_some()));
        rule(!answered, "a request was completed and answered");
        status
    };
    with(|w| w.module.request = None);
    status
}

/// The switch becomes active, if it is not, and the driver is told.
pub(crate) fn activate() {
    with(|w| w.administrator.as_mut().expect("running").active = true);
    if goes_wrong(Fault::WithholdTheActivation) {
        return;
    }
    // SAFETY: zeros are a valid value.
    let mut event: NET_PNP_EVENT_NOTIFICATION = unsafe { std::mem::zeroed() };
    event.Header = NDIS_OBJECT_HEADER {
        Type: NDIS_OBJECT_TYPE_DEFAULT,
        Revision: 1,
        Size: NDIS_SIZEOF_NET_PNP_EVENT_NOTIFICATION_REVISION_1,
    };
    event.NetPnPEvent.NetEvent = NetEventSwitchActivate;
    let f = callbacks().NetPnPEventHandler.expect("the driver handles events");
    // SAFETY: the event lives for the call.
    let status = in_the_driver(|| unsafe { f(context(), &mut event) });
    let passed_on = with(|w| w.module.event_status);
    rule(status == passed_on, "FilterNetPnPEvent does not return what NdisFNetPnPEvent did (rule 71)");
}

/// Answers a request that came down: at once, or, as the seed decides, later.
unsafe fn answer(filter: NDIS_HANDLE, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    let later = with(|w| w.random.once_in(2));
    if !later {
        // SAFETY: the driver's request, with its buffer.
        return unsafe { crate::administrator::answer(request) };
    }
    // Somebody else answers, while this call is still under way or after it.
    with(|w| w.requests.push_back(request as usize));
    let _ = filter;
    NDIS_STATUS_PENDING
}

/// Answers one of the requests that wait.
pub(crate) fn answer_one() -> bool {
    let Some(request) = with(|w| w.requests.pop_front()) else { return false };
    let request = request as *mut NDIS_OID_REQUEST;
    // SAFETY: the driver keeps the request until it is answered, which this does.
    unsafe {
        let status = crate::administrator::answer(request);
        let f = callbacks().OidRequestCompleteHandler.expect("the driver sends requests");
        in_the_driver(|| f(context(), request, status));
    }
    true
}

fn check_registration(c: &NDIS_FILTER_DRIVER_CHARACTERISTICS) -> NDIS_STATUS {
    let h = c.Header;
    if h.Type != NDIS_OBJECT_TYPE_FILTER_DRIVER_CHARACTERISTICS || h.Revision < 2 || c.MajorNdisVersion != 6 {
        return NDIS_STATUS_BAD_VERSION;
    }
    let mandatory = c.AttachHandler.is_some()
        && c.DetachHandler.is_some()
        && c.RestartHandler.is_some()
        && c.PauseHandler.is_some();
    let paired = c.SendNetBufferListsHandler.is_some() == c.SendNetBufferListsCompleteHandler.is_some()
        && c.ReceiveNetBufferListsHandler.is_some() == c.ReturnNetBufferListsHandler.is_some()
        && c.OidRequestHandler.is_some() == c.OidRequestCompleteHandler.is_some();
    if mandatory && paired { NDIS_STATUS_SUCCESS } else { NDIS_STATUS_BAD_CHARACTERISTICS }
}

exports! {
    fn NdisFRegisterFilterDriver(
        driver: *mut DRIVER_OBJECT,
        context: NDIS_HANDLE,
        characteristics: *const NDIS_FILTER_DRIVER_CHARACTERISTICS,
        out: *mut NDIS_HANDLE,
    ) -> NDIS_STATUS {
        at_most(PASSIVE_LEVEL, "NdisFRegisterFilterDriver");
        // Later systems know more members than the driver declares: read what its header says is there.
        let c = *characteristics;
        let status = check_registration(&c);
        if status == NDIS_STATUS_SUCCESS {
            let new = handle();
            with(|w| {
                w.module.characteristics = Some(Box::new(c));
                w.module.driver_context = context as usize;
                w.module.driver_handle = new;
                w.module.unload = (*driver).DriverUnload;
            });
            *out = new as NDIS_HANDLE;
        }
        status
    }

    fn NdisFDeregisterFilterDriver(driver: NDIS_HANDLE) {
        at_most(PASSIVE_LEVEL, "NdisFDeregisterFilterDriver");
        rule(with(|w| w.module.driver_handle == driver as usize), "deregistering another driver");
        if with(|w| w.module.stage == Stage::Running) {
            // NDIS takes the driver off its modules before this returns.
            crate::scenario::detach_under_way();
        }
        rule(with(|w| w.module.stage == Stage::Detached), "deregistering while a module is attached");
        if goes_wrong(Fault::IgnoreDeregistering) {
            return;
        }
        with(|w| w.module.driver_handle = 0);
    }

    fn NdisFSetAttributes(
        filter: NDIS_HANDLE,
        context: NDIS_HANDLE,
        attributes: *const NDIS_FILTER_ATTRIBUTES,
    ) -> NDIS_STATUS {
        at_most(PASSIVE_LEVEL, "NdisFSetAttributes");
        is_filter(filter, "NdisFSetAttributes");
        rule((*attributes).Header.Type == NDIS_OBJECT_TYPE_FILTER_ATTRIBUTES, "NdisFSetAttributes: a wrong header");
        rule(with(|w| w.module.stage == Stage::Attaching), "NdisFSetAttributes outside FilterAttach");
        with(|w| w.module.context = context as usize);
        NDIS_STATUS_SUCCESS
    }

    fn NdisFOidRequest(filter: NDIS_HANDLE, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
        at_most(DISPATCH_LEVEL, "NdisFOidRequest");
        is_filter(filter, "NdisFOidRequest");
        let allowed = with(|w| !matches!(w.module.stage, Stage::Detached | Stage::Attaching));
        rule(allowed, "a request in a state in which none may be made (rule 2)");
        let header = (*request).Header;
        rule(header.Type == NDIS_OBJECT_TYPE_OID_REQUEST, "NdisFOidRequest: a wrong header");
        let original = with(|w| w.module.request.map(|(original, _)| original));
        rule(original != Some(request as usize), "a request was passed on without being cloned (rule 14)");
        // A copy of the request that is under way, a clone or the driver's own.
        // SAFETY: both are whole requests.
        let same = |o: usize| unsafe { (*request).DATA.Set.Oid == (*(o as *mut NDIS_OID_REQUEST)).DATA.Set.Oid };
        if original.is_some_and(same) {
            if goes_wrong(Fault::KeepARequest) {
                return NDIS_STATUS_SUCCESS;
            }
            with(|w| w.module.request_forwarded = true);
            if goes_wrong(Fault::ChangeARequest) {
                *(*request).DATA.Set.InformationBuffer.cast::<u8>() ^= 1;
            }
        }
        let status = answer(filter, request);
        if status == NDIS_STATUS_SUCCESS && (*request).DATA.Set.Oid == OID_SWITCH_NIC_ARRAY {
            // Requests of the switch may come before the driver has read its answer (rule 33).
            let leaving = with(|w| w.administrator.as_mut().and_then(|a| a.leaving.take()));
            leaving.into_iter().for_each(|leave| leave());
        }
        status
    }

    fn NdisFOidRequestComplete(filter: NDIS_HANDLE, request: *mut NDIS_OID_REQUEST, status: NDIS_STATUS) {
        at_most(DISPATCH_LEVEL, "NdisFOidRequestComplete");
        is_filter(filter, "NdisFOidRequestComplete");
        let known = with(|w| match &mut w.module.request {
            Some((original, answer @ None)) if *original == request as usize => {
                *answer = Some(status);
                true
            }
            _ => false,
        });
        rule(known, "a request is completed that is not there, or twice (rule 15)");
        rule(with(|w| w.ledger.clones.is_empty()), "a clone is freed after its original (rule 16)");
    }

    fn NdisFCancelOidRequest(filter: NDIS_HANDLE, id: *mut c_void) {
        at_most(DISPATCH_LEVEL, "NdisFCancelOidRequest");
        is_filter(filter, "NdisFCancelOidRequest");
        with(|w| w.module.cancelled = id as usize);
    }

    fn NdisAllocateCloneOidRequest(
        source: NDIS_HANDLE,
        request: *mut NDIS_OID_REQUEST,
        _tag: u32,
        clone: *mut *mut NDIS_OID_REQUEST,
    ) -> NDIS_STATUS {
        at_most(DISPATCH_LEVEL, "NdisAllocateCloneOidRequest");
        is_filter(source, "NdisAllocateCloneOidRequest");
        if with(|w| w.fails()) {
            return NDIS_STATUS_RESOURCES;
        }
        let mut copy = Box::new(*request);
        copy.SourceReserved = [0; 16];
        let copy = Box::into_raw(copy);
        with(|w| w.ledger.clones.insert(copy as usize, request as usize));
        *clone = copy;
        NDIS_STATUS_SUCCESS
    }

    fn NdisFreeCloneOidRequest(source: NDIS_HANDLE, clone: *mut NDIS_OID_REQUEST) {
        at_most(DISPATCH_LEVEL, "NdisFreeCloneOidRequest");
        is_filter(source, "NdisFreeCloneOidRequest");
        rule(
            with(|w| w.ledger.clones.remove(&(clone as usize))).is_some(),
            "NdisFreeCloneOidRequest: no such clone (freed twice?)",
        );
        drop(Box::from_raw(clone));
    }

    fn NdisFPauseComplete(filter: NDIS_HANDLE) {
        at_most(DISPATCH_LEVEL, "NdisFPauseComplete");
        is_filter(filter, "NdisFPauseComplete");
        rule(
            with(|w| w.module.stage == Stage::Pausing && !w.module.pause_completed),
            "NdisFPauseComplete without a pause, or twice (rule 4)",
        );
        with(|w| w.module.pause_completed = true);
    }

    fn NdisFNetPnPEvent(filter: NDIS_HANDLE, _event: *mut NET_PNP_EVENT_NOTIFICATION) -> NDIS_STATUS {
        at_most(PASSIVE_LEVEL, "NdisFNetPnPEvent");
        is_filter(filter, "NdisFNetPnPEvent");
        with(|w| {
            let refused = w.random.once_in(2);
            w.module.event_status = if refused { NDIS_STATUS_NOT_SUPPORTED } else { NDIS_STATUS_SUCCESS };
            w.module.event_status
        })
    }
}

/// Calls the driver with packets, at DISPATCH_LEVEL or below it.
pub(crate) fn at_level(raised: u8, f: impl FnOnce()) {
    let old = set_level(raised.max(level()));
    let here = level();
    f();
    rule(level() == here, "a callback returns at another IRQL");
    set_level(old);
    reschedule();
}
