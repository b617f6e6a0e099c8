//! The daemon's main loop.
//!
//! Where it sits: `src/main.rs` calls [`main`]. One thread runs everything here; datapaths have threads of their own.
//!
//! ~~~text
//! database changed ─► Config ─► engine ─► Status ─► one transaction ─► database
//! due, or woken ─► engine.run (revalidation, timeouts, packet-ins) ─► OpenFlow connections woken
//! ~~~
//!
//! I1  With nothing to do it sleeps: whatever happens on other threads wakes it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use daemon::{Clock, Daemon, Exit, Handle, program, version};
use dpif_netdev::Cores;
use netdev_linux::LinuxDevices;
use ovsdb_idl::{Idl, State, Txn, Wanted};
use stream::jsonrpc;
use stream::replicated::Replicated;
use stream::tls::Settings;
use switch::{Takeover, Waker};
use tokio::sync::Notify;

use crate::auto_add::{self, Arrivals};
use crate::commands;
use crate::config::{self, Config, FailMode};
use crate::engine::{Engine, HostSetup, Shared};
use crate::observe::{Statistics, observe, observe_controllers};
use crate::openflow_io::{self, Context, Listeners};
use crate::options::{self, Options};

/// Milliseconds between looks at controllers that do not answer.
const CONTROLLERS_MS: u64 = 1000;
/// Default of `other_config:stats-update-interval`.
const STATISTICS_MS: u64 = 5000;

/// The whole program.
pub fn main() -> ExitCode {
    daemon::init();
    daemon::vlog::add_modules(daemon::vlog::DAEMON_MODULES);
    daemon::vlog::add_modules(daemon::vlog::SWITCH_MODULES);
    let options = options::read();
    let daemon = Daemon::start(&options.daemon).unwrap_or_else(|e| program::exit_with(&e.to_string()));
    daemon.run(async |handle| serve(handle, options).await)
}

/// Everything that the main loop keeps.
struct Vswitchd {
    engine: Shared,
    db: Replicated,
    clock: Clock,
    context: Context,
    listeners: BTreeMap<String, Listeners>,
    config: Config,
    /// The replica's state that `config` was read from.
    seqno: u64,
    /// A transaction with status that is under way.
    writing: Option<i64>,
    /// The configuration that is carried out and not yet acknowledged in the database.
    announce: bool,
    /// Links or controllers changed since status was written.
    status_is_new: bool,
    statistics_due: u64,
    problems: Vec<String>,
    /// Adapters of virtual machines that are to become ports.
    arrivals: Arrivals,
}

async fn serve(handle: Handle, options: Options) -> ExitCode {
    let clock = handle.clock().clone();
    stream::tls::configure(options.tls.clone());
    let exit = Exit::register_with_cleanup(handle.commands());
    let wake_main = Arc::new(Notify::new());
    let engine: Shared = Rc::new(RefCell::new(new_engine(&options, &clock, &wake_main)));
    commands::register(handle.commands(), &engine, options.daemon.dummy);
    let idl = Idl::new("Open_vSwitch", Wanted::Everything).with_lock("ovs_vswitchd");
    let db = Replicated::dial(vec![options.remote.clone()], idl, jsonrpc::Options::default(), &clock);
    log::info!(target: "vswitchd", "{}", version::banner(program::name()));
    let context = Context {
        clock: clock.clone(),
        wake: Rc::default(),
        wake_main: wake_main.clone(),
        status_is_new: Rc::default(),
    };
    let mut vswitchd = Vswitchd {
        engine,
        db,
        clock,
        context,
        listeners: BTreeMap::new(),
        config: Config::default(),
        seqno: 0,
        writing: None,
        announce: false,
        status_is_new: false,
        statistics_due: 0,
        problems: Vec::new(),
        arrivals: Arrivals::default(),
    };
    let mut is_ready = false;
    loop {
        let deadline = vswitchd.step();
        if !is_ready && vswitchd.is_settled() {
            handle.ready();
            is_ready = true;
        }
        tokio::select! {
            alive = vswitchd.db.next() => if !alive { break },
            () = vswitchd.clock.sleep_until(deadline) => {}
            () = wake_main.notified() => {}
            () = exit.requested() => break,
        }
    }
    vswitchd.listeners.clear();
    if !exit.cleanup() {
        vswitchd.engine.borrow_mut().leave();
    }
    vswitchd.engine.borrow_mut().configure(&Config::default());
    exit.reply();
    ExitCode::SUCCESS
}

