//! User space: a whole switch of ours that answers misses and installs megaflows in the extension.
//!
//! Where it sits: beside the driver, as ovs-vswitchd is; everything goes through the device (`over_device.rs`), so that it is
//! the same with the driver linked in and with its image.
//!
//! One file is for commands, one receives upcalls, one receives events. Who waits, waits with a request at the device.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datapath::Command;
use dpif::Dpif;
use ndis_sys::STATUS_DEVICE_NOT_READY;
use netlink::Attrs;
use odp::netlink::ids::{self, control_attr, control_cmd};
use odp::netlink::vport::VportAttrs;
use openflow::msg::{Dialect, Message, VersionSet, header};
use openflow::{FlowModCommand, Names, Version};
use packet::{Instant, Now};
use switch::{BridgeConfig, BundleConfig, ControllerKind, FailMode, PortConfig, Switch};
use wire::EthAddr;
use xlate::{Fixed, Outer, Tunnel};

use crate::channel::{Channel, Failure, READ_EVENT, READ_PACKET};
use crate::far;
use crate::files::Pending;
use crate::over_device::{OverDevice, upcall_of};
use crate::policies;
use crate::scenario::Tunnel as Joint;
use crate::world::{rule, with};

/// The switch, and its way to the datapath.
pub(crate) struct UserSpace {
    switch: Switch,
    tunnel: Option<Joint>,
    datapath: Arc<OverDevice>,
    upcalls: Channel,
    events: Channel,
    /// The request that waits for upcalls.
    waiting: Mutex<Option<Pending>>,
    /// Its address; zero if nobody waits.
    waits_at: AtomicUsize,
}

const BRIDGE: &str = "br0";
/// The bridge of the host and the wire, where a tunnel joins hypervisors.
const UNDERLAY: &str = "br-pif";
/// The tunnel's port at the other bridge.
const TUNNEL: &str = "tun0";

fn now() -> Now {
    with(|w| Now { mono: Instant(w.now_ns), wall_ms: w.now_ns / 1_000_000 })
}

/// Repeats what memory may be short for.
fn insist<T>(mut f: impl FnMut() -> Result<T, Failure>) -> T {
    const ATTEMPTS: usize = 200;
    for _ in 0..ATTEMPTS {
        if let Ok(done) = f() {
            return done;
        }
    }
    crate::world::broken("the device refuses what it cannot refuse for ever")
}

impl UserSpace {
    /// A switch with one bridge that learns; with one for the host and the wire beside it if a tunnel joins hypervisors.
    pub fn new(tunnel: Option<Joint>) -> UserSpace {
        let channel = || insist(Channel::open);
        let (commands, upcalls, events) = (channel(), channel(), channel());
        insist(|| {
            upcalls.write(ids::CONTROL, control_cmd::PACKET_SUBSCRIBE, |b| {
                b.put_u8(control_attr::PACKET_SUBSCRIBE, 1);
                b.put_u32(control_attr::PACKET_PID, upcalls.pid);
            })
        });
        insist(|| {
            events.ask(ids::CONTROL, control_cmd::SOCK_PROP, 0, |b| {
                b.put_u32(control_attr::SOCK_PROTO, ids::NETLINK_GENERIC);
                b.put_u32(control_attr::SOCK_PID, events.pid);
            })
        });
        insist(|| {
            events.write(ids::CONTROL, control_cmd::MC_SUBSCRIBE, |b| {
                b.put_u32(control_attr::MCAST_GRP, 101);
                b.put_u8(control_attr::MCAST_JOIN, 1);
            })
        });
        let datapath = Arc::new(OverDevice::new(commands, upcalls.pid));
        let switch = Switch::new(datapath.clone());
        for (name, mac) in [(BRIDGE, 99), (UNDERLAY, 98)].into_iter().take(1 + usize::from(tunnel.is_some()))
        {
            let mac = EthAddr([2, 0, 0, 0, 0, mac]);
            let config = BridgeConfig { fail_mode: FailMode::Standalone, ..BridgeConfig::new(name, mac) };
            switch.set_bridge(config, now());
        }
        let (waiting, waits_at) = (Mutex::new(None), AtomicUsize::new(0));
        UserSpace { switch, tunnel, datapath, upcalls, events, waiting, waits_at }
    }

    /// Whoever has the guard calls nothing that another processor may go on in.
    fn waiting(&self) -> MutexGuard<'_, Option<Pending>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The request by which it waits for upcalls; zero if it does not wait.
    pub fn waits_at(&self) -> usize {
        self.waits_at.load(Ordering::Acquire)
    }

    /// Names of the ports that came and went since it was asked last.
    pub fn events(&self) -> Vec<(u8, String)> {
        let mut all = Vec::new();
        loop {
            let Ok(bytes) = self.events.read(READ_EVENT) else { continue };
            let (Some(command), Some(attrs)) = (bytes.get(16), bytes.get(24..)) else { return all };
            let name = VportAttrs::decode(Attrs::new(attrs)).ok().and_then(|a| a.name.map(str::to_owned));
            all.push((*command, name.expect("an event of a port has its name")));
        }
    }

