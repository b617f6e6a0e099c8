//! The `dpctl/…` commands: looking into datapaths, and changing them by hand.
//!
//! Where it sits: registered with run-time control; speaks to datapaths through `dpif` alone.
//!
//! Most commands take a datapath's name first, which may be left out while there is one datapath only. Texts are
//! those of ovs-dpctl(8) and of Open vSwitch's answers.

mod connections;
mod dump;
mod flows;
mod fragments;
mod limits;
mod made;
mod ports;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conntrack::Setting;
use daemon::unixctl::{Call, Commands};
use datapath::{DropCounts, Stats};
use dpif::text::{Counters, show};
use dpif::{Dpif, Tracking, TrackingError};
use packet::{DropReason, Instant, Now};
use switch::Waker;

/// Makes a datapath of a name, `TYPE@NAME`; or says why it does not.
pub type Maker = Arc<dyn Fn(&str) -> Result<Arc<dyn Dpif>, String> + Send + Sync>;

/// The datapaths of the daemon, by name as `dpctl/dump-dps` prints it.
#[derive(Clone, Default)]
pub struct Datapaths(Arc<Mutex<All>>);

#[derive(Default)]
struct All {
    by_name: BTreeMap<String, Arc<dyn Dpif>>,
    /// Those of which the database limits the zones.
    limited: BTreeSet<String>,
    /// Those that commands have made: no bridge is in them.
    made: BTreeSet<String>,
    /// Makes more.
    maker: Option<Maker>,
    /// Somebody changed ports by hand, and the engine has not looked since.
    ports_changed: bool,
    /// Has the engine look.
    waker: Option<Waker>,
}

/// Who limits the connections of zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitedBy {
    /// `dpctl/ct-set-limits`.
    Commands,
    /// The database.
    Database,
}

/// The monotonic time in milliseconds.
pub type Millis = Rc<dyn Fn() -> u64>;

const INVALID: &str = "Invalid argument";

/// Types of datapaths, as in `TYPE@NAME`.
const TYPES: [&str; 3] = ["dummy", "netdev", "system"];

/// A name with its type.
fn full_name(name: &str) -> String {
    if name.contains('@') { name.to_owned() } else { format!("system@{name}") }
}

fn now(now_ms: &Millis) -> Now {
    Now { mono: Instant::from_millis(now_ms()), wall_ms: 0 }
}

/// An error: what was being done, and why it failed.
fn failed(what: &str, why: &str) -> String {
    format!("ovs-vswitchd: {what} ({why})\n")
}

