//! Functions of NDIS.SYS, of NETIO.SYS (the kernel's IP Helper) and of ntoskrnl.exe.
//!
//! Where it sits: on Windows each declaration writes its import itself (`raw-dylib`), so that no import library is needed;
//! elsewhere the simulator exports the names.
//!
//! Levels (IRQL) at which each may be called are in the Windows Driver Kit's documentation; `ndis` keeps them.

use core::ffi::c_void;

use crate::netio::*;
use crate::structs::*;

#[cfg_attr(windows, link(name = "NDIS.SYS", kind = "raw-dylib", modifiers = "+verbatim"))]
unsafe extern "win64" {
    pub fn NdisFRegisterFilterDriver(
        driver: *mut DRIVER_OBJECT,
        context: NDIS_HANDLE,
        characteristics: *const NDIS_FILTER_DRIVER_CHARACTERISTICS,
        handle: *mut NDIS_HANDLE,
    ) -> NDIS_STATUS;
    pub fn NdisFDeregisterFilterDriver(driver: NDIS_HANDLE);
    pub fn NdisFSetAttributes(
        filter: NDIS_HANDLE,
        context: NDIS_HANDLE,
        attributes: *const NDIS_FILTER_ATTRIBUTES,
    ) -> NDIS_STATUS;
    pub fn NdisFGetOptionalSwitchHandlers(
        filter: NDIS_HANDLE,
        switch: *mut NDIS_HANDLE,
        handlers: *mut NDIS_SWITCH_OPTIONAL_HANDLERS,
    ) -> NDIS_STATUS;
    pub fn NdisFSendNetBufferLists(filter: NDIS_HANDLE, lists: *mut NET_BUFFER_LIST, port: u32, flags: u32);
    pub fn NdisFSendNetBufferListsComplete(filter: NDIS_HANDLE, lists: *mut NET_BUFFER_LIST, flags: u32);
    pub fn NdisFCancelSendNetBufferLists(filter: NDIS_HANDLE, id: *mut c_void);
    pub fn NdisFOidRequest(filter: NDIS_HANDLE, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS;
    pub fn NdisFOidRequestComplete(filter: NDIS_HANDLE, request: *mut NDIS_OID_REQUEST, status: NDIS_STATUS);
    pub fn NdisFCancelOidRequest(filter: NDIS_HANDLE, id: *mut c_void);
    pub fn NdisFPauseComplete(filter: NDIS_HANDLE);
    pub fn NdisFNetPnPEvent(filter: NDIS_HANDLE, event: *mut NET_PNP_EVENT_NOTIFICATION) -> NDIS_STATUS;
    pub fn NdisAllocateCloneOidRequest(
        source: NDIS_HANDLE,
        request: *mut NDIS_OID_REQUEST,
        tag: u32,
        clone: *mut *mut NDIS_OID_REQUEST,
    ) -> NDIS_STATUS;
    pub fn NdisFreeCloneOidRequest(source: NDIS_HANDLE, clone: *mut NDIS_OID_REQUEST);
    pub fn NdisAllocateNetBufferListPool(
        handle: NDIS_HANDLE,
        parameters: *const NET_BUFFER_LIST_POOL_PARAMETERS,
    ) -> NDIS_HANDLE;
    pub fn NdisFreeNetBufferListPool(pool: NDIS_HANDLE);
    pub fn NdisAllocateNetBufferAndNetBufferList(
        pool: NDIS_HANDLE,
        context_size: u16,
        context_backfill: u16,
        mdls: *mut MDL,
        offset: u32,
        length: usize,
    ) -> *mut NET_BUFFER_LIST;
    pub fn NdisFreeNetBufferList(list: *mut NET_BUFFER_LIST);
    pub fn NdisAllocateMdl(handle: NDIS_HANDLE, address: *mut c_void, length: u32) -> *mut MDL;
    pub fn NdisFreeMdl(mdl: *mut MDL);
    pub fn NdisRegisterDeviceEx(
        handle: NDIS_HANDLE,
        attributes: *const NDIS_DEVICE_OBJECT_ATTRIBUTES,
        device: *mut *mut c_void,
        device_handle: *mut NDIS_HANDLE,
    ) -> NDIS_STATUS;
    pub fn NdisDeregisterDeviceEx(device: NDIS_HANDLE);
    pub fn NdisAllocateTimerObject(
        handle: NDIS_HANDLE,
        characteristics: *const NDIS_TIMER_CHARACTERISTICS,
        timer: *mut NDIS_HANDLE,
    ) -> NDIS_STATUS;
    pub fn NdisSetTimerObject(timer: NDIS_HANDLE, due: i64, period_ms: u32, context: *mut c_void) -> u8;
    pub fn NdisCancelTimerObject(timer: NDIS_HANDLE) -> u8;
    pub fn NdisFreeTimerObject(timer: NDIS_HANDLE);
    pub fn NdisAllocateIoWorkItem(handle: NDIS_HANDLE) -> NDIS_HANDLE;
    pub fn NdisQueueIoWorkItem(
        item: NDIS_HANDLE,
        routine: unsafe extern "win64" fn(context: *mut c_void, item: NDIS_HANDLE),
        context: *mut c_void,
    );
    pub fn NdisFreeIoWorkItem(item: NDIS_HANDLE);
}

#[cfg_attr(windows, link(name = "NETIO.SYS", kind = "raw-dylib", modifiers = "+verbatim"))]
unsafe extern "win64" {
    pub fn GetBestRoute2(
        luid: *const u64,
        index: u32,
        source: *const SOCKADDR_INET,
        destination: *const SOCKADDR_INET,
        sort_options: u32,
        route: *mut MIB_IPFORWARD_ROW2,
        best_source: *mut SOCKADDR_INET,
    ) -> i32;
    pub fn GetIpNetEntry2(row: *mut MIB_IPNET_ROW2) -> i32;
    pub fn ResolveIpNetEntry2(row: *mut MIB_IPNET_ROW2, source: *const SOCKADDR_INET) -> i32;
    pub fn GetUnicastIpAddressTable(family: u16, table: *mut *mut MIB_UNICASTIPADDRESS_TABLE) -> i32;
    pub fn FreeMibTable(table: *mut c_void);
    pub fn ConvertInterfaceGuidToLuid(guid: *const GUID, luid: *mut u64) -> i32;
    pub fn NotifyRouteChange2(
        family: u16,
        callback: MIB_CHANGE_CALLBACK,
        context: *mut c_void,
        initial: u8,
        handle: *mut *mut c_void,
    ) -> i32;
    pub fn NotifyIpInterfaceChange(
        family: u16,
        callback: MIB_CHANGE_CALLBACK,
        context: *mut c_void,
        initial: u8,
        handle: *mut *mut c_void,
    ) -> i32;
    pub fn NotifyUnicastIpAddressChange(
        family: u16,
        callback: MIB_CHANGE_CALLBACK,
        context: *mut c_void,
        initial: u8,
        handle: *mut *mut c_void,
    ) -> i32;
    pub fn CancelMibChangeNotify2(handle: *mut c_void) -> i32;
}

#[cfg_attr(windows, link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim"))]
unsafe extern "win64" {
    pub fn ExAllocatePoolWithTag(pool: i32, bytes: usize, tag: u32) -> *mut c_void;
    pub fn ExFreePoolWithTag(block: *mut c_void, tag: u32);
    pub fn MmMapLockedPagesSpecifyCache(
        mdl: *mut MDL,
        mode: i8,
        cache: i32,
        address: *mut c_void,
        bugcheck_on_failure: u32,
        priority: u32,
    ) -> *mut c_void;
    pub fn MmUnmapLockedPages(address: *mut c_void, mdl: *mut MDL);
    pub fn IoAllocateMdl(
        address: *mut c_void,
        length: u32,
        is_secondary: u8,
        charges_quota: u8,
        irp: *mut IRP,
    ) -> *mut MDL;
    pub fn IoFreeMdl(mdl: *mut MDL);
    pub fn IoBuildPartialMdl(source: *mut MDL, target: *mut MDL, address: *mut c_void, length: u32);
    pub fn KeGetCurrentIrql() -> u8;
    pub fn KeRaiseIrqlToDpcLevel() -> u8;
    pub fn KeLowerIrql(irql: u8);
    pub fn KeGetCurrentProcessorNumberEx(number: *mut c_void) -> u32;
    pub fn KeQueryActiveProcessorCountEx(group: u16) -> u32;
    pub fn KeQueryInterruptTimePrecise(counter: *mut u64) -> u64;
    pub fn KeQuerySystemTimePrecise(time: *mut i64);
    pub fn KeFlushQueuedDpcs();
    pub fn KeInitializeEvent(event: *mut KEVENT, kind: i32, signalled: u8);
    pub fn KeSetEvent(event: *mut KEVENT, increment: i32, wait: u8) -> i32;
    pub fn KeWaitForSingleObject(
        object: *mut KEVENT,
        reason: i32,
        mode: i8,
        alertable: u8,
        timeout: *const i64,
    ) -> i32;
    pub fn KeDelayExecutionThread(mode: i8, alertable: u8, interval: *const i64) -> i32;
    pub fn IofCompleteRequest(irp: *mut IRP, boost: i8);
    pub fn IoAcquireCancelSpinLock(irql: *mut u8);
    pub fn IoReleaseCancelSpinLock(irql: u8);
    pub fn DbgPrint(format: *const u8, ...) -> u32;
    pub fn KeBugCheckEx(code: u32, one: usize, two: usize, three: usize, four: usize) -> !;
}
