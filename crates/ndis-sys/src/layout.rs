//! Layouts, asserted at compile time: `STRUCTURE (size, alignment) { member = offset }`.
//!
//! Where it sits: the numbers are those that a compiler reads out of the Windows Driver Kit's headers (10.0.22621, x64). A size
//! of `_` means that later systems append members; such a structure is never copied or allocated by its size.

use core::mem::{align_of, offset_of, size_of};

use crate::netio::*;
use crate::policies::*;
use crate::structs::*;

macro_rules! size {
    ($name:ident, _) => {};
    ($name:ident, $size:literal) => {
        const _: () = assert!(size_of::<$name>() == $size);
    };
}

macro_rules! layouts {
    ($($name:ident (size $size:tt, align $align:literal) { $($member:ident $(as $path:literal)? = $offset:literal),+ })+) => {
        $(
            size!($name, $size);
            const _: () = assert!(align_of::<$name>() == $align);
            $(const _: () = assert!(offset_of!($name, $member) == $offset);)+
        )+
    };
}

layouts! {
    NDIS_OBJECT_HEADER (size 4, align 2) {
        Type = 0,
        Revision = 1,
        Size = 2
    }
    UNICODE_STRING (size 16, align 8) {
        Length = 0,
        MaximumLength = 2,
        Buffer = 8
    }
    LIST_ENTRY (size 16, align 8) {
        Flink = 0,
        Blink = 8
    }
    MDL (size 48, align 8) {
        Next = 0,
        Size = 8,
        MdlFlags = 10,
        Process = 16,
        MappedSystemVa = 24,
        StartVa = 32,
        ByteCount = 40,
        ByteOffset = 44
    }
    NET_BUFFER (size 176, align 16) {
        Next = 0,
        CurrentMdl = 8,
        CurrentMdlOffset = 16,
        DataLength = 24,
        MdlChain = 32,
        DataOffset = 40,
        ChecksumBias = 48,
        Reserved = 50,
        NdisPoolHandle = 56,
        NdisReserved = 64,
        ProtocolReserved = 80,
        MiniportReserved = 128,
        DataPhysicalAddress = 160,
        SharedMemoryInfo = 168
    }
    NET_BUFFER_LIST (size _, align 16) {
        Next = 0,
        FirstNetBuffer = 8,
        Context = 16,
        ParentNetBufferList = 24,
        NdisPoolHandle = 32,
        NdisReserved = 48,
        ProtocolReserved = 64,
        MiniportReserved = 96,
        Scratch = 112,
        SourceHandle = 120,
        NblFlags = 128,
        ChildRefCount = 132,
        Flags = 136,
        Status = 140,
        NetBufferListInfo = 144
    }
    NET_BUFFER_LIST_POOL_PARAMETERS (size 20, align 4) {
        Header = 0,
        ProtocolId = 4,
        fAllocateNetBuffer = 5,
        ContextSize = 6,
        PoolTag = 8,
        DataSize = 12,
        Flags = 16
    }
    NDIS_FILTER_DRIVER_CHARACTERISTICS (size _, align 8) {
        Header = 0,
        MajorNdisVersion = 4,
        MinorNdisVersion = 5,
        MajorDriverVersion = 6,
        MinorDriverVersion = 7,
        Flags = 8,
        FriendlyName = 16,
        UniqueName = 32,
        ServiceName = 48,
        SetOptionsHandler = 64,
        SetFilterModuleOptionsHandler = 72,
        AttachHandler = 80,
        DetachHandler = 88,
        RestartHandler = 96,
        PauseHandler = 104,
        SendNetBufferListsHandler = 112,
        SendNetBufferListsCompleteHandler = 120,
        CancelSendNetBufferListsHandler = 128,
        ReceiveNetBufferListsHandler = 136,
        ReturnNetBufferListsHandler = 144,
        OidRequestHandler = 152,
        OidRequestCompleteHandler = 160,
        CancelOidRequestHandler = 168,
        DevicePnPEventNotifyHandler = 176,
        NetPnPEventHandler = 184,
        StatusHandler = 192,
        DirectOidRequestHandler = 200,
        DirectOidRequestCompleteHandler = 208,
        CancelDirectOidRequestHandler = 216
    }
    NDIS_FILTER_ATTACH_PARAMETERS (size 224, align 8) {
        Header = 0,
        IfIndex = 4,
        NetLuid = 8,
        FilterModuleGuidName = 16,
        BaseMiniportIfIndex = 24,
        BaseMiniportInstanceName = 32,
        BaseMiniportName = 40,
        MediaConnectState = 48,
        MediaDuplexState = 52,
        XmitLinkSpeed = 56,
        RcvLinkSpeed = 64,
        MiniportMediaType = 72,
        MiniportPhysicalMediaType = 76,
        MiniportMediaSpecificAttributes = 80,
        DefaultOffloadConfiguration = 88,
        MacAddressLength = 96,
        CurrentMacAddress = 98,
        BaseMiniportNetLuid = 136,
        LowerIfIndex = 144,
        LowerIfNetLuid = 152,
        Flags = 160,
        HDSplitCurrentConfig = 168,
        ReceiveFilterCapabilities = 176,
        MiniportPhysicalDeviceObject = 184,
        NicSwitchCapabilities = 192,
        BaseMiniportIfConnectorPresent = 200,
        SriovCapabilities = 208,
        NicSwitchArray = 216
    }
    NDIS_FILTER_ATTRIBUTES (size 8, align 4) {
        Header = 0,
        Flags = 4
    }
    NDIS_FILTER_PAUSE_PARAMETERS (size 12, align 4) {
        Header = 0,
        Flags = 4,
        PauseReason = 8
    }
    NDIS_FILTER_RESTART_PARAMETERS (size 48, align 8) {
        Header = 0,
        MiniportMediaType = 4,
        MiniportPhysicalMediaType = 8,
        RestartAttributes = 16,
        LowerIfIndex = 24,
        LowerIfNetLuid = 32,
        Flags = 40
    }
    NDIS_OID_REQUEST (size 248, align 8) {
        Header = 0,
        RequestType = 4,
        PortNumber = 8,
        Timeout = 12,
        RequestId = 16,
        RequestHandle = 24,
        DATA = 32,
        NdisReserved = 72,
        MiniportReserved = 200,
        SourceReserved = 216,
        SupportedRevision = 232,
        Reserved1 = 233,
        Reserved2 = 234,
        SwitchId = 236,
        VPortId = 240,
        Flags = 244
    }
    NDIS_STATUS_INDICATION (size 112, align 8) {
        Header = 0,
        SourceHandle = 8,
        PortNumber = 16,
        StatusCode = 20,
        Flags = 24,
        DestinationHandle = 32,
        RequestId = 40,
        StatusBuffer = 48,
        StatusBufferSize = 56,
        Guid = 60,
        NdisReserved = 80
    }
    NET_PNP_EVENT (size 152, align 8) {
        NetEvent = 0,
        Buffer = 8,
        BufferLength = 16,
        NdisReserved = 24,
        TransportReserved = 56,
        TdiReserved = 88,
        TdiClientReserved = 120
    }
    NET_PNP_EVENT_NOTIFICATION (size 176, align 8) {
        Header = 0,
        PortNumber = 4,
        NetPnPEvent = 8,
        Flags = 160,
        SwitchId = 164,
        VPortId = 168
    }
    NDIS_DEVICE_OBJECT_ATTRIBUTES (size 56, align 8) {
        Header = 0,
        DeviceName = 8,
        SymbolicName = 16,
        MajorFunctions = 24,
        ExtensionSize = 32,
        DefaultSDDLString = 40,
        DeviceClassGuid = 48
    }
    NDIS_TIMER_CHARACTERISTICS (size 24, align 8) {
        Header = 0,
        AllocationTag = 4,
        TimerFunction = 8,
        FunctionContext = 16
    }
    NDIS_SWITCH_PORT_DESTINATION (size 8, align 4) {
        PortId = 0,
        NicIndex = 4,
        Flags as "IsExcluded" = 6
    }
    NDIS_SWITCH_FORWARDING_DESTINATION_ARRAY (size 24, align 8) {
        Header = 0,
        ElementSize = 4,
        NumElements = 8,
        NumDestinations = 12,
        FirstElement = 16
    }
    NDIS_SWITCH_OPTIONAL_HANDLERS (size _, align 8) {
        Header = 0,
        AllocateNetBufferListForwardingContext = 8,
        FreeNetBufferListForwardingContext = 16,
        SetNetBufferListSource = 24,
        AddNetBufferListDestination = 32,
        GrowNetBufferListDestinations = 40,
        GetNetBufferListDestinations = 48,
        UpdateNetBufferListDestinations = 56,
        CopyNetBufferListInfo = 64,
        ReferenceSwitchNic = 72,
        DereferenceSwitchNic = 80,
        ReferenceSwitchPort = 88,
        DereferenceSwitchPort = 96,
        ReportFilteredNetBufferLists = 104,
        SetNetBufferListSwitchContext = 112,
        GetNetBufferListSwitchContext = 120
    }
    NDIS_SWITCH_PARAMETERS (size 1048, align 4) {
        Header = 0,
        Flags = 4,
        SwitchName = 8,
        SwitchFriendlyName = 524,
        NumSwitchPorts = 1040,
        IsActive = 1044
    }
    NDIS_SWITCH_PORT_PARAMETERS (size 1056, align 4) {
        Header = 0,
        Flags = 4,
        PortId = 8,
        PortName = 12,
        PortFriendlyName = 528,
        PortType = 1044,
        IsValidationPort = 1048,
        PortState = 1052
    }
    NDIS_SWITCH_PORT_ARRAY (size 20, align 4) {
        Header = 0,
        Flags = 4,
        FirstElementOffset = 8,
        NumElements = 12,
        ElementSize = 16
    }
    NDIS_SWITCH_NIC_PARAMETERS (size 2224, align 8) {
        Header = 0,
        Flags = 4,
        NicName = 8,
        NicFriendlyName = 524,
        PortId = 1040,
        NicIndex = 1044,
        NicType = 1048,
        NicState = 1052,
        VmName = 1056,
        VmFriendlyName = 1572,
        NetCfgInstanceId = 2088,
        MTU = 2104,
        NumaNodeId = 2108,
        PermanentMacAddress = 2110,
        VMMacAddress = 2142,
        CurrentMacAddress = 2174,
        VFAssigned = 2206,
        NdisReserved = 2208
    }
    NDIS_SWITCH_NIC_ARRAY (size 20, align 4) {
        Header = 0,
        Flags = 4,
        FirstElementOffset = 8,
        NumElements = 12,
        ElementSize = 16
    }
    NDIS_SWITCH_NIC_OID_REQUEST (size 32, align 8) {
        Header = 0,
        Flags = 4,
        SourcePortId = 8,
        SourceNicIndex = 12,
        DestinationPortId = 16,
        DestinationNicIndex = 20,
        OidRequest = 24
    }
    NDIS_SWITCH_PORT_PROPERTY_PARAMETERS (size 64, align 4) {
        Header = 0,
        Flags = 4,
        PortId = 8,
        PropertyType = 12,
        PropertyId = 16,
        PropertyVersion = 32,
        SerializationVersion = 34,
        PropertyInstanceId = 36,
        PropertyBufferLength = 52,
        PropertyBufferOffset = 56,
        Reserved = 60
    }
    NDIS_SWITCH_PORT_PROPERTY_DELETE_PARAMETERS (size 48, align 4) {
        Header = 0,
        Flags = 4,
        PortId = 8,
        PropertyType = 12,
        PropertyId = 16,
        PropertyInstanceId = 32
    }
    NDIS_SWITCH_PORT_PROPERTY_ENUM_PARAMETERS (size 48, align 4) {
        Header = 0,
        Flags = 4,
        PortId = 8,
        PropertyType = 12,
        PropertyId = 16,
        SerializationVersion = 32,
        FirstPropertyOffset = 36,
        NumProperties = 40,
        Reserved = 44
    }
    NDIS_SWITCH_PORT_PROPERTY_ENUM_INFO (size 40, align 4) {
        Header = 0,
        Flags = 4,
        PropertyVersion = 8,
        PropertyInstanceId = 12,
        QwordAlignedPropertyBufferLength = 28,
        PropertyBufferLength = 32,
        PropertyBufferOffset = 36
    }
    NDIS_SWITCH_PORT_PROPERTY_SECURITY (size 24, align 4) {
        Header = 0,
        Flags = 4,
        AllowMacSpoofing = 8,
        AllowIeeePriorityTag = 9,
        VirtualSubnetId = 12,
        AllowTeaming = 16,
        DynamicIPAddressLimit = 20
    }
    NDIS_SWITCH_PORT_PROPERTY_VLAN (size 1048, align 8) {
        Header = 0,
        Flags = 4,
        OperationMode = 8,
        AccessVlanId as "VlanProperties.AccessVlanId" = 16,
        NativeVlanId as "VlanProperties.NativeVlanId" = 18,
        PruneVlanIdArray as "VlanProperties.PruneVlanIdArray" = 24,
        TrunkVlanIdArray as "VlanProperties.TrunkVlanIdArray" = 536
    }
    NDIS_SWITCH_PORT_PROPERTY_PVLAN (size _, align 8) {
        Header = 0,
        Flags = 4,
        OperationMode = 8,
        PvlanMode as "PvlanProperties.PvlanMode" = 16,
        PrimaryVlanId as "PvlanProperties.PrimaryVlanId" = 20,
        SecondaryVlanIdArray as "PvlanProperties.SecondaryVlanIdArray" = 24
    }
    NDIS_SWITCH_PORT_PROPERTY_ISOLATION (size 20, align 4) {
        Header = 0,
        Flags = 4,
        IsolationMode = 8,
        AllowUntaggedTraffic = 12,
        DefaultIsolationId = 16
    }
    NDIS_SWITCH_NIC_SAVE_STATE (size 572, align 4) {
        Header = 0,
        Flags = 4,
        PortId = 8,
        NicIndex = 12,
        ExtensionId = 16,
        ExtensionFriendlyName = 32,
        FeatureClassId = 548,
        SaveDataSize = 564,
        SaveDataOffset = 566,
        SaveDataSizeOverflow = 568
    }
    IO_STATUS_BLOCK (size 16, align 8) {
        Status = 0,
        Information = 8
    }
    IRP (size 208, align 16) {
        Type = 0,
        Size = 2,
        MdlAddress = 8,
        Flags = 16,
        SystemBuffer as "AssociatedIrp.SystemBuffer" = 24,
        ThreadListEntry = 32,
        IoStatus = 48,
        RequestorMode = 64,
        PendingReturned = 65,
        StackCount = 66,
        CurrentLocation = 67,
        Cancel = 68,
        CancelIrql = 69,
        UserIosb = 72,
        UserEvent = 80,
        CancelRoutine = 104,
        UserBuffer = 112,
        DriverContext as "Tail.Overlay.DriverContext" = 120,
        Thread as "Tail.Overlay.Thread" = 152,
        AuxiliaryBuffer as "Tail.Overlay.AuxiliaryBuffer" = 160,
        ListEntry as "Tail.Overlay.ListEntry" = 168,
        CurrentStackLocation as "Tail.Overlay.CurrentStackLocation" = 184,
        OriginalFileObject as "Tail.Overlay.OriginalFileObject" = 192
    }
    IO_STACK_LOCATION (size 72, align 8) {
        MajorFunction = 0,
        MinorFunction = 1,
        Flags = 2,
        Control = 3,
        OutputBufferLength as "Parameters.DeviceIoControl.OutputBufferLength" = 8,
        InputBufferLength as "Parameters.DeviceIoControl.InputBufferLength" = 16,
        IoControlCode as "Parameters.DeviceIoControl.IoControlCode" = 24,
        Type3InputBuffer as "Parameters.DeviceIoControl.Type3InputBuffer" = 32,
        DeviceObject = 40,
        FileObject = 48,
        CompletionRoutine = 56,
        Context = 64
    }
    FILE_OBJECT (size _, align 8) {
        Type = 0,
        Size = 2,
        DeviceObject = 8,
        Vpb = 16,
        FsContext = 24,
        FsContext2 = 32
    }
    DRIVER_OBJECT (size 336, align 8) {
        Type = 0,
        Size = 2,
        DeviceObject = 8,
        Flags = 16,
        DriverStart = 24,
        DriverSize = 32,
        DriverSection = 40,
        DriverExtension = 48,
        DriverName = 56,
        HardwareDatabase = 72,
        FastIoDispatch = 80,
        DriverInit = 88,
        DriverStartIo = 96,
        DriverUnload = 104,
        MajorFunction = 112
    }
    SOCKADDR_INET (size 28, align 4) {
        si_family = 0
    }
    IP_ADDRESS_PREFIX (size 32, align 4) {
        Prefix = 0,
        PrefixLength = 28
    }
    MIB_IPFORWARD_ROW2 (size 104, align 8) {
        InterfaceLuid = 0,
        InterfaceIndex = 8,
        DestinationPrefix = 12,
        NextHop = 44,
        SitePrefixLength = 72,
        ValidLifetime = 76,
        PreferredLifetime = 80,
        Metric = 84,
        Protocol = 88,
        Loopback = 92,
        AutoconfigureAddress = 93,
        Publish = 94,
        Immortal = 95,
        Age = 96,
        Origin = 100
    }
    MIB_IPNET_ROW2 (size 88, align 8) {
        Address = 0,
        InterfaceIndex = 28,
        InterfaceLuid = 32,
        PhysicalAddress = 40,
        PhysicalAddressLength = 72,
        State = 76,
        Flags = 80,
        ReachabilityTime = 84
    }
    MIB_UNICASTIPADDRESS_ROW (size 80, align 8) {
        Address = 0,
        InterfaceLuid = 32,
        InterfaceIndex = 40,
        PrefixOrigin = 44,
        SuffixOrigin = 48,
        ValidLifetime = 52,
        PreferredLifetime = 56,
        OnLinkPrefixLength = 60,
        SkipAsSource = 61,
        DadState = 64,
        ScopeId = 68,
        CreationTimeStamp = 72
    }
    MIB_UNICASTIPADDRESS_TABLE (size 88, align 8) {
        NumEntries = 0,
        Table = 8
    }
    GUID (size 16, align 4) {
        Data1 = 0,
        Data2 = 4,
        Data3 = 6,
        Data4 = 8
    }
    IF_COUNTED_STRING (size 516, align 2) {
        Length = 0,
        String = 2
    }
    KEVENT (size 24, align 8) {
        _opaque as "Header" = 0
    }
}

// a request's data are a union without names of their own
const _: () = assert!(size_of::<REQUEST_DATA>() == 40);
const _: () =
    assert!(offset_of!(REQUEST_QUERY, BytesWritten) == 20 && offset_of!(REQUEST_QUERY, BytesNeeded) == 24);
const _: () = assert!(offset_of!(REQUEST_SET, BytesRead) == 20 && offset_of!(REQUEST_SET, BytesNeeded) == 24);
const _: () =
    assert!(offset_of!(REQUEST_METHOD, MethodId) == 24 && offset_of!(REQUEST_METHOD, BytesNeeded) == 36);
