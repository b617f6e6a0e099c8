//! Structures, in the order in which a packet's reader wants them.
//!
//! Where it sits: see the crate's header. Members whose names begin with `_pad` are what C leaves between members.
//!
//! Unions are flattened to the one member that is used here; `layout.rs` names the whole path where that is not plain.

use core::ffi::c_void;

/// Something of NDIS's.
pub type NDIS_HANDLE = *mut c_void;
/// How something ended; negative values are errors.
pub type NDIS_STATUS = i32;
/// A driver's function for one kind of request.
pub type DRIVER_DISPATCH = Option<unsafe extern "win64" fn(*mut c_void, *mut IRP) -> i32>;

/// What cancels a request.
pub type DRIVER_CANCEL = Option<unsafe extern "win64" fn(*mut c_void, *mut IRP)>;

/// A GUID.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GUID {
    pub Data1: u32,
    pub Data2: u16,
    pub Data3: u16,
    pub Data4: [u8; 8],
}

/// A counted string of at most 256 UTF-16 units; `Length` is in bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IF_COUNTED_STRING {
    pub Length: u16,
    pub String: [u16; 257],
}

/// An event to wait for; its inside is the kernel's.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub struct KEVENT {
    pub _opaque: [u8; 24],
}

/// The three forms of a request's data; which one holds is `RequestType`'s matter.
#[repr(C)]
#[derive(Clone, Copy)]
pub union REQUEST_DATA {
    pub Query: REQUEST_QUERY,
    pub Set: REQUEST_SET,
    pub Method: REQUEST_METHOD,
}

/// A query's data.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct REQUEST_QUERY {
    pub Oid: u32,
    pub _pad0: [u8; 4],
    pub InformationBuffer: *mut c_void,
    pub InformationBufferLength: u32,
    pub BytesWritten: u32,
    pub BytesNeeded: u32,
    pub _pad1: [u8; 12],
}

/// A setting's data.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct REQUEST_SET {
    pub Oid: u32,
    pub _pad0: [u8; 4],
    pub InformationBuffer: *mut c_void,
    pub InformationBufferLength: u32,
    pub BytesRead: u32,
    pub BytesNeeded: u32,
    pub _pad1: [u8; 12],
}

/// A method's data.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct REQUEST_METHOD {
    pub Oid: u32,
    pub _pad0: [u8; 4],
    pub InformationBuffer: *mut c_void,
    pub InputBufferLength: u32,
    pub OutputBufferLength: u32,
    pub MethodId: u32,
    pub BytesWritten: u32,
    pub BytesRead: u32,
    pub BytesNeeded: u32,
}

/// What every NDIS 6 structure begins with.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_OBJECT_HEADER {
    pub Type: u8,
    pub Revision: u8,
    pub Size: u16,
}

/// A counted UTF-16 string; lengths are in bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct UNICODE_STRING {
    pub Length: u16,
    pub MaximumLength: u16,
    pub Buffer: *mut u16,
}

/// A link of a doubly linked list.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LIST_ENTRY {
    pub Flink: *mut LIST_ENTRY,
    pub Blink: *mut LIST_ENTRY,
}

/// A description of a buffer in memory.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MDL {
    pub Next: *mut MDL,
    pub Size: i16,
    pub MdlFlags: i16,
    pub Process: *mut c_void,
    pub MappedSystemVa: *mut c_void,
    pub StartVa: *mut c_void,
    pub ByteCount: u32,
    pub ByteOffset: u32,
}

/// One frame: bytes in a chain of MDLs.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
pub struct NET_BUFFER {
    pub Next: *mut NET_BUFFER,
    pub CurrentMdl: *mut MDL,
    pub CurrentMdlOffset: u32,
    pub _pad0: [u8; 4],
    pub DataLength: u32,
    pub MdlChain: *mut MDL,
    pub DataOffset: u32,
    pub _pad1: [u8; 4],
    pub ChecksumBias: u16,
    pub Reserved: u16,
    pub NdisPoolHandle: NDIS_HANDLE,
    pub NdisReserved: [*mut c_void; 2],
    pub ProtocolReserved: [*mut c_void; 6],
    pub MiniportReserved: [*mut c_void; 4],
    pub DataPhysicalAddress: i64,
    pub SharedMemoryInfo: *mut c_void,
}

