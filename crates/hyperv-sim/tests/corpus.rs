//! Scenarios: the corpus of `dev/scenarios` on the whole driver, by its device and NDIS.
//!
//! With `OXVS_DRIVER` the driver is the image in that file, else it is linked in.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use datapath::{Command, CommandError, Reply};
use hyperv_sim::{Attended, Driver, attend};
use odp::Action;
use scenarios::{Host, Passed, corpus, run};

/// Scenarios that are otherwise with the driver, and why.
const OTHERWISE: [(&str, &str); 5] = [
    ("a bond sends by one of its members", "its device has no words for bonds"),
    ("a meter marks", "its device has no words for such bands"),
    ("of the bands that are exceeded, the one of the highest rate counts", "the same"),
    ("two tags, the outer a provider's", "it parses one tag"),
    ("fragments whose rest does not come are dropped", "it drops them at once, not with the next packet"),
];

struct InSwitch<'a>(&'a mut Attended);

impl InSwitch<'_> {
    fn passed(&mut self) -> Passed {
        Passed { out: self.0.take_sent(), up: self.0.take_upcalls(), unanswered: 0 }
    }
}

impl Host for InSwitch<'_> {
    fn name(&self) -> &'static str {
        "the driver"
    }

    fn set_time(&mut self, ms: u64) {
        self.0.set_time(ms);
    }

    fn limit_connections(&mut self, most: u32, zone: Option<u16>) {
        self.0.limit_connections(most, zone);
    }

    fn deafen(&mut self) {
        self.0.deafen();
    }

    fn apply(&mut self, command: Command<'_>) -> Result<Reply, CommandError> {
        match command {
            Command::SetTunnel { port, kind: Some(kind) } => {
                self.0.add_tunnel(port, kind).map(|()| Reply::Done)
            }
            command => self.0.apply(command),
        }
    }

    fn receive(&mut self, packets: Vec<(u32, Vec<u8>)>) -> Passed {
        self.0.receive(packets);
        self.passed()
    }

    fn execute(&mut self, (port, frame): (u32, Vec<u8>), actions: &[Action]) -> Result<Passed, CommandError> {
        odp::validate(actions).map_err(CommandError::InvalidActions)?;
        self.0.execute((port, &frame), actions)?;
        Ok(self.passed())
    }
}

#[test]
fn the_driver_does_what_scenarios_say() {
    let driver = match std::env::var_os("OXVS_DRIVER") {
        Some(file) => Driver::Image(PathBuf::from(file)),
        None => Driver::Native,
    };
    let complaints = Arc::new(Mutex::new(Vec::new()));
    let (mut count, mut otherwise) = (0, 0);
    for (file, scenario) in corpus() {
        if OTHERWISE.iter().any(|(name, _)| scenario.name == *name) {
            otherwise += 1;
            continue;
        }
        count += 1;
        let (complaints, ports) = (complaints.clone(), scenario.ports.clone());
        attend(&driver, &ports, move |attended| {
            let done = run(&file, &scenario, &mut InSwitch(attended));
            complaints.lock().expect("nobody panics with it").extend(done.err());
        });
    }
    let complaints = complaints.lock().expect("nobody panics with it");
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
    assert!(
        count >= 90 && otherwise == OTHERWISE.len(),
        "only {count} scenarios, {otherwise} that are otherwise"
    );
}
