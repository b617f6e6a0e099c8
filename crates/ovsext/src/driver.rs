//! Loading and unloading: the filter driver and its device.
//!
//! Where it sits: called by the image's entry; NDIS calls the functions of `module.rs` from then on.
//!
//! Spec: filter driver characteristics revision 2, NDIS 6.40: works from Windows Server 2016 (and 2012 R2, not built for it:
//! its kernel lacks the non-executable mapping flag, which it ignores).

use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use ndis::{Utf16, unicode};
use ndis_sys::*;

use crate::door;
use crate::module;

/// The extension's identity: NetCfgInstanceId of the INF, and in every report.
pub(crate) static UNIQUE: Utf16<38> = Utf16::new(b"{583CC151-73EC-4A6A-8B47-578297AD7623}");
/// Its name as administrators see it; scripts look it up by this.
pub(crate) static FRIENDLY: Utf16<22> = Utf16::new(b"Open vSwitch Extension");
static SERVICE: Utf16<6> = Utf16::new(b"OVSExt");

/// The filter driver's handle, from registering to unloading.
static DRIVER: AtomicPtr<core::ffi::c_void> = AtomicPtr::new(ptr::null_mut());

fn characteristics() -> NDIS_FILTER_DRIVER_CHARACTERISTICS {
    // SAFETY: all zeros are a valid value: numbers, empty strings, and functions that are none.
    let mut c: NDIS_FILTER_DRIVER_CHARACTERISTICS = unsafe { core::mem::zeroed() };
    c.Header = NDIS_OBJECT_HEADER {
        Type: NDIS_OBJECT_TYPE_FILTER_DRIVER_CHARACTERISTICS,
        Revision: 2,
        Size: NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_2,
    };
    (c.MajorNdisVersion, c.MinorNdisVersion) = (6, 40);
    (c.MajorDriverVersion, c.MinorDriverVersion) = (1, 0);
    (c.FriendlyName, c.UniqueName, c.ServiceName) = (unicode(&FRIENDLY), unicode(&UNIQUE), unicode(&SERVICE));
    c.AttachHandler = Some(module::attach);
    c.DetachHandler = Some(module::detach);
    c.RestartHandler = Some(module::restart);
    c.PauseHandler = Some(module::pause);
    c.SendNetBufferListsHandler = Some(module::send);
    c.SendNetBufferListsCompleteHandler = Some(module::send_complete);
    c.CancelSendNetBufferListsHandler = Some(module::cancel_send);
    c.OidRequestHandler = Some(module::oid_request);
    c.OidRequestCompleteHandler = Some(module::oid_request_complete);
    c.CancelOidRequestHandler = Some(module::cancel_oid_request);
    c.NetPnPEventHandler = Some(module::net_pnp_event);
    c
}

/// DriverEntry.
///
/// # Safety
/// `driver` is the loaded driver's object, and this is called once for it, at PASSIVE_LEVEL.
pub unsafe fn driver_entry(driver: *mut DRIVER_OBJECT) -> NDIS_STATUS {
    sync::set_relax(ndis::pause);
    if !door::build() {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let mut handle = ptr::null_mut();
    // SAFETY: the object is the caller's; the characteristics are whole, and NDIS copies them.
    let status = unsafe {
        (*driver).DriverUnload = Some(unload);
        // Modules may be attached before this returns: everything they use is there.
        NdisFRegisterFilterDriver(driver, driver.cast(), &characteristics(), &mut handle)
    };
    if status != NDIS_STATUS_SUCCESS {
        // SAFETY: nothing was registered that could come in.
        unsafe { door::remove() };
        return status;
    }
    DRIVER.store(handle, Ordering::Release);
    // SAFETY: the filter driver's handle, as registering returned it.
    if !unsafe { door::open(handle) } {
        // SAFETY: loading fails, and nothing is called any more.
        unsafe { unload(driver) };
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    status
}

/// DriverUnload: Windows calls it when no file of the device is open any more.
unsafe extern "win64" fn unload(_driver: *mut DRIVER_OBJECT) {
    door::close();
    let handle = DRIVER.swap(ptr::null_mut(), Ordering::AcqRel);
    if !handle.is_null() {
        // SAFETY: registering returned the handle; NDIS detaches every module before it returns.
        unsafe { NdisFDeregisterFilterDriver(handle) }
    }
    // SAFETY: the device is gone, and so is every module.
    unsafe { door::remove() };
}
