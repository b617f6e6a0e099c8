//! A load: batches of packets through the driver, to tell what they cost it.
//!
//! Where it sits: called by `benches/driver.rs`. One processor, no guests and no user space: flows are put into the extension over
//! its device, and the same frames are sent over and over by one adapter, in chains of 32.

use datapath::{Command, FlowInfo, FlowPut, PutMode};
use dpif::Dpif;
use ndis_sys::{NdisSwitchNicTypeSynthetic, NdisSwitchPortTypeSynthetic};
use packet::{BATCH, OdpPort};

use crate::administrator::Administrator;
use crate::channel::Channel;
use crate::guest::Guest;
use crate::over_device::OverDevice;
use crate::packets::{OutOfBand, to_driver};
use crate::processors::alone;
use crate::scenario::{self, Place, nic_of, plug};
use crate::stopwatch;
use crate::world::{self, Driver, Job, Random, World, rule, with};

/// What to send.
#[derive(Clone, Debug)]
pub struct Load {
    /// The driver.
    pub driver: Driver,
    /// The extension's flows. Ports are 1 to 3; packets come in by the first.
    pub flows: Vec<FlowInfo>,
    /// Frames, sent in turn.
    pub frames: Vec<Vec<u8>>,
    /// What is sent once before, each by one of the ports.
    pub before: Vec<(u32, Vec<u8>)>,
    /// Chains of 32 packets.
    pub batches: u64,
    /// Whoever counts instructions wants nothing behind the last of them: with it the process ends.
    pub ends_with_the_last: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Carried {
    /// Frames that arrived.
    pub delivered: u64,
    /// Nanoseconds of the driver for each packet.
    pub ns: f64,
}

const NAMES: [&str; 3] = ["vm1", "vm2", "vm3"];

/// The adapter that is port `number`.
fn place(number: u32) -> Place<'static> {
    Place {
        name: NAMES[number as usize - 1],
        port: 10 + number,
        port_kind: NdisSwitchPortTypeSynthetic,
        index: 0,
        nic_kind: NdisSwitchNicTypeSynthetic,
    }
}

/// Runs a load. What breaks a rule ends the process, as in a life.
pub fn carry(load: &Load) -> Carried {
    let _only = world::is_taken();
    world::begin(World {
        administrator: Some(Administrator { started: true, ..Administrator::default() }),
        is_plain: true,
        ..World::new(world::IN_REAL_TIME, Random::new(1), 1, load.driver.clone())
    });
    let carried = alone(|| {
        let image = scenario::begin();
        let carried = through(load);
        scenario::finish(image);
        carried
    });
    rule(world::end().ledger.leaks().is_empty(), "something is left behind");
    carried
}

fn through(load: &Load) -> Carried {
    for number in 1..=NAMES.len() as u32 {
        let place = place(number);
        plug(&place, [2, 0, 0, 0, 0, number as u8]);
        // One that only keeps what comes.
        with(|w| w.guests.push(Guest::new(number as u8, place.name, nic_of(&place), false, 1500)));
    }
    let channel = Channel::open().expect("memory is there");
    let nobody = channel.pid;
    let datapath = OverDevice::new(channel, nobody);
    for (number, name) in (1..).zip(NAMES) {
        let got = datapath.add_port(name, "system", Some(OdpPort(number)));
        rule(got.is_ok_and(|got| got.0 == number), "a port does not get its number");
    }
    for flow in &load.flows {
        let FlowInfo { ufid, matched, actions, .. } = flow.clone();
        let mut put = FlowPut { ufid, matched, actions, mode: PutMode::Create };
        rule(datapath.apply(Command::PutFlow(&mut put)).is_ok(), "a flow is refused");
    }
    for (number, frame) in &load.before {
        send(*number, std::slice::from_ref(frame));
    }
    let mut frames = load.frames.iter().cycle();
    let mut run = |batches: u64| {
        for _ in 0..batches {
            let batch: Vec<Vec<u8>> = frames.by_ref().take(BATCH).cloned().collect();
            send(1, &batch);
        }
    };
    // Every flow is known to the flow cache, and the shape of the table settled.
    run(2 * load.frames.len().div_ceil(BATCH) as u64);
    with(|w| w.counts.delivered = 0);
    let ns = stopwatch::measure(|| run(load.batches));
    let delivered = with(|w| w.counts.delivered);
    if load.ends_with_the_last {
        std::process::exit(i32::from(delivered != load.batches * BATCH as u64));
    }
    datapath.channel.close();
    Carried { delivered, ns: ns / (load.batches * BATCH as u64).max(1) as f64 }
}

/// Sends frames by a port, and has all of them arrive and given back.
fn send(number: u32, frames: &[Vec<u8>]) {
    let nic = nic_of(&place(number));
    let packets: Vec<_> = frames.iter().map(|f| (nic, vec![f.clone()], OutOfBand::default())).collect();
    to_driver(&packets);
    settle();
    with(|w| w.guests.iter_mut().for_each(|guest| guest.inbox.clear()));
}

fn settle() {
    while let Some(job) = with(World::next_job) {
        Job::run(job);
    }
}