/// Frames of one flow, and what is known of them. Only NDIS allocates these: its size depends on the system.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
pub struct NET_BUFFER_LIST {
    pub Next: *mut NET_BUFFER_LIST,
    pub FirstNetBuffer: *mut NET_BUFFER,
    pub Context: *mut c_void,
    pub ParentNetBufferList: *mut NET_BUFFER_LIST,
    pub NdisPoolHandle: NDIS_HANDLE,
    pub _pad0: [u8; 8],
    pub NdisReserved: [*mut c_void; 2],
    pub ProtocolReserved: [*mut c_void; 4],
    pub MiniportReserved: [*mut c_void; 2],
    pub Scratch: *mut c_void,
    pub SourceHandle: NDIS_HANDLE,
    pub NblFlags: u32,
    pub ChildRefCount: i32,
    pub Flags: u32,
    pub Status: NDIS_STATUS,
    pub NetBufferListInfo: [usize; 24],
}

/// How a pool of lists is made (revision 1 ends before `Flags`).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NET_BUFFER_LIST_POOL_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub ProtocolId: u8,
    pub fAllocateNetBuffer: u8,
    pub ContextSize: u16,
    pub PoolTag: u32,
    pub DataSize: u32,
    pub Flags: u32,
}

/// What a filter driver registers.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_FILTER_DRIVER_CHARACTERISTICS {
    pub Header: NDIS_OBJECT_HEADER,
    pub MajorNdisVersion: u8,
    pub MinorNdisVersion: u8,
    pub MajorDriverVersion: u8,
    pub MinorDriverVersion: u8,
    pub Flags: u32,
    pub FriendlyName: UNICODE_STRING,
    pub UniqueName: UNICODE_STRING,
    pub ServiceName: UNICODE_STRING,
    pub SetOptionsHandler: Option<unsafe extern "win64" fn(NDIS_HANDLE, NDIS_HANDLE) -> NDIS_STATUS>,
    pub SetFilterModuleOptionsHandler: Option<unsafe extern "win64" fn(NDIS_HANDLE) -> NDIS_STATUS>,
    pub AttachHandler: Option<
        unsafe extern "win64" fn(NDIS_HANDLE, NDIS_HANDLE, *mut NDIS_FILTER_ATTACH_PARAMETERS) -> NDIS_STATUS,
    >,
    pub DetachHandler: Option<unsafe extern "win64" fn(NDIS_HANDLE)>,
    pub RestartHandler:
        Option<unsafe extern "win64" fn(NDIS_HANDLE, *mut NDIS_FILTER_RESTART_PARAMETERS) -> NDIS_STATUS>,
    pub PauseHandler:
        Option<unsafe extern "win64" fn(NDIS_HANDLE, *mut NDIS_FILTER_PAUSE_PARAMETERS) -> NDIS_STATUS>,
    pub SendNetBufferListsHandler:
        Option<unsafe extern "win64" fn(NDIS_HANDLE, *mut NET_BUFFER_LIST, u32, u32)>,
    pub SendNetBufferListsCompleteHandler:
        Option<unsafe extern "win64" fn(NDIS_HANDLE, *mut NET_BUFFER_LIST, u32)>,
    pub CancelSendNetBufferListsHandler: Option<unsafe extern "win64" fn(NDIS_HANDLE, *mut c_void)>,
    pub ReceiveNetBufferListsHandler:
        Option<unsafe extern "win64" fn(NDIS_HANDLE, *mut NET_BUFFER_LIST, u32, u32, u32)>,
    pub ReturnNetBufferListsHandler: Option<unsafe extern "win64" fn(NDIS_HANDLE, *mut NET_BUFFER_LIST, u32)>,
    pub OidRequestHandler:
        Option<unsafe extern "win64" fn(NDIS_HANDLE, *mut NDIS_OID_REQUEST) -> NDIS_STATUS>,
    pub OidRequestCompleteHandler:
        Option<unsafe extern "win64" fn(NDIS_HANDLE, *mut NDIS_OID_REQUEST, NDIS_STATUS)>,
    pub CancelOidRequestHandler: Option<unsafe extern "win64" fn(NDIS_HANDLE, *mut c_void)>,
    pub DevicePnPEventNotifyHandler: Option<unsafe extern "win64" fn(NDIS_HANDLE, *mut c_void)>,
    pub NetPnPEventHandler:
        Option<unsafe extern "win64" fn(NDIS_HANDLE, *mut NET_PNP_EVENT_NOTIFICATION) -> NDIS_STATUS>,
    pub StatusHandler: Option<unsafe extern "win64" fn(NDIS_HANDLE, *mut NDIS_STATUS_INDICATION)>,
    pub DirectOidRequestHandler:
        Option<unsafe extern "win64" fn(NDIS_HANDLE, *mut NDIS_OID_REQUEST) -> NDIS_STATUS>,
    pub DirectOidRequestCompleteHandler:
        Option<unsafe extern "win64" fn(NDIS_HANDLE, *mut NDIS_OID_REQUEST, NDIS_STATUS)>,
    pub CancelDirectOidRequestHandler: Option<unsafe extern "win64" fn(NDIS_HANDLE, *mut c_void)>,
}

