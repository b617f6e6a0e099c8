//! `dpctl/add-dp` and `del-dp`: datapaths that no bridge is in.
//!
//! Where it sits: beside the other `dpctl` commands. What the switch uses is not theirs: it stays when it is told to go.
//!
//! Spec: ovs-dpctl(8).

use daemon::unixctl::{Call, Commands};

use super::ports::{Failure, add_port, each_of};
use super::{Datapaths, failed};

/// Registers the commands.
pub(super) fn register(commands: &Commands, datapaths: &Datapaths) {
    let all = datapaths.clone();
    commands
        .register("dpctl/add-dp", "dp [iface...]", 1..=usize::MAX, move |call: Call| answer(call, &all, add));
    let all = datapaths.clone();
    commands.register("dpctl/del-dp", "dp", 1..=1, move |call: Call| answer(call, &all, del));
}

fn answer(call: Call, datapaths: &Datapaths, run: fn(&Datapaths, &[String]) -> Result<(), String>) {
    match run(datapaths, &call.args) {
        Ok(()) => call.reply(String::new()),
        Err(text) => call.error(text),
    }
}

/// Makes a datapath, and gives it its ports.
fn add(datapaths: &Datapaths, args: &[String]) -> Result<(), String> {
    let Some((name, ports)) = args.split_first() else { return Ok(()) };
    let dpif = datapaths.make(name).map_err(|why| failed("add_dp", &why))?;
    each_of(&*dpif, ports, |dpif, text| add_port(dpif, text).map_err(Failure::Fails)).map(drop)
}

/// Ends a datapath that was made here.
fn del(datapaths: &Datapaths, args: &[String]) -> Result<(), String> {
    let Some(name) = args.first() else { return Ok(()) };
    let dpif = datapaths.open(name).map_err(|why| failed("opening datapath", why))?;
    let mut all = datapaths.all();
    if all.made.remove(dpif.name()) {
        all.by_name.remove(dpif.name());
    }
    Ok(())
}