fn new_engine(options: &Options, clock: &Clock, wake_main: &Arc<Notify>) -> Engine {
    sync::set_relax(std::thread::yield_now);
    let woken = wake_main.clone();
    let waker: Waker = Arc::new(move || woken.notify_one());
    let linux = LinuxDevices::new(waker.clone())
        .inspect_err(|e| log::warn!(target: "netdev_linux", "links cannot be followed ({e})"))
        .ok();
    let of_core = clock.clone();
    let seed = ovsdb::Uuid::from_random(uuid::Uuid::new_v4().as_u128()).0;
    let clock = Arc::new(move || openflow_io::now(&of_core));
    let cores = options.dummy_numa.as_deref().map_or_else(Cores::of_system, Cores::pretended);
    cores.log();
    let (cores, device) = (Arc::new(cores), options.device.clone());
    let host = HostSetup { dummy: options.dummy, linux, cores, seed: seed as u64, device };
    let mut engine = Engine::new(host, clock, waker);
    if options.system_routes {
        engine.follow_routes();
    }
    engine
}

impl Vswitchd {
    /// Does everything that is due; returns when to be called again, in the clock's milliseconds.
    fn step(&mut self) -> u64 {
        let synced = *self.db.idl().state() == State::Synced && self.db.idl().has_lock();
        let relinked = self.engine.borrow_mut().links_changed();
        let replugged = self.look_at_adapters();
        if synced && (self.db.idl().seqno() != self.seqno || relinked || replugged) {
            self.seqno = self.db.idl().seqno();
            self.reconfigure(relinked || replugged);
        }
        for plane in self.engine.borrow().planes() {
            plane.host.poll_ports();
            if relinked {
                plane.host.links_changed();
                plane.follow_links();
            }
        }
        let due = self.engine.borrow_mut().run().as_millis();
        let controllers_due = self.look_at_controllers();
        self.context.wake.notify_waiters();
        if synced {
            self.status_is_new |= relinked | self.context.status_is_new.take();
            self.write_status();
        }
        due.min(controllers_due).min(self.statistics_due).max(self.clock.now_ms() + 1)
    }

    /// Takes note of adapters that came; true if one that could not be opened may be opened now.
    fn look_at_adapters(&mut self) -> bool {
        let engine = self.engine.borrow();
        if let Some(plane) = self.adding_bridge().and_then(|bridge| engine.plane_of(&bridge.name)) {
            let came = plane.host.take_unbound();
            self.arrivals.note(came);
        }
        engine.planes().fold(false, |changed, plane| plane.host.take_changed() | changed)
    }

    /// The bridge whose ports adapters of virtual machines become by themselves.
    fn adding_bridge(&self) -> Option<&config::Bridge> {
        let engine = self.engine.borrow();
        let is_behind_device = |name: &str| engine.plane_of(name).is_some_and(|p| p.host.outlives_us());
        auto_add::bridge_for(&self.config, is_behind_device)
    }

    /// Has standalone bridges do without controllers that do not answer; returns when to look again.
    fn look_at_controllers(&self) -> u64 {
        let now = self.clock.now_ms();
        let mut next = u64::MAX;
        for (name, listeners) in &self.listeners {
            let standalone =
                self.config.bridges.get(name).is_some_and(|b| b.fail_mode == FailMode::Standalone);
            let Some(plane) = self.engine.borrow().plane_of(name).cloned() else { continue };
            if standalone && listeners.some_fails() {
                next = now + CONTROLLERS_MS;
            }
            let takeover = match listeners.all_fail(now).filter(|_| standalone) {
                Some(_) => Takeover::Active,
                None => Takeover::Inactive,
            };
            if takeover == plane.switch.takeover(name) {
                continue;
            }
            match listeners.all_fail(now).filter(|_| standalone) {
                Some(silence) => log::warn!(
                    target: "fail_open",
                    "Could not connect to controller (or switch failed controller's post-connection admission control policy) \
                     for {} seconds, failing open",
                    silence / 1000
                ),
                None => log::warn!(target: "fail_open", "No longer in fail-open mode"),
            }
            plane.switch.set_takeover(name, takeover, openflow_io::now(&self.clock));
        }
        next
    }