/// What NDIS tells a filter module when it attaches it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_FILTER_ATTACH_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub IfIndex: u32,
    pub NetLuid: u64,
    pub FilterModuleGuidName: *mut UNICODE_STRING,
    pub BaseMiniportIfIndex: u32,
    pub BaseMiniportInstanceName: *mut UNICODE_STRING,
    pub BaseMiniportName: *mut UNICODE_STRING,
    pub MediaConnectState: i32,
    pub MediaDuplexState: i32,
    pub XmitLinkSpeed: u64,
    pub RcvLinkSpeed: u64,
    pub MiniportMediaType: i32,
    pub MiniportPhysicalMediaType: i32,
    pub MiniportMediaSpecificAttributes: NDIS_HANDLE,
    pub DefaultOffloadConfiguration: *mut c_void,
    pub MacAddressLength: u16,
    pub CurrentMacAddress: [u8; 32],
    pub BaseMiniportNetLuid: u64,
    pub LowerIfIndex: u32,
    pub LowerIfNetLuid: u64,
    pub Flags: u32,
    pub HDSplitCurrentConfig: *mut c_void,
    pub ReceiveFilterCapabilities: *mut c_void,
    pub MiniportPhysicalDeviceObject: *mut c_void,
    pub NicSwitchCapabilities: *mut c_void,
    pub BaseMiniportIfConnectorPresent: u8,
    pub SriovCapabilities: *mut c_void,
    pub NicSwitchArray: *mut c_void,
}

/// What a filter module tells NDIS of itself.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_FILTER_ATTRIBUTES {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
}

/// Why a module is paused.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_FILTER_PAUSE_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub PauseReason: u32,
}

/// With what a module is restarted.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_FILTER_RESTART_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub MiniportMediaType: i32,
    pub MiniportPhysicalMediaType: i32,
    pub RestartAttributes: *mut c_void,
    pub LowerIfIndex: u32,
    pub LowerIfNetLuid: u64,
    pub Flags: u32,
}

