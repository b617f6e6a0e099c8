//! The `dpif-netdev/…` commands about threads and their queues: what they are called, what they take, and what they do.
//!
//! Where it sits: registered with run-time control by each daemon that has such a datapath; the texts are made in `show`.
//!
//! Spec: ovs-vswitchd(8), DPIF-NETDEV COMMANDS; the answers of Open vSwitch to every kind of mistake.

use dpif::Dpif;

use crate::DpifNetdev;
use crate::show::Details;

/// A command about threads.
pub struct ThreadCommand {
    /// Its name.
    pub name: &'static str,
    /// What `list-commands` shows behind that.
    pub usage: &'static str,
    /// Arguments at most.
    pub max: usize,
    run: Run,
}

/// What a command is about.
#[derive(Clone, Copy)]
enum Run {
    /// One datapath.
    One(Unknown, fn(&DpifNetdev, &Asked) -> String),
    /// All that there are; it looks at the arguments itself.
    All(fn(&[&DpifNetdev], &[&str]) -> Result<String, String>),
}

/// What a name that no datapath has stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknown {
    /// The only datapath.
    TheOnly,
    /// A mistake.
    Nothing,
}

/// What a command was given beside the datapath's name.
#[derive(Default)]
struct Asked {
    core: Option<u32>,
    seconds: Option<u64>,
    details: Details,
}

const fn about(
    name: &'static str,
    (usage, max): (&'static str, usize),
    run: fn(&DpifNetdev, &Asked) -> String,
) -> ThreadCommand {
    ThreadCommand { name, usage, max, run: Run::One(Unknown::TheOnly, run) }
}

/// The commands.
pub const COMMANDS: [ThreadCommand; 8] = [
    about("dpif-netdev/pmd-stats-show", ("[-pmd core] [dp]", 3), |dp, asked| dp.pmd_stats_text(asked.core)),
    about("dpif-netdev/pmd-stats-clear", ("[-pmd core] [dp]", 3), |dp, asked| {
        dp.pmd_stats_clear(asked.core);
        String::new()
    }),
    about(
        "dpif-netdev/pmd-perf-show",
        ("[-nh] [-it iter-history-len] [-ms ms-history-len] [-pmd core] [dp]", 8),
        |dp, asked| dp.pmd_perf_text(asked.core, &asked.details),
    ),
    about("dpif-netdev/pmd-rxq-show", ("[-pmd core] [-secs secs] [dp]", 5), |dp, asked| {
        dp.pmd_rxq_text(asked.core, asked.seconds.unwrap_or(u64::MAX))
    }),
    about("dpif-netdev/pmd-sleep-show", ("[dp]", 1), |dp, _| dp.pmd_sleep_text()),
    ThreadCommand {
        name: "dpif-netdev/pmd-perf-log-set",
        usage: "on|off [-b before] [-a after] [-e|-ne] [-us usec] [-q qlen]",
        max: 10,
        run: Run::All(set_log),
    },
    ThreadCommand {
        name: "dpif-netdev/pmd-rxq-rebalance",
        usage: "[dp]",
        max: 1,
        run: Run::One(Unknown::Nothing, |dp, _| {
            dp.rebalance();
            "pmd rxq rebalance requested.\n".to_owned()
        }),
    },
    // Bonds are balanced by flows, none by the datapath itself.
    ThreadCommand {
        name: "dpif-netdev/bond-show",
        usage: "[dp]",
        max: 1,
        run: Run::One(Unknown::Nothing, |_, _| String::new()),
    },
];

impl ThreadCommand {
    /// Carries the command out on one of a daemon's datapaths: its answer, or what is wrong with the arguments.
    pub fn answer(&self, datapaths: &[&DpifNetdev], args: &[&str]) -> Result<String, String> {
        let (unknown, run) = match self.run {
            Run::One(unknown, run) => (unknown, run),
            Run::All(run) => return run(datapaths, args),
        };
        let (asked, name) =
            if self.max == 1 { (Asked::default(), args.first().copied()) } else { parse(args) };
        let is_named = |dp: &&&DpifNetdev| {
            name.is_some_and(|name| Dpif::name(**dp).split_once('@').is_some_and(|(_, short)| short == name))
        };
        let chosen = match (datapaths.iter().find(is_named), datapaths) {
            (Some(dp), _) => Some(dp),
            (None, [only]) if name.is_none() || unknown == Unknown::TheOnly => Some(only),
            _ => None,
        };
        let dp = chosen.ok_or_else(|| "please specify an existing datapath".to_owned())?;
        Ok(run(dp, &asked))
    }
}

/// Sets which iterations of threads are suspicious, and are told in the log.
fn set_log(datapaths: &[&DpifNetdev], args: &[&str]) -> Result<String, String> {
    if datapaths.iter().all(|dp| dp.pmd_perf_log_set(args)) {
        return Ok(String::new());
    }
    Err("Usage: ovs-appctl dpif-netdev/pmd-perf-log-set [on|off] [-b before] [-a after] [-e|-ne] [-us usec] [-q qlen]\n".to_owned())
}

/// Options as Open vSwitch takes them: an option without its value is taken for the datapath's name, and a value that is
/// no number for none.
fn parse<'a>(mut args: &'a [&'a str]) -> (Asked, Option<&'a str>) {
    let (mut asked, mut name) = (Asked::default(), None);
    while let [first, rest @ ..] = args {
        args = rest;
        match (*first, rest) {
            ("-pmd", [core, rest @ ..]) => (asked.core, args) = (core.parse().ok(), rest),
            ("-secs", [n, rest @ ..]) => (asked.seconds, args) = (n.parse().ok(), rest),
            ("-it", [n, rest @ ..]) => (asked.details.iterations, args) = (n.parse().unwrap_or(0), rest),
            ("-ms", [n, rest @ ..]) => (asked.details.millis, args) = (n.parse().unwrap_or(0), rest),
            ("-nh", _) => asked.details.no_histograms = true,
            (other, _) => name = name.or(Some(other)),
        }
    }
    (asked, name)
}