impl Datapaths {
    /// None yet; `waker` has [`Datapaths::ports_changed`] asked soon.
    pub fn with_waker(waker: Waker) -> Datapaths {
        Datapaths(Arc::new(Mutex::new(All { waker: Some(waker), ..All::default() })))
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What all datapaths of this process have counted.
    fn total(&self, of: impl Fn(&Stats) -> u64) -> u64 {
        let own =
            self.all().by_name.values().filter(|d| d.conntrack().is_some()).cloned().collect::<Vec<_>>();
        own.iter().map(|d| of(&d.stats())).sum()
    }

    /// Shows their counters of dropped packets, and of megaflows that made way, by `coverage/show`.
    fn cover(&self) {
        let source = |name: &str, of: Box<dyn Fn(&Stats) -> u64 + Send>| {
            let all = Arc::downgrade(&self.0);
            daemon::coverage::add_source(name, move || {
                all.upgrade().map_or(0, |all| Datapaths(all).total(&*of))
            });
        };
        for reason in DropReason::ALL {
            source(reason.name(), Box::new(|stats| stats.drops.get(*reason)));
        }
        source("datapath_flow_evicted", Box::new(|stats| stats.evicted));
    }

    /// Has commands make datapaths by `maker`.
    pub fn set_maker(&self, maker: Maker) {
        self.all().maker = Some(maker);
    }

    /// Makes a datapath that no bridge is in.
    fn make(&self, name: &str) -> Result<Arc<dyn Dpif>, String> {
        match self.open(name) {
            Ok(_) => return Err("File exists".to_owned()),
            Err("No such device") => {}
            Err(why) => return Err(why.to_owned()),
        }
        let full = full_name(name);
        let same =
            |known: &String| known.split_once('@').map(|(_, n)| n) == full.split_once('@').map(|(_, n)| n);
        if self.names().iter().any(same) {
            return Err(INVALID.to_owned());
        }
        // The process behind the device has one.
        let is_elsewhere = |(known, dpif): (&String, &Arc<dyn Dpif>)| {
            known.starts_with("system@") && dpif.conntrack().is_none()
        };
        if full.starts_with("system@") && self.all().by_name.iter().any(is_elsewhere) {
            return Err("Operation not supported".to_owned());
        }
        let maker = self.all().maker.clone().ok_or("Operation not supported")?;
        let made = maker(&full)?;
        let mut all = self.all();
        all.made.insert(full.clone());
        all.by_name.insert(full, made.clone());
        Ok(made)
    }

    /// Adds a datapath under its own name.
    pub fn add(&self, dpif: Arc<dyn Dpif>) {
        self.all().by_name.insert(dpif.name().to_owned(), dpif);
    }

    /// Takes a datapath out.
    pub fn remove(&self, name: &str) {
        self.all().by_name.remove(name);
    }

    /// Says whether the database limits the connections of a datapath's zones.
    pub fn set_limited(&self, name: &str, by: LimitedBy) {
        let limited = &mut self.all().limited;
        match by {
            LimitedBy::Database => drop(limited.insert(name.to_owned())),
            LimitedBy::Commands => drop(limited.remove(name)),
        }
    }

    fn note_ports_changed(&self) {
        let mut all = self.all();
        all.ports_changed = true;
        all.waker.iter().for_each(|wake| wake());
    }

    /// True if ports were changed by hand since the last call.
    pub fn ports_changed(&self) -> bool {
        std::mem::take(&mut self.all().ports_changed)
    }

    fn limits_are_the_databases(&self, name: &str) -> bool {
        self.all().limited.contains(name)
    }

    fn names(&self) -> Vec<String> {
        self.all().by_name.keys().cloned().collect()
    }

    /// The datapath that users call `name`; without a type it is of type `system`.
    fn named(&self, name: &str) -> Option<Arc<dyn Dpif>> {
        self.all().by_name.get(&full_name(name)).cloned()
    }

    /// The same, or why there is none.
    fn open(&self, name: &str) -> Result<Arc<dyn Dpif>, &'static str> {
        let why = || match name.split_once('@') {
            Some((kind, _)) if !TYPES.contains(&kind) => "Address family not supported by protocol",
            // One of another type has the name.
            None if self.names().iter().any(|full| full.split_once('@').is_some_and(|(_, n)| n == name)) => {
                INVALID
            }
            _ => "No such device",
        };
        self.named(name).ok_or_else(why)
    }

    /// The datapath that the first of `args` names, or the only one; and the other arguments.
    fn choose<'a>(&self, args: &'a [String]) -> Result<(Arc<dyn Dpif>, &'a [String]), String> {
        if let Some((first, rest)) = args.split_first()
            && let Some(dpif) = self.named(first)
        {
            return Ok((dpif, rest));
        }
        let all = &self.all().by_name;
        let mut each = all.values();
        match (each.next(), each.next()) {
            (Some(only), None) => Ok((only.clone(), args)),
            (Some(_), Some(_)) => Err(format!(
                "ovs-vswitchd: multiple datapaths, specify one\n{}",
                failed("datapath not found", INVALID)
            )),
            (None, _) => Err(failed("datapath not found", INVALID)),
        }
    }

    /// The datapath of a command that takes nothing else.
    fn only(&self, args: &[String]) -> Result<Arc<dyn Dpif>, String> {
        match self.choose(args)? {
            (dpif, []) => Ok(dpif),
            _ => Err(failed("datapath not found", INVALID)),
        }
    }
}