/// A request about an object (revision 1 ends after `Reserved2`).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_OID_REQUEST {
    pub Header: NDIS_OBJECT_HEADER,
    pub RequestType: i32,
    pub PortNumber: u32,
    pub Timeout: u32,
    pub RequestId: *mut c_void,
    pub RequestHandle: NDIS_HANDLE,
    pub DATA: REQUEST_DATA,
    pub NdisReserved: [u8; 128],
    pub MiniportReserved: [u8; 16],
    pub SourceReserved: [u8; 16],
    pub SupportedRevision: u8,
    pub Reserved1: u8,
    pub Reserved2: u16,
    pub SwitchId: u32,
    pub VPortId: u32,
    pub Flags: u32,
}

/// Something that happened at a device.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_STATUS_INDICATION {
    pub Header: NDIS_OBJECT_HEADER,
    pub SourceHandle: NDIS_HANDLE,
    pub PortNumber: u32,
    pub StatusCode: i32,
    pub Flags: u32,
    pub DestinationHandle: NDIS_HANDLE,
    pub RequestId: *mut c_void,
    pub StatusBuffer: *mut c_void,
    pub StatusBufferSize: u32,
    pub Guid: GUID,
    pub NdisReserved: [*mut c_void; 4],
}

/// A plug-and-play event.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NET_PNP_EVENT {
    pub NetEvent: i32,
    pub Buffer: *mut c_void,
    pub BufferLength: u32,
    pub NdisReserved: [usize; 4],
    pub TransportReserved: [usize; 4],
    pub TdiReserved: [usize; 4],
    pub TdiClientReserved: [usize; 4],
}

/// The envelope of a plug-and-play event (revision 1 ends after `Flags`).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NET_PNP_EVENT_NOTIFICATION {
    pub Header: NDIS_OBJECT_HEADER,
    pub PortNumber: u32,
    pub NetPnPEvent: NET_PNP_EVENT,
    pub Flags: u32,
    pub SwitchId: u32,
    pub VPortId: u32,
}

/// How a device is made.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_DEVICE_OBJECT_ATTRIBUTES {
    pub Header: NDIS_OBJECT_HEADER,
    pub DeviceName: *mut UNICODE_STRING,
    pub SymbolicName: *mut UNICODE_STRING,
    pub MajorFunctions: *mut DRIVER_DISPATCH,
    pub ExtensionSize: u32,
    pub DefaultSDDLString: *mut UNICODE_STRING,
    pub DeviceClassGuid: *const GUID,
}

/// How a timer is made.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_TIMER_CHARACTERISTICS {
    pub Header: NDIS_OBJECT_HEADER,
    pub AllocationTag: u32,
    pub TimerFunction: Option<unsafe extern "win64" fn(*mut c_void, *mut c_void, *mut c_void, *mut c_void)>,
    pub FunctionContext: *mut c_void,
}

/// Where a packet is to go. `Flags`: bit 0 excluded, 1 preserve VLAN, 2 preserve priority.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_SWITCH_PORT_DESTINATION {
    pub PortId: u32,
    pub NicIndex: u16,
    pub Flags: u16,
}

/// The destinations of a packet.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_SWITCH_FORWARDING_DESTINATION_ARRAY {
    pub Header: NDIS_OBJECT_HEADER,
    pub ElementSize: u32,
    pub NumElements: u32,
    pub NumDestinations: u32,
    pub FirstElement: *mut c_void,
}

