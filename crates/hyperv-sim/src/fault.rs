//! Planted faults: what can be made to go wrong between the driver and the kernel, to show that it is found out.
//!
//! Where it sits: asked by the simulated functions where each is to happen; `tests/rules.rs` says by which rule each is found.

use crate::world::with;

/// Declares faults with the names that they are asked for by.
macro_rules! faults {
    ($($(#[$doc:meta])+ $fault:ident = $name:literal,)+) => {
        /// Something that goes wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $($(#[$doc])+ $fault,)+
        }

        impl Fault {
            /// Every fault with its name.
            pub const ALL: &[(&str, Fault)] = &[$(($name, Fault::$fault)),+];
        }
    };
}

faults! {
    /// A completion is forgotten.
    LoseACompletion = "lose-a-completion",
    /// A completion is made twice.
    CompleteTwice = "complete-twice",
    /// A received packet is changed before it is sent on.
    ChangeAReceivedPacket = "change-a-received-packet",
    /// Packets are said to have one destination.
    FlagADestinationGroup = "flag-a-destination-group",
    /// Packets are said to have one source.
    FlagASingleSource = "flag-a-single-source",
    /// A processor stays at DISPATCH_LEVEL.
    LeaveTheLevelRaised = "leave-the-level-raised",
    /// Drops are not reported.
    DoNotReport = "do-not-report",
    /// A packet is freed twice.
    FreeAPacketTwice = "free-a-packet-twice",
    /// A request of user space is completed twice.
    CompleteARequestTwice = "complete-a-request-twice",
    /// A request of user space is not completed.
    LoseARequest = "lose-a-request",
    /// Nothing is told to the driver of a file whose last handle is closed, until it is gone.
    ForgetACleanup = "forget-a-cleanup",
    /// The parameters of a request of the switch are changed.
    ChangeARequest = "change-a-request",
    /// A request of the switch is not passed on, and said to have been agreed to.
    KeepARequest = "keep-a-request",
    /// A packet that comes during a pause is said to be delivered.
    SayNothingOfAPause = "say-nothing-of-a-pause",
    /// Changes of the host's network are not told.
    KeepTheHostsChanges = "keep-the-hosts-changes",
    /// The driver is not told that an adapter is connected.
    WithholdAConnection = "withhold-a-connection",
    /// The driver is not told that an adapter is disconnected.
    WithholdADisconnection = "withhold-a-disconnection",
    /// The driver is not told of a port's policy, or of its end.
    WithholdAPolicy = "withhold-a-policy",
    /// The driver is not told that the switch is active.
    WithholdTheActivation = "withhold-the-activation",
    /// A pause that waits for packets is completed before they are back.
    EndAPauseEarly = "end-a-pause-early",
    /// The driver is not told that its pause is over.
    ForgetARestart = "forget-a-restart",
    /// A packet that shares data does not say whose.
    ForgetAParent = "forget-a-parent",
    /// A timer stays set when it is cancelled.
    LeaveATimerSet = "leave-a-timer-set",
    /// The pool of packets is kept when the extension is detached.
    KeepThePacketPool = "keep-the-packet-pool",
    /// The host goes on to tell of its changes when the extension is detached.
    KeepANotification = "keep-a-notification",
    /// The device is kept when the driver is unloaded.
    KeepTheDevice = "keep-the-device",
    /// The driver stays registered when it is unloaded.
    IgnoreDeregistering = "ignore-deregistering",
}

impl Fault {
    /// The fault of a name.
    pub fn parse(name: &str) -> Option<Fault> {
        Fault::ALL.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault)
    }
}

/// True if this goes wrong now.
pub(crate) fn goes_wrong(fault: Fault) -> bool {
    const ONE_IN: usize = 8;
    with(|w| w.fault == Some(fault) && w.random.once_in(ONE_IN))
}