/// Registers all commands.
pub fn register(commands: &Commands, datapaths: &Datapaths, now_ms: &Millis) {
    let add = |name: &str,
               usage: &str,
               max: usize,
               run: fn(&Datapaths, &Millis, &[String]) -> Result<String, String>| {
        let (datapaths, now_ms) = (datapaths.clone(), now_ms.clone());
        commands.register(name, usage, 0..=max, move |call: Call| {
            match run(&datapaths, &now_ms, &call.args) {
                Ok(text) => call.reply(text),
                Err(text) => call.error(text),
            }
        });
    };
    datapaths.cover();
    add("dpctl/dump-dps", "", 0, |dps, _, _| Ok(dps.names().iter().map(|n| format!("{n}\n")).collect()));
    made::register(commands, datapaths);
    add("dpctl/show", "[-s] [dp...]", usize::MAX, show_datapaths);
    add("dpctl/dump-flows", "[-m] [--names] [dp] [filter=..] [type=..] [pmd=..]", 6, dump::flows);
    add("dpctl/get-flow", "[dp] ufid", 4, dump::one);
    add("dpctl/add-flow", "[dp] flow actions", 4, flows::add);
    add("dpctl/mod-flow", "[dp] flow actions", 6, flows::modify);
    add("dpctl/del-flow", "[dp] flow", 3, flows::del);
    add("dpctl/add-flows", "[dp] file", 2, flows::add_file);
    add("dpctl/mod-flows", "[dp] file", 2, flows::modify_file);
    add("dpctl/del-flows", "[dp] [file]", 2, flows::del_all);
    add("dpctl/parse-actions", "actions", usize::MAX, flows::parse);
    add("dpctl/show-drops", "[dp]", 1, show_drops);
    add("dpctl/dump-conntrack", "[-m] [-s] [dp] [zone=N]", 4, connections::dump);
    add("dpctl/dump-conntrack-exp", "[dp] [zone=N]", 2, connections::dump_expected);
    add("dpctl/ct-stats-show", "[dp] [zone=N]", 3, connections::stats);
    add("dpctl/flush-conntrack", "[dp] [zone=N] [ct-orig-tuple] [ct-reply-tuple]", 4, connections::flush);
    register_conntrack(commands, datapaths);
    fragments::register(commands, datapaths, now_ms);
    limits::register(commands, datapaths);
    ports::register(commands, datapaths);
}

fn show_datapaths(dps: &Datapaths, _: &Millis, args: &[String]) -> Result<String, String> {
    let (options, names): (Vec<&String>, Vec<&String>) = args.iter().partition(|a| a.starts_with('-'));
    let counters = match options.as_slice() {
        [] => Counters::Without,
        [only] if matches!(only.as_str(), "-s" | "--statistics") => Counters::With,
        _ => return Err(failed("unrecognized option", INVALID)),
    };
    let names = if names.is_empty() { dps.names() } else { names.into_iter().cloned().collect() };
    let mut out = String::new();
    for name in names {
        let dpif = dps.open(&name).map_err(|why| failed(&format!("opening datapath {name} failed"), why))?;
        out.push_str(&show(&*dpif, counters));
    }
    Ok(out)
}

/// Every reason that has dropped packets, altogether and of each port; ours, not Open vSwitch's.
fn show_drops(dps: &Datapaths, _: &Millis, args: &[String]) -> Result<String, String> {
    let dpif = dps.only(args)?;
    let lines = |counts: &DropCounts, indent: &str| -> String {
        let counted = counts.iter().filter(|(_, n)| *n != 0);
        counted.map(|(reason, n)| format!("{indent}{:<44} {n}\n", reason.name())).collect()
    };
    let mut out = lines(&dpif.drops(), "");
    for port in dpif.ports() {
        let of_port = lines(&dpif.port_drops(port.number), "  ");
        if !of_port.is_empty() {
            out += &format!("port {}: {}\n{of_port}", port.number, port.name);
        }
    }
    Ok(out)
}