    /// Tries to have what needs a switch, while there is none.
    pub fn ask_for_the_datapath(&self) -> Result<Vec<u8>, Failure> {
        self.datapath.channel.ask(ids::DATAPATH, ids::cmd::GET, 0, |_| {})
    }

    /// Names of the datapath's ports.
    pub fn ports(&self) -> Vec<String> {
        self.datapath.ports().into_iter().map(|p| p.name).collect()
    }

    /// Gives everything back: waits are cancelled, files closed.
    pub fn end(&self) {
        let pending = self.waiting().take();
        if let Some(mut pending) = pending {
            pending.cancel();
            // Cancelled, or over before it was.
            let _ = pending.finish();
        }
        for channel in [&self.upcalls, &self.events, &self.datapath.channel] {
            channel.close();
        }
    }

    /// Adds the adapter called `name` to the bridge; true if it is there. With a VLAN the way out is a trunk, and so are adapters
    /// that policies put into the VLAN; all others are its access ports.
    pub fn add_port(&self, name: &str, vlan: Option<u16>) -> bool {
        let is_hosts = name.contains("Ethernet");
        let bridge = if self.tunnel.is_some() && is_hosts { UNDERLAY } else { BRIDGE };
        self.add(bridge, (name, "system", None), vlan)
    }

    /// Adds the tunnel's port, if there is to be one; false if it is refused.
    pub fn add_tunnel(&self, vlan: Option<u16>) -> bool {
        let Some(joint) = self.tunnel else { return true };
        let kind = joint.kind;
        let tunnel = Tunnel {
            kind,
            remote: Fixed::To(far::Ends::of(joint).far),
            local: None,
            in_key: Some(Fixed::To(far::KEY)),
            out_key: Some(Fixed::To(far::KEY)),
            dst_port: far::port_of(kind),
            tos: Outer::Value(0),
            ttl: Outer::Value(64),
            df: true,
            csum: None,
            gbp: false,
            gpe: false,
            sequence: false,
            erspan: (0, 0, 0, 0),
            is_l3: false,
            egress_mark: None,
            segments: Vec::new(),
        };
        self.add(BRIDGE, (TUNNEL, kind.name(), Some(Arc::new(tunnel))), vlan)
    }

    fn add(
        &self,
        bridge: &str,
        (name, kind, tunnel): (&str, &str, Option<Arc<Tunnel>>),
        vlan: Option<u16>,
    ) -> bool {
        let config = PortConfig {
            name: name.into(),
            kind: kind.into(),
            wanted: None,
            peer: None,
            tunnel,
            shown: String::new(),
            hw_addr: EthAddr::ZERO,
        };
        let added = self.switch.add_port(bridge, config, now()).is_ok();
        let ports = self.switch.ports(bridge);
        let bundle = |name: &str| match vlan {
            Some(tag) if !name.starts_with("Ethernet") && !with(|w| policies::are_for(w, name)) => {
                BundleConfig { mode: xlate::VlanMode::Access, tag, ..BundleConfig::trunk(name) }
            }
            _ => BundleConfig::trunk(name),
        };
        self.switch.set_bundles(bridge, ports.iter().map(|p| bundle(&p.name)).collect());
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

/// Answers one packet, or waits for one.
pub(crate) fn answer() {
    let Some(user_space) = with(|w| {
        w.answering = true;
        w.user_space.clone()
    }) else {
        return;
    };
    user_space.answer();
    with(|w| w.answering = false);
}

impl UserSpace {
    fn answer(&self) {
        let pending = self.waiting().take();
        if let Some(pending) = pending {
            self.waits_at.store(0, Ordering::Release);
            // Without a switch nobody waits; it is tried again.
            let done = pending.finish();
            let is_over = matches!(done, Ok(_) | Err(STATUS_DEVICE_NOT_READY));
            rule(is_over, "a wait for upcalls failed");
        }
        match self.upcalls.read(READ_PACKET) {
            Ok(bytes) if bytes.is_empty() => {
                let pending = self.upcalls.wait(control_cmd::PEND_PACKET);
                self.waits_at.store(pending.id(), Ordering::Release);
                *self.waiting() = Some(pending);
            }
            Ok(bytes) => self.decide(&bytes),
            // No memory to map the buffer: it is tried again.
            Err(_) => {}
        }
    }

    fn decide(&self, bytes: &[u8]) {
        let upcall = upcall_of(bytes);
        rule(upcall.is_some(), "an upcall that cannot be read");
        let (Some(upcall), Some(handler)) = (upcall, self.datapath.handler()) else { return };
        let verdict = handler.handle(&upcall, now());
        if let Some(mut flow) = verdict.megaflow {
            // One that exists already was installed for a packet just before this one.
            let _ = self.datapath.apply(Command::PutFlow(&mut flow));
        }
        let _ = self.datapath.execute(upcall.meta, upcall.packet, &verdict.actions);
    }
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
