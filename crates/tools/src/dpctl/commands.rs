//! The commands of ovs-dpctl: how many arguments each takes, and whether it changes anything.
//!
//! Where it sits: checked before the daemon is asked, so that mistakes are told as by C's program.

use crate::ctl::command::MANY;

pub(super) use crate::ctl::command::Access;

/// A command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Command {
    name: &'static str,
    min: usize,
    max: usize,
    usage: &'static str,
    pub(super) access: Access,
}

macro_rules! commands {
    ($($name:literal $min:literal..$max:expr, $usage:literal, $access:ident;)+) => {
        const COMMANDS: &[Command] = &[$(Command {
            name: $name, min: $min, max: $max, usage: $usage, access: Access::$access,
        }),+];
    };
}

commands! {
    "add-dp" 1..MANY, "DP [IFACE...]", ReadWrite;
    "del-dp" 1..1, "DP", ReadWrite;
    "add-if" 2..MANY, "DP IFACE...", ReadWrite;
    "set-if" 2..MANY, "DP IFACE...", ReadWrite;
    "del-if" 2..MANY, "DP IFACE...", ReadWrite;
    "dump-dps" 0..0, "", ReadOnly;
    "show" 0..MANY, "[DP...]", ReadOnly;
    "dump-flows" 0..6, "[DP] [filter=FILTER] [type=TYPE]", ReadOnly;
    "add-flow" 2..3, "[DP] FLOW ACTIONS", ReadWrite;
    "mod-flow" 2..3, "[DP] FLOW ACTIONS", ReadWrite;
    "get-flow" 1..2, "[DP] ufid:UFID", ReadOnly;
    "del-flow" 1..2, "[DP] FLOW", ReadWrite;
    "add-flows" 1..2, "[DP] FILE", ReadWrite;
    "mod-flows" 1..2, "[DP] FILE", ReadWrite;
    "del-flows" 0..2, "[DP] [FILE]", ReadWrite;
    "cache-get-size" 0..1, "[DP]", ReadOnly;
    "cache-set-size" 3..3, "DP CACHE SIZE", ReadWrite;
    "offload-stats-show" 0..1, "[DP]", ReadOnly;
    "dump-conntrack" 0..4, "[DP] [zone=ZONE]", ReadOnly;
    "flush-conntrack" 0..4, "[DP] [zone=ZONE] [ORIG-TUPLE [REPLY-TUPLE]]", ReadWrite;
    "ct-stats-show" 0..3, "[DP] [zone=ZONE] [verbose]", ReadOnly;
    "ct-bkts" 0..2, "[DP] [gt=N]", ReadOnly;
    "ct-set-maxconns" 1..2, "[DP] MAXCONNS", ReadWrite;
    "ct-get-maxconns" 0..1, "[DP]", ReadOnly;
    "ct-get-nconns" 0..1, "[DP]", ReadOnly;
    "ct-enable-tcp-seq-chk" 0..1, "[DP]", ReadWrite;
    "ct-disable-tcp-seq-chk" 0..1, "[DP]", ReadWrite;
    "ct-get-tcp-seq-chk" 0..1, "[DP]", ReadOnly;
    "ct-set-sweep-interval" 1..2, "[DP] MSECS", ReadWrite;
    "ct-get-sweep-interval" 0..1, "[DP]", ReadOnly;
    "ct-set-limits" 1..MANY, "[DP] [default=LIMIT] [zone=ZONE,limit=LIMIT]...", ReadWrite;
    "ct-del-limits" 1..2, "[DP] zone=ZONE[,ZONE]...", ReadWrite;
    "ct-get-limits" 0..2, "[DP] [zone=ZONE[,ZONE]...]", ReadOnly;
    "ipf-set-enabled" 1..2, "[DP] v4|v6", ReadWrite;
    "ipf-set-disabled" 1..2, "[DP] v4|v6", ReadWrite;
    "ipf-set-min-frag" 2..3, "[DP] v4|v6 MINFRAG", ReadWrite;
    "ipf-set-max-nfrags" 1..2, "[DP] MAXFRAGS", ReadWrite;
    "ipf-get-status" 0..1, "[DP]", ReadOnly;
}

/// The command called `name`, if it takes so many arguments.
pub(super) fn find(name: &str, arguments: usize) -> Result<&'static Command, String> {
    let unknown = || format!("unknown command '{name}'; use --help for help");
    let command = COMMANDS.iter().find(|c| c.name == name).ok_or_else(unknown)?;
    if arguments < command.min {
        return Err(format!("'{name}' command requires at least {} arguments", command.min));
    }
    if arguments > command.max {
        return Err(format!("'{name}' command takes at most {} arguments", command.max));
    }
    Ok(command)
}

pub(super) fn usage(program: &str) -> String {
    let line = |c: &Command| format!("  {} {}\n", c.name, c.usage);
    let commands: String = COMMANDS.iter().map(line).collect();
    format!(
        "{program}: Open vSwitch datapath management utility
usage: {program} [OPTIONS] COMMAND [ARG...]
{commands}
The datapaths are those of the ovs-vswitchd that runs.  DP is optional if there
is only one datapath.

Options:
  -s, --statistics            print statistics for port or flow
  -m, --more                  increase verbosity of output
  --names                     use port names in output
  --may-create                create flow if it doesn't exist
  --read-only                 do not run read/write commands
  --clear                     reset existing stats to zero
  -t, --timeout=SECS          give up after SECS seconds
  -h, --help                  display this help message
  -V, --version               display version information
"
    )
}