/// How connections are tracked there.
fn tracking(dpif: &dyn Dpif) -> Result<&dyn Tracking, String> {
    dpif.tracking().ok_or_else(|| unreachable(TrackingError::NotSupported))
}

fn unreachable(why: TrackingError) -> String {
    failed("connection table", &why.to_string())
}

/// A setting of the datapath that `args` name.
fn setting(dps: &Datapaths, args: &[String], setting: Setting) -> Result<u32, String> {
    tracking(&*dps.only(args)?)?.setting(setting).map_err(unreachable)
}

/// Sets it.
fn set(dps: &Datapaths, args: &[String], setting: Setting, value: u32) -> Result<(), String> {
    tracking(&*dps.only(args)?)?.set(setting, value).map_err(unreachable)
}

fn register_conntrack(commands: &Commands, datapaths: &Datapaths) {
    let add =
        |name: &str, usage: &str, max: usize, run: fn(&Datapaths, &[String]) -> Result<String, String>| {
            let datapaths = datapaths.clone();
            commands.register(name, usage, 0..=max, move |call: Call| match run(&datapaths, &call.args) {
                Ok(text) => call.reply(text),
                Err(text) => call.error(text),
            });
        };
    add("dpctl/ct-get-nconns", "[dp]", 1, |dps, args| {
        let dpif = dps.only(args)?;
        let mut count = 0u32;
        match dpif.conntrack() {
            Some(table) => count = table.count(),
            None => dpif.for_each_connection(Now::default(), None, &mut |_| count += 1),
        }
        Ok(format!("{count}\n"))
    });
    add("dpctl/ct-get-maxconns", "[dp]", 1, |dps, args| {
        Ok(format!("{}\n", setting(dps, args, Setting::MaxConns)?))
    });
    add("dpctl/ct-set-maxconns", "[dp] maxconns", 2, |dps, args| {
        let (max, name) = args.split_last().ok_or_else(|| failed("maxconns missing", INVALID))?;
        let dpif = dps.only(name)?;
        let max = max.parse().map_err(|_| failed("maxconns missing or malformed", INVALID))?;
        tracking(&*dpif)?.set(Setting::MaxConns, max).map_err(unreachable)?;
        Ok("setting maxconns successful\n".to_owned())
    });
    add("dpctl/ct-get-sweep-interval", "[dp]", 1, |dps, args| {
        Ok(format!("{}\n", setting(dps, args, Setting::SweepMs)?))
    });
    add("dpctl/ct-set-sweep-interval", "[dp] interval", 2, |dps, args| {
        let (interval, name) = args.split_last().ok_or_else(|| failed("sweep interval missing", INVALID))?;
        let dpif = dps.only(name)?;
        let interval =
            interval.parse().map_err(|_| failed("sweep interval missing or malformed", INVALID))?;
        let done = tracking(&*dpif)?.set(Setting::SweepMs, interval);
        done.map_err(|why| match why {
            TrackingError::Refused => failed("failed to set sweep interval", INVALID),
            why => unreachable(why),
        })?;
        Ok("setting sweep interval successful\n".to_owned())
    });
    add("dpctl/ct-get-tcp-seq-chk", "[dp]", 1, |dps, args| {
        let on = setting(dps, args, Setting::TcpSeqCheck)? != 0;
        Ok(format!("TCP sequence checking: {}\n", if on { "enabled" } else { "disabled" }))
    });
    add("dpctl/ct-enable-tcp-seq-chk", "[dp]", 1, |dps, args| {
        set(dps, args, Setting::TcpSeqCheck, 1)?;
        Ok("enabling TCP sequence checking successful\n".to_owned())
    });
    add("dpctl/ct-disable-tcp-seq-chk", "[dp]", 1, |dps, args| {
        set(dps, args, Setting::TcpSeqCheck, 0)?;
        Ok("disabling TCP sequence checking successful\n".to_owned())
    });
}

#[cfg(test)]
mod tests;
