//! A driver at a switch with an adapter for each of some ports and nobody at them: user space commands, packets come, and what
//! leaves is looked at, step by step.
//!
//! Where it sits: in place of the administrator's script; the corpus of scenarios runs on it (`tests/corpus.rs`). What is asked
//! of the driver goes through its device, what is sent through the switch.

use conntrack::Setting;
use datapath::{Command, CommandError, Reply, UpcallKind};
use device::ct_setting;
use dpif::Dpif;
use ndis_sys::*;
use odp::netlink::ids::{self, cmd, control_attr, control_cmd};
use odp::netlink::{ct_limit, ct_limit::ZoneLimit};
use odp::{Action, TunnelKind};
use packet::{FlatPacket, OdpPort, PacketBuf, PacketMeta};
use switch_ext::NicId;

use crate::administrator::{create_port, plug_in};
use crate::channel::{Channel, READ_PACKET};
use crate::guest::Guest;
use crate::over_device::{OverDevice, upcall_of};
use crate::packets::{OutOfBand, to_driver};
use crate::processors::wait_until;
use crate::scenario::{self, Plan, insist};
use crate::world::{Driver, rule, with};

/// Decides in which order things happen of which it does not matter.
const SEED: u64 = 1;
/// Sets limits of zones.
const SET_LIMITS: u8 = 1;

/// The driver, the adapters and user space's two files.
pub struct Attended {
    datapath: OverDevice,
    /// The file that receives upcalls, while somebody listens.
    upcalls: Option<Channel>,
    ports: Vec<u32>,
}

/// A packet that went up: its port, its frame, and whether a flow was wanting.
pub type WentUp = (u32, Vec<u8>, bool);

/// Runs `f` with a fresh driver and these ports bound.
///
/// # Panics
/// When `f` does. A rule that is broken ends the process.
pub fn attend(driver: &Driver, ports: &[u32], f: impl FnOnce(&mut Attended) + Send + 'static) {
    let plan = Plan { driver: driver.clone(), tunnel: None, fail_one_in: 0, ..Plan::of(SEED) };
    let ports = ports.to_vec();
    scenario::live(&plan, move || {
        with(|w| {
            w.administrator.as_mut().expect("running").keeps_time = true;
            w.shows_tags = true;
        });
        let image = scenario::begin();
        let mut attended = Attended::new(ports);
        f(&mut attended);
        attended.deafen();
        attended.datapath.channel.close();
        scenario::finish(image);
    });
}

fn nic(port: u32) -> NicId {
    NicId { port, index: 0 }
}

/// Everything that was sent has arrived and is given back.
fn settle() {
    wait_until(|| with(|w| w.sent.is_empty() && w.done.is_empty()));
}

impl Attended {
    fn new(ports: Vec<u32>) -> Attended {
        let open = || Channel::open().expect("memory is there");
        let (commands, upcalls) = (open(), open());
        let subscribed = upcalls.write(ids::CONTROL, control_cmd::PACKET_SUBSCRIBE, |b| {
            b.put_u8(control_attr::PACKET_SUBSCRIBE, 1);
            b.put_u32(control_attr::PACKET_PID, upcalls.pid);
        });
        subscribed.expect("nobody has subscribed");
        let datapath = OverDevice::new(commands, upcalls.pid);
        for port in &ports {
            let name = format!("vm{port}");
            insist(|| create_port(*port, NdisSwitchPortTypeSynthetic, &name));
            let mac = [2, 0, 0, 0, 0xff, *port as u8];
            insist(|| plug_in(nic(*port), NdisSwitchNicTypeSynthetic, &name, mac));
            // One that only keeps what comes.
            with(|w| w.guests.push(Guest::new(*port as u8, &name, nic(*port), false, w.mtu)));
            datapath.add_port(&name, "system", Some(OdpPort(*port))).expect("its adapter is there");
        }
        Attended { datapath, upcalls: Some(upcalls), ports }
    }

    /// Sets the time, in milliseconds; what is due happens.
    pub fn set_time(&mut self, ms: u64) {
        with(|w| w.now_ns = w.now_ns.max(ms * 1_000_000));
        wait_until(|| with(|w| w.ledger.timers.values().all(|t| !t.is_busy(w.now_ns))));
    }

    /// Whoever takes what goes up goes away.
    pub fn deafen(&mut self) {
        self.upcalls.take().iter().for_each(Channel::close);
    }

    /// Connections at most, of all or of a zone.
    pub fn limit_connections(&mut self, most: u32, zone: Option<u16>) {
        let channel = &self.datapath.channel;
        let done = match zone {
            None => channel.ask(ids::CT_SETTING, cmd::SET, 0, |b| {
                ct_setting::put_setting(b, Setting::MaxConns, most);
            }),
            Some(zone) => channel.ask(ids::CT_LIMIT, SET_LIMITS, 0, |b| {
                ct_limit::put(b, [ZoneLimit { zone: zone.into(), limit: most, count: 0 }].into_iter());
            }),
        };
        done.expect("a limit can be set");
    }

    /// Makes a port of a tunnel.
    pub fn add_tunnel(&mut self, number: OdpPort, kind: TunnelKind) -> Result<(), CommandError> {
        let added =
            self.datapath.add_port(&format!("a tunnel of {}", kind.name()), kind.name(), Some(number));
        added.map(drop).map_err(|_| CommandError::NotSupported)
    }

    /// Carries out a command.
    pub fn apply(&mut self, command: Command<'_>) -> Result<Reply, CommandError> {
        self.datapath.apply(command)
    }

    /// Packets come from adapters, in one list.
    pub fn receive(&mut self, packets: Vec<(u32, Vec<u8>)>) {
        let packets = packets.into_iter().map(|(port, frame)| (nic(port), vec![frame], OutOfBand::default()));
        to_driver(&packets.collect::<Vec<_>>());
        settle();
    }

    /// Executes actions on a packet.
    pub fn execute(&mut self, (port, frame): (u32, &[u8]), actions: &[Action]) -> Result<(), CommandError> {
        let meta = PacketMeta { in_port: OdpPort(port), ..PacketMeta::default() };
        let packet = FlatPacket::try_from_frame(frame).ok_or(CommandError::NoMemory)?;
        let done = self.datapath.execute(meta, packet, actions);
        settle();
        done
    }

    /// Frames that came to adapters, with their tags in them, each adapter's in order.
    pub fn take_sent(&mut self) -> Vec<(u32, Vec<u8>)> {
        let mut all = Vec::new();
        for port in &self.ports {
            let inbox = with(|w| {
                let guest = w.guest_at(nic(*port)).expect("made with the port");
                std::mem::take(&mut w.guests[guest].inbox)
            });
            all.extend(inbox.into_iter().map(|frame| (*port, frame)));
        }
        all
    }

    /// Packets that went up.
    pub fn take_upcalls(&mut self) -> Vec<WentUp> {
        let mut all = Vec::new();
        let Some(channel) = &self.upcalls else { return all };
        loop {
            let bytes = channel.read(READ_PACKET).expect("there is room for the largest");
            if bytes.is_empty() {
                return all;
            }
            let upcall = upcall_of(&bytes);
            rule(upcall.is_some(), "an upcall that cannot be read");
            all.extend(
                upcall
                    .map(|u| (u.key.in_port(), u.packet.head().to_vec(), matches!(u.kind, UpcallKind::Miss))),
            );
        }
    }
}