/// The switch's own functions (revision 1 ends with `ReportFilteredNetBufferLists`).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_SWITCH_OPTIONAL_HANDLERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub AllocateNetBufferListForwardingContext:
        Option<unsafe extern "win64" fn(NDIS_HANDLE, *mut NET_BUFFER_LIST) -> NDIS_STATUS>,
    pub FreeNetBufferListForwardingContext:
        Option<unsafe extern "win64" fn(NDIS_HANDLE, *mut NET_BUFFER_LIST)>,
    pub SetNetBufferListSource:
        Option<unsafe extern "win64" fn(NDIS_HANDLE, *mut NET_BUFFER_LIST, u32, u16) -> NDIS_STATUS>,
    pub AddNetBufferListDestination: Option<
        unsafe extern "win64" fn(
            NDIS_HANDLE,
            *mut NET_BUFFER_LIST,
            *mut NDIS_SWITCH_PORT_DESTINATION,
        ) -> NDIS_STATUS,
    >,
    pub GrowNetBufferListDestinations: Option<
        unsafe extern "win64" fn(
            NDIS_HANDLE,
            *mut NET_BUFFER_LIST,
            u32,
            *mut *mut NDIS_SWITCH_FORWARDING_DESTINATION_ARRAY,
        ) -> NDIS_STATUS,
    >,
    pub GetNetBufferListDestinations: Option<
        unsafe extern "win64" fn(
            NDIS_HANDLE,
            *mut NET_BUFFER_LIST,
            *mut *mut NDIS_SWITCH_FORWARDING_DESTINATION_ARRAY,
        ),
    >,
    pub UpdateNetBufferListDestinations: Option<
        unsafe extern "win64" fn(
            NDIS_HANDLE,
            *mut NET_BUFFER_LIST,
            u32,
            *mut NDIS_SWITCH_FORWARDING_DESTINATION_ARRAY,
        ) -> NDIS_STATUS,
    >,
    pub CopyNetBufferListInfo: Option<
        unsafe extern "win64" fn(NDIS_HANDLE, *mut NET_BUFFER_LIST, *mut NET_BUFFER_LIST, u32) -> NDIS_STATUS,
    >,
    pub ReferenceSwitchNic: Option<unsafe extern "win64" fn(NDIS_HANDLE, u32, u16) -> NDIS_STATUS>,
    pub DereferenceSwitchNic: Option<unsafe extern "win64" fn(NDIS_HANDLE, u32, u16) -> NDIS_STATUS>,
    pub ReferenceSwitchPort: Option<unsafe extern "win64" fn(NDIS_HANDLE, u32) -> NDIS_STATUS>,
    pub DereferenceSwitchPort: Option<unsafe extern "win64" fn(NDIS_HANDLE, u32) -> NDIS_STATUS>,
    pub ReportFilteredNetBufferLists: Option<
        unsafe extern "win64" fn(
            NDIS_HANDLE,
            *mut UNICODE_STRING,
            *mut UNICODE_STRING,
            u32,
            u32,
            u32,
            *mut NET_BUFFER_LIST,
            *mut UNICODE_STRING,
        ),
    >,
    pub SetNetBufferListSwitchContext: usize,
    pub GetNetBufferListSwitchContext: usize,
}

/// The switch itself.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_SWITCH_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub SwitchName: IF_COUNTED_STRING,
    pub SwitchFriendlyName: IF_COUNTED_STRING,
    pub NumSwitchPorts: u32,
    pub IsActive: u8,
}

/// A port of the switch.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_SWITCH_PORT_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub PortId: u32,
    pub PortName: IF_COUNTED_STRING,
    pub PortFriendlyName: IF_COUNTED_STRING,
    pub PortType: i32,
    pub IsValidationPort: u8,
    pub PortState: i32,
}

/// All ports; elements are `ElementSize` apart.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_SWITCH_PORT_ARRAY {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub FirstElementOffset: u16,
    pub NumElements: u32,
    pub ElementSize: u32,
}

/// A network adapter at a port (revision 1 ends with `VFAssigned`).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_SWITCH_NIC_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub NicName: IF_COUNTED_STRING,
    pub NicFriendlyName: IF_COUNTED_STRING,
    pub PortId: u32,
    pub NicIndex: u16,
    pub NicType: i32,
    pub NicState: i32,
    pub VmName: IF_COUNTED_STRING,
    pub VmFriendlyName: IF_COUNTED_STRING,
    pub NetCfgInstanceId: GUID,
    pub MTU: u32,
    pub NumaNodeId: u16,
    pub PermanentMacAddress: [u8; 32],
    pub VMMacAddress: [u8; 32],
    pub CurrentMacAddress: [u8; 32],
    pub VFAssigned: u8,
    pub NdisReserved: [u64; 2],
}

