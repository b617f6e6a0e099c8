//! User space: a whole switch of ours that answers misses and installs megaflows in the extension.
//!
//! Where it sits: beside the driver, as ovs-vswitchd is; it reaches the extension by calls, not yet through the device.

use std::sync::{Arc, Mutex, PoisonError};

use conntrack::Conntrack;
use datapath::{Command, CommandError, Reply};
use dpif::{Dpif, DpifError, Port, PortStats, UpcallHandler};
use odp::Action;
use openflow::msg::{Dialect, Message, VersionSet, header};
use openflow::{FlowModCommand, Names, Version};
use ovsext::with_extension;
use packet::{FlatPacket, Instant, Now, OdpPort, PacketMeta};
use switch::{BridgeConfig, BundleConfig, ControllerKind, FailMode, PortConfig, Switch};
use switch_ext::VportError;
use wire::EthAddr;

use crate::world::with;

/// The switch, and its way to the datapath.
pub(crate) struct UserSpace {
    switch: Switch,
    datapath: Arc<InKernel>,
}

/// The extension as the switch sees it.
#[derive(Default)]
struct InKernel {
    handler: Mutex<Option<Arc<dyn UpcallHandler>>>,
}

const BRIDGE: &str = "br0";

fn now() -> Now {
    with(|w| Now { mono: Instant(w.now_ns), wall_ms: w.now_ns / 1_000_000 })
}

fn gone() -> DpifError {
    DpifError::NoPort
}

impl UserSpace {
    /// A switch with one bridge that learns.
    pub fn new() -> UserSpace {
        let datapath = Arc::new(InKernel::default());
        let switch = Switch::new(datapath.clone());
        let config = BridgeConfig {
            fail_mode: FailMode::Standalone,
            ..BridgeConfig::new(BRIDGE, EthAddr([2, 0, 0, 0, 0, 99]))
        };
        switch.set_bridge(config, now());
        UserSpace { switch, datapath }
    }

    /// Adds the adapter called `name` to the bridge; true if it is there. With a VLAN the way out is a trunk, and all others
    /// are its access ports.
    pub fn add_port(&self, name: &str, vlan: Option<u16>) -> bool {
        let config = PortConfig {
            name: name.into(),
            kind: "system".into(),
            wanted: None,
            peer: None,
            tunnel: None,
            shown: String::new(),
            hw_addr: EthAddr::ZERO,
        };
        let added = self.switch.add_port(BRIDGE, config, now()).is_ok();
        let ports = self.switch.ports(BRIDGE);
        let bundle = |name: &str| match vlan {
            Some(tag) if !name.starts_with("Ethernet") => {
                BundleConfig { mode: xlate::VlanMode::Access, tag, ..BundleConfig::trunk(name) }
            }
            _ => BundleConfig::trunk(name),
        };
        self.switch.set_bundles(BRIDGE, ports.iter().map(|p| bundle(&p.name)).collect());
        added
    }
}

impl UserSpace {
    /// Adds a rule, as ovs-ofctl writes it.
    pub fn add_flow(&self, text: &str) {
        let (rule, _) = openflow::text::flow::parse(text, FlowModCommand::Add, &Names::none())
            .unwrap_or_else(|e| panic!("{text}: {e:?}"));
        let conn = self.switch.connect(BRIDGE, ControllerKind::Service).expect("the bridge is there");
        let hello = Message::Hello(openflow::msg::Hello::new(VersionSet::one(Version::V13)));
        for message in [hello, Message::FlowMod(rule)] {
            let mut bytes = Vec::new();
            message.encode(Dialect::new(Version::V13), 1, &mut bytes).expect("it fits a message");
            for one in header::messages(&bytes) {
                self.switch.handle_message(conn, one, now());
            }
        }
        self.switch.disconnect(conn);
    }
}

/// Answers one packet.
pub(crate) fn answer() {
    let Some(user_space) = with(|w| {
        w.answering = true;
        w.user_space.clone()
    }) else {
        return;
    };
    if let Some(upcall) = with_extension(|e| e.platform().next_upcall()).flatten() {
        let handler = user_space.datapath.handler.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(handler) = handler {
            let verdict = handler.handle(&upcall, now());
            if let Some(mut flow) = verdict.megaflow {
                // One that exists already was installed for a packet just before this one.
                let _ = user_space.datapath.apply(Command::PutFlow(&mut flow));
            }
            let _ = user_space.datapath.execute(upcall.meta, upcall.packet, &verdict.actions);
        }
    }
    with(|w| w.answering = false);
}

/// Translates megaflows again.
pub(crate) fn revalidate() {
    let Some(user_space) = with(|w| {
        w.answering = true;
        w.user_space.clone()
    }) else {
        return;
    };
    user_space.switch.run(now());
    with(|w| w.answering = false);
}

impl Dpif for InKernel {
    fn name(&self) -> &str {
        "system@ovs-system"
    }

    fn set_upcall_handler(&self, handler: Option<Arc<dyn UpcallHandler>>) {
        *self.handler.lock().unwrap_or_else(PoisonError::into_inner) = handler;
    }

    fn add_port(&self, name: &str, _kind: &str, wanted: Option<OdpPort>) -> Result<OdpPort, DpifError> {
        with_extension(|e| e.bind(name, wanted)).ok_or_else(gone)?.map_err(|e| match e {
            VportError::Exists => DpifError::Exists,
            VportError::Busy => DpifError::Busy,
            VportError::Full => DpifError::Full,
            VportError::NoDevice | VportError::NotFound | VportError::NoMemory => DpifError::NoPort,
        })
    }

    fn del_port(&self, number: OdpPort) -> Result<(), DpifError> {
        with_extension(|e| e.unbind(number)).ok_or_else(gone)?.map_err(|_| DpifError::NoPort)
    }

    fn ports(&self) -> Vec<Port> {
        let mut ports = Vec::new();
        with_extension(|e| {
            e.for_each_vport(|v| {
                ports.push(Port { number: v.number, name: v.name, kind: "system".into(), config: Vec::new() })
            })
        });
        ports
    }

    fn port_stats(&self, number: OdpPort) -> Result<PortStats, DpifError> {
        let mut found = None;
        with_extension(|e| {
            e.for_each_vport(|v| {
                if v.number == number {
                    found = Some(v.counters);
                }
            })
        });
        let [rx_packets, rx_bytes, tx_packets, tx_bytes] = found.ok_or(DpifError::NoPort)?.map(Some);
        Ok(PortStats { rx_packets, rx_bytes, tx_packets, tx_bytes, ..PortStats::default() })
    }

    fn apply(&self, command: Command<'_>) -> Result<Reply, CommandError> {
        with_extension(|e| e.apply(command)).unwrap_or(Err(CommandError::NotFound))
    }

    fn execute(&self, meta: PacketMeta, packet: FlatPacket, actions: &[Action]) -> Result<(), CommandError> {
        with_extension(|e| e.execute(meta, packet, actions)).unwrap_or(Err(CommandError::NotFound))
    }

    fn conntrack(&self) -> Option<&Conntrack> {
        let table = with_extension(|e| std::ptr::from_ref(e.datapath().conntrack()))?;
        // SAFETY: the extension stays until the administrator detaches it, which ends user space first.
        Some(unsafe { &*table })
    }
}
