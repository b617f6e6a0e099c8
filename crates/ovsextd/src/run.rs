//! ovsextd's start, main loop and end.
//!
//! Where it sits: `main.rs` calls [`main`]. Packets and clients have threads of their own; here is what happens by the clock.

use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::{Rc, Weak};
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
use crate::handover;
use crate::host::Host;
use crate::options::{self, Options};
use crate::ways::Finding;

/// The whole program.
pub fn main() -> ExitCode {
    daemon::init();
    daemon::vlog::add_modules(daemon::vlog::DAEMON_MODULES);
    daemon::vlog::add_modules(daemon::vlog::SWITCH_MODULES);
    let options = options::read();
    let daemon = Daemon::start(&options.daemon).unwrap_or_else(|e| program::exit_with(&e.to_string()));
    daemon.run(async move |handle| match serve(&handle, &options).await {
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
    let clock: Clock =
        Arc::new(move || Now { mono: Instant(clock.now_ns()), wall_ms: clock.coarse_wall_ms() });
    let host = make_host(&devices, clock, options)?;
    let _finding = Finding::start(&host.ways).map_err(|e| format!("ways cannot be found ({e})"))?;
    let exit = Exit::register(handle.commands());
    let listener = if options.takes_over {
        handover::take_over(&host, &devices, &options.device)
            .map_err(|e| format!("cannot take over ({e})"))?
    } else {
        Listener::start(host.clone(), &options.device)
            .map_err(|e| format!("{}: cannot listen ({e})", options.device.display()))?
    };
    let listener = Rc::new(listener);
    let handed = Rc::new(Notify::new());
    commands::register(handle.commands(), &host);
    let succession = Succession {
        host: host.clone(),
        devices,
        listener: Rc::downgrade(&listener),
        handed: handed.clone(),
    };
    succession.register(handle, options);
    log::info!(target: "ovsextd", "{}", version::banner(program::name()));
    handle.ready();
    loop {
        let due = host.dpif.housekeep().as_millis();
        host.device.publish_connections(host.env());
        tokio::select! {
            () = handle.clock().sleep_until(due.max(handle.clock().now_ms() + 1)) => {}
            () = changed.notified() => {
                host.ways.distrust();
                host.dpif.links_changed();
                host.unless_halted(|| host.dpif.reconfigure());
            }
            () = exit.requested() => break,
            () = handed.notified() => break,
        }
    }
    drop(listener);
    exit.reply();
    Ok(())
}

/// The datapath with its local port, or without ports, which another process has.
fn make_host(devices: &LinuxDevices, clock: Clock, options: &Options) -> Result<Arc<Host>, String> {
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
    let open = if options.takes_over { DpifNetdev::without_ports } else { DpifNetdev::open };
    let dpif = open(setup).map_err(|e| failed(&e))?;
    Host::new(dpif, clock).map_err(|e| failed(&e))
}

fn registry(devices: &LinuxDevices) -> Registry {
    let mut registry = Registry::new();
    registry.register("system", devices.system());
    registry.register("internal", devices.internal());
    registry.register("afxdp", devices.afxdp());
    registry.register("afxdp-nonpmd", devices.afxdp_nonpmd());
    for kind in odp::TunnelKind::ALL {
        registry.register(kind.name(), netdev::vport_opener(kind.name()));
    }
    registry
}

/// What `handover` needs.
struct Succession {
    host: Arc<Host>,
    devices: LinuxDevices,
    /// Gone when the process ends.
    listener: Weak<Listener>,
    handed: Rc<Notify>,
}

impl Succession {
    /// Registers `handover [PROGRAM]`: the program of this process, or another, takes over.
    fn register(self, handle: &Handle, options: &Options) {
        let (args, handle_of_call) = (options.for_successor.clone(), handle.clone());
        handle.commands().register("handover", "[program]", 0..=1, move |call| {
            let Some(listener) = self.listener.upgrade() else { return call.error("already ending") };
            let program = match call.arg(0) {
                Some(path) => Ok(PathBuf::from(path)),
                None => std::env::current_exe(),
            };
            // The successor makes a file of the same name.
            handle_of_call.release_pidfile();
            let done = program.and_then(|p| handover::hand_over(&self.host, &listener, &p, &args));
            match done {
                Ok((counts, pause, pid)) => {
                    listener.give_away();
                    self.devices.leave();
                    self.handed.notify_one();
                    call.reply(format!(
                        "handed over to process {pid}: {} ports, {} flows, {} connections; nothing was forwarded for {:.1} ms\n",
                        counts.ports,
                        counts.flows,
                        counts.connections,
                        pause.as_secs_f64() * 1000.0
                    ));
                }
                Err(e) => {
                    handle_of_call.retake_pidfile();
                    call.error(format!("handover failed ({e})"));
                }
            }
        });
    }
}

/// Takes as many descriptors as the system allows: each port and each client needs one or more.
fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).is_err() {
        log::warn!(target: "ovsextd", "the limit of open files stays as it is");
    }
}