    /// Reads the rows, and carries out what they want if that has changed.
    fn reconfigure(&mut self, retry: bool) {
        let config = Config::read(self.db.idl().replica());
        if config.root.is_none() || (config == self.config && !retry) {
            return;
        }
        if config.problems != self.problems {
            config.problems.iter().for_each(|p| log::warn!(target: "bridge", "{p}"));
            self.problems.clone_from(&config.problems);
        }
        if let Some(tls) = &config.tls {
            // The names of files are the database's to say; what it has no column for stays.
            let peer_ca_cert = stream::tls::settings().peer_ca_cert;
            let server_name = stream::tls::settings().server_name;
            stream::tls::configure(Settings { peer_ca_cert, server_name, ..tls.clone() });
        }
        self.engine.borrow_mut().configure(&config);
        self.set_listeners(&config);
        self.config = config;
        self.announce = true;
    }

    fn set_listeners(&mut self, config: &Config) {
        let engine = self.engine.borrow();
        self.listeners.retain(|name, l| engine.plane_of(name).is_some_and(|p| l.is_of(p)));
        for (name, bridge) in &config.bridges {
            let Some(plane) = engine.plane_of(name) else { continue };
            let listeners = self
                .listeners
                .entry(name.clone())
                .or_insert_with(|| Listeners::open(plane.clone(), name, &self.context));
            // Controllers would change rules while they are being restored.
            let alone = config::Bridge { controllers: BTreeMap::new(), ..bridge.clone() };
            listeners.set_controllers(if engine.is_restoring() { &alone } else { bridge }, &self.context);
        }
    }

    /// True once the first configuration is in force and the database knows.
    fn is_settled(&self) -> bool {
        let idle = self.config.root.is_none() && *self.db.idl().state() == State::Synced;
        idle || (self.config.root.is_some() && !self.announce && self.writing.is_none())
    }

    fn write_status(&mut self) {
        if let Some(id) = self.writing {
            match self.db.take_outcome(id) {
                None => return,
                Some(ovsdb_idl::Outcome::Error(text)) => {
                    log::warn!(target: "ovsdb_idl", "transaction error: {text}");
                    self.announce = false;
                }
                Some(ovsdb_idl::Outcome::Committed { .. } | ovsdb_idl::Outcome::Unchanged) => {
                    self.announce = false
                }
                Some(_) => {}
            }
            self.writing = None;
        }
        let now = self.clock.now_ms();
        let adding = self.adding_bridge().map(|bridge| bridge.uuid).filter(|_| self.arrivals.any());
        let wanted = self.announce || self.status_is_new || now >= self.statistics_due || adding.is_some();
        let Some(root) = self.config.root.filter(|_| wanted) else { return };
        self.status_is_new = false;
        let statistics = if now >= self.statistics_due { Statistics::Read } else { Statistics::Leave };
        if statistics == Statistics::Read {
            let interval = self.config.other_config.get("stats-update-interval").and_then(|t| t.parse().ok());
            self.statistics_due = now + interval.unwrap_or(STATISTICS_MS).max(STATISTICS_MS);
        }
        let engine = self.engine.borrow();
        let mut status = observe(&engine, &self.config, self.db.idl().replica(), statistics);
        for (name, listeners) in &self.listeners {
            observe_controllers(&engine, self.config.bridges.get(name), listeners, now, &mut status);
        }
        status.cur_cfg = Some(self.config.next_cfg);
        status.versions.insert("ovs_version", version::COMPAT_VERSION.to_owned());
        status.types.insert("datapath_types", engine.datapath_types());
        status.types.insert("iface_types", engine.interface_types());
        drop(engine);
        let mut txn = Txn::new(self.db.idl().replica());
        status.write(root, &mut txn);
        if let Some(bridge) = adding {
            self.arrivals.write(bridge, &mut txn);
        }
        self.writing = Some(self.db.start(txn));
        // What changed nothing is answered at once.
        if let Some(id) = self.writing
            && let Some(ovsdb_idl::Outcome::Unchanged) = self.db.take_outcome(id)
        {
            (self.writing, self.announce) = (None, false);
        }
    }
}
