//! The daemon's main loop.
//!
//! Where it sits: `src/main.rs` calls [`main`]. One thread runs everything here; datapaths have threads of their own.
//!
//! ~~~text
//! database changed ─► Config ─► engine ─► Status ─► one transaction ─► database
//! tick ─► engine.run (statistics, revalidation, timeouts) ─► OpenFlow connections woken
//! ~~~

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use daemon::{Clock, Daemon, Exit, Handle, program, version};
use netdev_linux::LinuxDevices;
use ovsdb_idl::{Idl, State, Txn, Wanted};
use stream::jsonrpc;
use stream::replicated::Replicated;
use tokio::sync::Notify;

use crate::commands;
use crate::config::Config;
use crate::engine::{Engine, Shared};
use crate::observe::{Statistics, observe};
use crate::openflow_io::{Context, Listeners, now};
use crate::options::{self, Options};

/// Milliseconds between looks at queues that nothing announces (packet-ins).
const TICK_MS: u64 = 100;
/// Milliseconds between writings of status, unless a configuration was just carried out.
const STATUS_MS: u64 = 500;
/// Default of `other_config:stats-update-interval`.
const STATISTICS_MS: u64 = 5000;

/// The whole program.
pub fn main() -> ExitCode {
    daemon::init();
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
    status_due: u64,
    statistics_due: u64,
    problems: Vec<String>,
}

async fn serve(handle: Handle, options: Options) -> ExitCode {
    let clock = handle.clock().clone();
    let exit = Exit::register_with_cleanup(handle.commands());
    let engine: Shared = Rc::new(RefCell::new(new_engine(&options, &clock)));
    commands::register(handle.commands(), &engine, options.daemon.dummy);
    let idl = Idl::new("Open_vSwitch", Wanted::Everything).with_lock("ovs_vswitchd");
    let db = Replicated::dial(vec![options.remote.clone()], idl, jsonrpc::Options::default(), &clock);
    log::info!(target: "vswitchd", "{}", version::banner(program::name()));
    let context = Context { clock: clock.clone(), wake: Rc::new(Notify::new()) };
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
        status_due: 0,
        statistics_due: 0,
        problems: Vec::new(),
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
            () = exit.requested() => break,
        }
    }
    vswitchd.listeners.clear();
    vswitchd.engine.borrow_mut().configure(&Config::default());
    exit.reply();
    ExitCode::SUCCESS
}

fn new_engine(options: &Options, clock: &Clock) -> Engine {
    sync::set_relax(std::thread::yield_now);
    let linux = LinuxDevices::new(Arc::new(|| {}))
        .inspect_err(|e| log::warn!(target: "netdev_linux", "links cannot be followed ({e})"))
        .ok();
    let of_core = clock.clone();
    let seed = ovsdb::Uuid::from_random(uuid::Uuid::new_v4().as_u128()).0;
    Engine::new(options.dummy, Arc::new(move || now(&of_core)), linux, seed as u64)
}

impl Vswitchd {
    /// Does everything that is due; returns when to be called again, in the clock's milliseconds.
    fn step(&mut self) -> u64 {
        let synced = *self.db.idl().state() == State::Synced && self.db.idl().has_lock();
        let relinked = self.engine.borrow_mut().links_changed();
        if synced && (self.db.idl().seqno() != self.seqno || relinked) {
            self.seqno = self.db.idl().seqno();
            self.reconfigure(relinked);
        }
        let due = self.engine.borrow_mut().run();
        for plane in self.engine.borrow().planes() {
            plane.host.poll_ports();
            if relinked {
                plane.host.links_changed();
            }
        }
        self.context.wake.notify_waiters();
        if synced {
            self.write_status();
        }
        let now = self.clock.now_ms();
        due.as_millis().clamp(now + 1, now + TICK_MS)
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
        self.engine.borrow_mut().configure(&config);
        self.set_listeners(&config);
        self.config = config;
        self.announce = true;
        self.status_due = 0;
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
            listeners.set_controllers(bridge, &self.context);
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
        let Some(root) = self.config.root.filter(|_| self.announce || now >= self.status_due) else { return };
        self.status_due = now + STATUS_MS;
        let statistics = if now >= self.statistics_due { Statistics::Read } else { Statistics::Leave };
        if statistics == Statistics::Read {
            let interval = self.config.other_config.get("stats-update-interval").and_then(|t| t.parse().ok());
            self.statistics_due = now + interval.unwrap_or(STATISTICS_MS).max(STATISTICS_MS);
        }
        let engine = self.engine.borrow();
        let mut status = observe(&engine, &self.config, self.db.idl().replica(), statistics);
        status.cur_cfg = Some(self.config.next_cfg);
        status.versions.insert("ovs_version", version::COMPAT_VERSION.to_owned());
        status.types.insert("datapath_types", engine.datapath_types());
        status.types.insert("iface_types", engine.interface_types());
        drop(engine);
        let mut txn = Txn::new(self.db.idl().replica());
        status.write(root, &mut txn);
        self.writing = Some(self.db.start(txn));
        // What changed nothing is answered at once.
        if let Some(id) = self.writing
            && let Some(ovsdb_idl::Outcome::Unchanged) = self.db.take_outcome(id)
        {
            (self.writing, self.announce) = (None, false);
        }
    }
}
