//! ovsextd's start, main loop and end.
//!
//! Where it sits: `main.rs` calls [`main`]. Packets and clients have threads of their own; here is what happens by the clock.

use std::process::ExitCode;
use std::sync::Arc;

use daemon::{Daemon, Exit, Handle, program, version};
use dpif_netdev::{Class, Clock, Cores, DpifNetdev, Setup};
use netdev::Registry;
use netdev_linux::LinuxDevices;
use packet::{Instant, Now};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Notify;

use crate::carrier::Listener;
use crate::commands;
use crate::host::Host;
use crate::options::{self, Options};

/// The whole program.
pub fn main() -> ExitCode {
    daemon::init();
    let options = options::read();
    let daemon = Daemon::start(&options.daemon).unwrap_or_else(|e| program::exit_with(&e.to_string()));
    daemon.run(async |handle| match serve(&handle, &options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!(target: "ovsextd", "{error}");
            eprintln!("{}: {error}", program::name());
            ExitCode::FAILURE
        }
    })
}

async fn serve(handle: &Handle, options: &Options) -> Result<(), String> {
    sync::set_relax(std::thread::yield_now);
    raise_limit();
    let changed = Arc::new(Notify::new());
    let of_links = changed.clone();
    let devices = LinuxDevices::new(Arc::new(move || of_links.notify_one()))
        .map_err(|e| format!("links cannot be followed ({e})"))?;
    let clock = handle.clock().clone();
    let clock: Clock = Arc::new(move || Now { mono: Instant(clock.now_ns()), wall_ms: clock.wall_ms() });
    let host = make_host(&devices, clock)?;
    let exit = Exit::register(handle.commands());
    commands::register(handle.commands(), &host);
    let listener = Listener::start(host.clone(), &options.device)
        .map_err(|e| format!("{}: cannot listen ({e})", options.device.display()))?;
    log::info!(target: "ovsextd", "{}", version::banner(program::name()));
    handle.ready();
    loop {
        let due = host.dpif.housekeep().as_millis();
        host.device.publish_connections(host.env());
        tokio::select! {
            () = handle.clock().sleep_until(due.max(handle.clock().now_ms() + 1)) => {}
            () = changed.notified() => host.dpif.links_changed(),
            () = exit.requested() => break,
        }
    }
    drop(listener);
    exit.reply();
    Ok(())
}

/// The datapath with its local port.
fn make_host(devices: &LinuxDevices, clock: Clock) -> Result<Arc<Host>, String> {
    let seed = uuid::Uuid::new_v4().as_u64_pair();
    let config = datapath::Config {
        seed: seed.0,
        conntrack: conntrack::Config::with_seed([seed.0, seed.1]),
        ..datapath::Config::default()
    };
    let cores = Cores::of_system();
    cores.log();
    let registry = Arc::new(registry(devices));
    let setup =
        Setup { class: Class::System, registry, clock: clock.clone(), config, cores: Arc::new(cores) };
    let failed = |why: &dyn std::fmt::Display| format!("the datapath cannot be made ({why})");
    let dpif = DpifNetdev::open(setup).map_err(|e| failed(&e))?;
    Host::new(dpif, clock).ok_or_else(|| failed(&"Cannot allocate memory"))
}

fn registry(devices: &LinuxDevices) -> Registry {
    let mut registry = Registry::new();
    registry.register("system", devices.system());
    registry.register("internal", devices.internal());
    for kind in odp::TunnelKind::ALL.iter().filter(|k| **k != odp::TunnelKind::Stt) {
        registry.register(kind.name(), netdev::vport_opener(kind.name()));
    }
    registry
}

/// Takes as many descriptors as the system allows: each port and each client needs one or more.
fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).is_err() {
        log::warn!(target: "ovsextd", "the limit of open files stays as it is");
    }
}