/// All adapters; elements are `ElementSize` apart.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_SWITCH_NIC_ARRAY {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub FirstElementOffset: u16,
    pub NumElements: u32,
    pub ElementSize: u32,
}

/// A request to an adapter behind the switch.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_SWITCH_NIC_OID_REQUEST {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub SourcePortId: u32,
    pub SourceNicIndex: u16,
    pub DestinationPortId: u32,
    pub DestinationNicIndex: u16,
    pub OidRequest: *mut NDIS_OID_REQUEST,
}

/// What an extension saves of an adapter.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_SWITCH_NIC_SAVE_STATE {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub PortId: u32,
    pub NicIndex: u16,
    pub ExtensionId: GUID,
    pub ExtensionFriendlyName: IF_COUNTED_STRING,
    pub FeatureClassId: GUID,
    pub SaveDataSize: u16,
    pub SaveDataOffset: u16,
    pub SaveDataSizeOverflow: u32,
}

/// How a request ended.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_STATUS_BLOCK {
    pub Status: i32,
    pub Information: usize,
}

/// A request to a device.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
pub struct IRP {
    pub Type: i16,
    pub Size: u16,
    pub MdlAddress: *mut MDL,
    pub Flags: u32,
    pub SystemBuffer: *mut c_void,
    pub ThreadListEntry: LIST_ENTRY,
    pub IoStatus: IO_STATUS_BLOCK,
    pub RequestorMode: i8,
    pub PendingReturned: u8,
    pub StackCount: i8,
    pub CurrentLocation: i8,
    pub Cancel: u8,
    pub CancelIrql: u8,
    pub UserIosb: *mut IO_STATUS_BLOCK,
    pub UserEvent: *mut c_void,
    pub _pad0: [u8; 16],
    pub CancelRoutine: DRIVER_CANCEL,
    pub UserBuffer: *mut c_void,
    pub DriverContext: [*mut c_void; 4],
    pub Thread: *mut c_void,
    pub AuxiliaryBuffer: *mut c_void,
    pub ListEntry: LIST_ENTRY,
    pub CurrentStackLocation: *mut IO_STACK_LOCATION,
    pub OriginalFileObject: *mut c_void,
}

/// A driver's part of a request; `Parameters` as DeviceIoControl has them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_STACK_LOCATION {
    pub MajorFunction: u8,
    pub MinorFunction: u8,
    pub Flags: u8,
    pub Control: u8,
    pub _pad0: [u8; 4],
    pub OutputBufferLength: u32,
    pub _pad1: [u8; 4],
    pub InputBufferLength: u32,
    pub _pad2: [u8; 4],
    pub IoControlCode: u32,
    pub Type3InputBuffer: *mut c_void,
    pub DeviceObject: *mut c_void,
    pub FileObject: *mut FILE_OBJECT,
    pub CompletionRoutine: *mut c_void,
    pub Context: *mut c_void,
}

/// An open instance of a device. Only the first members are ours to know.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FILE_OBJECT {
    pub Type: i16,
    pub Size: i16,
    pub DeviceObject: *mut c_void,
    pub Vpb: *mut c_void,
    pub FsContext: *mut c_void,
    pub FsContext2: *mut c_void,
}

/// The loaded driver.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct DRIVER_OBJECT {
    pub Type: i16,
    pub Size: i16,
    pub DeviceObject: *mut c_void,
    pub Flags: u32,
    pub DriverStart: *mut c_void,
    pub DriverSize: u32,
    pub DriverSection: *mut c_void,
    pub DriverExtension: *mut c_void,
    pub DriverName: UNICODE_STRING,
    pub HardwareDatabase: *mut UNICODE_STRING,
    pub FastIoDispatch: *mut c_void,
    pub DriverInit: *mut c_void,
    pub DriverStartIo: *mut c_void,
    pub DriverUnload: Option<unsafe extern "win64" fn(*mut DRIVER_OBJECT)>,
    pub MajorFunction: [DRIVER_DISPATCH; 28],
}
