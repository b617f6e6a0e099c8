//! Why a packet was dropped: a closed list, one counter each.
//!
//! Where it sits: every layer that can end a packet names its reason here; hosts count per port, `dpctl/show-drops`
//! and `coverage/show` print. A row in docs/drop-reasons.md explains each (a test keeps the two in step).

macro_rules! drop_reasons {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal;)+) => {
        /// Why a packet was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[$doc])+ $variant,)+
        }

        impl DropReason {
            /// Every reason, in the order of their numbers.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$variant,)+];

            /// The name under which its counter is shown (where Open vSwitch has one, that counter's name).
            pub const fn name(self) -> &'static str {
                match self { $(DropReason::$variant => $name,)+ }
            }
        }
    };
}

drop_reasons! {
    /// The flow's actions are empty, end in `drop`, or send nothing anywhere, by the rules' will.
    Policy = "drop_action_of_pipeline";
    /// The bridge that the packet came to is gone.
    BridgeNotFound = "drop_action_bridge_not_found";
    /// Translation stopped at the resubmit depth.
    RecursionTooDeep = "drop_action_recursion_too_deep";
    /// Translation stopped at the limit of resubmits.
    TooManyResubmits = "drop_action_too_many_resubmit";
    /// Translation needed more stack than allowed.
    StackTooDeep = "drop_action_stack_too_deep";
    /// A frozen state was resumed for which no recirculation id exists any more.
    NoRecirculationContext = "drop_action_no_recirculation_context";
    /// Recirculation that would loop.
    RecirculationConflict = "drop_action_recirculation_conflict";
    /// More MPLS labels were popped or pushed than fit.
    TooManyMplsLabels = "drop_action_too_many_mpls_labels";
    /// A tunnel's metadata were invalid.
    InvalidTunnelMetadata = "drop_action_invalid_tunnel_metadata";
    /// A packet of a type that an action cannot handle.
    UnsupportedPacketType = "drop_action_unsupported_packet_type";
    /// A congestion mark on a tunnel that forbids it (RFC 6040).
    CongestionDrop = "drop_action_congestion";
    /// Forwarding is disabled, such as by a spanning tree.
    ForwardingDisabled = "drop_action_forwarding_disabled";
    /// There is no route to a tunnel's end point.
    TunnelRoutingFailed = "drop_action_tunnel_routing_failed";
    /// A tunnel's packets would leave by a port without an Ethernet address.
    TunnelOutputNoEthernet = "drop_action_tunnel_output_no_ethernet";
    /// The Ethernet address of a tunnel's next hop is being asked for.
    TunnelNeighCacheMiss = "drop_action_tunnel_neigh_cache_miss";
    /// A tunnel's header could not be made of the flow's tunnel fields.
    TunnelHeaderBuildFailed = "drop_action_tunnel_header_build_failed";
    /// The output port does not exist (any more).
    InvalidPort = "datapath_drop_invalid_port";
    /// The frame is shorter than an Ethernet header.
    RuntFrame = "datapath_drop_rx_invalid_packet";
    /// The bounded queue to user space was full.
    UpcallQueueFull = "datapath_drop_upcall_error";
    /// No flow matched and user space gave no answer.
    UpcallLost = "datapath_drop_lost_upcall";
    /// The device handed over a frame that was cut off.
    RxTruncated = "datapath_drop_rx_truncated";
    /// The device described a frame in words that nobody knows: how its checksum or segmentation is to be finished.
    RxUnknownOffload = "datapath_drop_rx_unknown_offload";
    /// A meter's band dropped it.
    Meter = "datapath_drop_meter";
    /// Recirculated too often.
    RecircLimit = "datapath_drop_recirc_error";
    /// The bounded worklist of clones and recirculations was full.
    WorklistFull = "datapath_drop_worklist_full";
    /// A buffer could not be had: for a received frame, or for a clone for a second output.
    NoMemory = "datapath_drop_no_memory";
    /// A header could not be pushed: no headroom.
    NoHeadroom = "datapath_drop_no_headroom";
    /// An action did not fit the packet (a header to be rewritten is not there).
    InvalidAction = "datapath_drop_invalid_action";
    /// A TTL or hop limit reached zero.
    TtlExceeded = "datapath_drop_ttl_exceeded";
    /// A tag, label or header to be popped is not there, or one to be pushed does not fit the packet's type.
    BadEncapsulation = "datapath_drop_encapsulation_error";
    /// NAT found no free address and port; the packet goes on without a connection.
    NatExhausted = "datapath_drop_nat_no_free_tuple";
    /// The connection table was full; the packet goes on without a connection.
    ConntrackFull = "conntrack_full";
    /// The zone's limit of connections was reached; the packet goes on without a connection.
    ConntrackZoneFull = "conntrack_zone_full";
    /// A fragment that went to connection tracking, and whose datagram's rest did not come in time.
    FragmentExpired = "datapath_drop_fragment_expired";
    /// Larger than the output port's MTU.
    MtuExceeded = "datapath_drop_mtu_exceeded";
    /// The output port's queue or ring was full, or the device refused the frame.
    TxFailed = "datapath_drop_tx_failed";
    /// The output port is administratively down or has no carrier.
    PortDown = "datapath_drop_port_down";
    /// A tunnel packet with a bad or truncated outer header.
    TunnelDecap = "datapath_drop_tunnel_pop_error";
    /// A tunnel header could not be pushed.
    TunnelEncap = "datapath_drop_tunnel_push_error";
    /// An STT frame whose segments did not all come in time.
    SttTimeout = "datapath_drop_stt_timeout";
    /// An STT frame that made way for others while segments were missing, or that came in too many pieces.
    SttNoRoom = "datapath_drop_stt_no_room";
    /// An adapter of a Hyper-V switch sent it from an address that its port's policy does not let it have.
    ForeignSource = "datapath_drop_foreign_source";
    /// It came from or was for an adapter of a Hyper-V switch, and is of no VLAN that its port's policy names.
    ForeignVlan = "datapath_drop_foreign_vlan";
}
