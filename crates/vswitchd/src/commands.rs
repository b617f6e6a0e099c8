//! Run-time control of the switch: `ofproto/trace`, `fdb/show`, `dpif/show`, `netdev-dummy/receive`, ….
//!
//! Where it sits: registered once; each command borrows the engine for the time of its answer. The texts are the
//! switch's.

use std::rc::Rc;

use daemon::unixctl::{Call, Commands};
use wire::EthAddr;

use crate::dpctl::{self, Millis};
use crate::engine::{Plane, Shared};
use crate::pmd_commands;

type Reply = Result<String, String>;

/// Registers everything.
pub(crate) fn register(commands: &Commands, engine: &Shared, with_dummies: bool) {
    let now_ms: Millis = {
        let engine = engine.clone();
        Rc::new(move || engine.borrow().now().mono.as_millis())
    };
    let datapaths = engine.borrow().datapaths().clone();
    crate::underlay::register(commands, engine);
    dpctl::register(commands, &datapaths, &now_ms);
    register_switch(commands, engine);
    register_fdb(commands, engine);
    pmd_commands::register(commands, engine);
    if with_dummies {
        register_dummies(commands, engine);
    }
}

pub(crate) fn add(
    commands: &Commands,
    engine: &Shared,
    (name, usage, min, max): (&str, &str, usize, usize),
    run: impl Fn(&Shared, &[&str]) -> Reply + 'static,
) {
    let engine = engine.clone();
    commands.register(name, usage, min..=max, move |call: Call| {
        let args: Vec<&str> = call.args.iter().map(String::as_str).collect();
        let answer = run(&engine, &args);
        match answer {
            Ok(text) => call.reply(text),
            Err(text) => call.error(text),
        }
    });
}

/// The datapath of a bridge.
fn plane(engine: &Shared, bridge: &str) -> Result<Rc<Plane>, String> {
    engine.borrow().plane_of(bridge).cloned().ok_or_else(|| "no such bridge".to_owned())
}

/// The texts of every datapath's switch, one after the other.
fn each(engine: &Shared, text: impl Fn(&Plane) -> String) -> Reply {
    Ok(engine.borrow().planes().map(|p| text(p)).collect())
}

fn register_switch(commands: &Commands, engine: &Shared) {
    let many = usize::MAX;
    add(commands, engine, ("ofproto/list", "", 0, 0), |e, _| each(e, |p| p.switch.ofproto_list()));
    add(commands, engine, ("dpif/show", "", 0, 0), |e, _| each(e, |p| p.switch.dpif_show()));
    add(commands, engine, ("upcall/show", "", 0, 0), |e, _| each(e, |p| p.switch.upcall_show()));
    let usage = "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]";
    add(commands, engine, ("ofproto/trace", usage, 1, many), |e, args| {
        let bridge = args.iter().find(|a| !a.starts_with('-')).copied().unwrap_or_default();
        let plane = plane(e, bridge).map_err(|_| format!("{bridge}: unknown bridge"))?;
        plane.switch.trace(args)
    });
    add(commands, engine, ("dpif/dump-flows", "bridge", 1, 1), |e, args| {
        plane(e, args[0])?.switch.dpif_dump_flows(args[0], e.borrow().now())
    });
    add(commands, engine, ("bridge/dump-flows", "bridge", 1, 1), |e, args| {
        plane(e, args[0])?.switch.bridge_dump_flows(args[0], e.borrow().now())
    });
    add(commands, engine, ("revalidator/wait", "", 0, 0), |e, _| {
        let now = e.borrow().now();
        each(e, |p| {
            p.switch.run(now);
            String::new()
        })
    });
    add(commands, engine, ("revalidator/purge", "", 0, 0), |e, _| {
        let now = e.borrow().now();
        each(e, |p| {
            p.switch.revalidate(now.mono);
            p.switch.purge();
            String::new()
        })
    });
    for (name, paused) in [("revalidator/pause", true), ("revalidator/resume", false)] {
        add(commands, engine, (name, "", 0, 0), move |e, _| {
            each(e, |p| {
                p.switch.set_paused(paused);
                String::new()
            })
        });
    }
}

fn register_fdb(commands: &Commands, engine: &Shared) {
    add(commands, engine, ("fdb/show", "bridge", 1, 1), |e, args| {
        plane(e, args[0])?.switch.fdb_show(args[0], e.borrow().now())
    });
    add(commands, engine, ("fdb/stats-show", "bridge", 1, 1), |e, args| {
        plane(e, args[0])?.switch.fdb_stats_show(args[0])
    });
    add(commands, engine, ("fdb/stats-clear", "[bridge]", 0, 1), |e, args| match args.first() {
        Some(bridge) => plane(e, bridge)?.switch.fdb_stats_clear(Some(bridge)),
        None => e.borrow().planes().map(|p| p.switch.fdb_stats_clear(None)).collect(),
    });
    add(commands, engine, ("fdb/flush", "[bridge]", 0, 1), |e, args| match args.first() {
        Some(bridge) => plane(e, bridge)?.switch.fdb_flush(Some(bridge)),
        None => e.borrow().planes().map(|p| p.switch.fdb_flush(None)).collect(),
    });
    let vlan_and_mac = |vlan: &str, mac: &str| -> Result<(u16, EthAddr), String> {
        let vlan = vlan.parse().map_err(|_| "Invalid vlan".to_owned())?;
        Ok((vlan, mac.parse().map_err(|_| "Invalid mac".to_owned())?))
    };
    add(commands, engine, ("fdb/add", "bridge port vlan mac", 4, 4), move |e, args| {
        let (vlan, mac) = vlan_and_mac(args[2], args[3])?;
        plane(e, args[0])?.switch.fdb_add(args[0], args[1], vlan, mac)
    });
    add(commands, engine, ("fdb/del", "bridge vlan mac", 3, 3), move |e, args| {
        let (vlan, mac) = vlan_and_mac(args[1], args[2])?;
        plane(e, args[0])?.switch.fdb_del(args[0], vlan, mac)
    });
}

/// A packet that has the key that a flow's text gives, of the length that is asked for.
fn composed(text: &str, len: Option<usize>) -> Result<Vec<u8>, String> {
    let no_memory = || "Cannot allocate memory".to_owned();
    let key = odp::text::parse_key(text, &|_| None).map_err(|e| e.to_string())?;
    let Some(len) = len else {
        return flow::compose(&key, flow::usual_payload(&key)).ok_or_else(no_memory);
    };
    let bare = flow::compose(&key, &[]).ok_or_else(no_memory)?;
    flow::compose(&key, &vec![0; len.saturating_sub(bare.len())]).ok_or_else(no_memory)
}

/// Routes to a dummy's new address and its network.
fn address_added(engine: &Shared, args: &[&str]) -> String {
    if let Some((addr, prefix)) = crate::routes::network(args[1]) {
        for plane in engine.borrow().planes() {
            plane.switch.change_underlay(|u| {
                u.add_address(args[0], addr, prefix);
                true
            });
        }
    }
    "OK".to_owned()
}

fn register_dummies(commands: &Commands, engine: &Shared) {
    let usage = "name [--qid queue_id] packet|flow [--len packet_len]";
    add(commands, engine, ("netdev-dummy/receive", usage, 2, usize::MAX), |e, args| {
        let engine = e.borrow();
        engine.dummies().receive_command(args, composed)?;
        for plane in engine.planes() {
            plane.host.poll_ports();
            plane.switch.deliver_packet_ins();
        }
        Ok(String::new())
    });
    add(commands, engine, ("netdev-dummy/set-admin-state", "[netdev] up|down", 1, 2), |e, args| {
        let answer = e.borrow().dummies().set_admin_state(args);
        e.borrow().wake();
        answer
    });
    add(commands, engine, ("netdev-dummy/conn-state", "[netdev]", 0, 1), |e, args| {
        e.borrow().dummies().conn_state(args.first().copied())
    });
    add(commands, engine, ("netdev-dummy/ip4addr", "[netdev] ipaddr/mask-prefix-len", 2, 2), |e, args| {
        e.borrow().dummies().ip4addr(args[0], args[1])?;
        Ok(address_added(e, args))
    });
    add(commands, engine, ("netdev-dummy/ip6addr", "[netdev] ip6addr", 2, 2), |e, args| {
        e.borrow().dummies().ip6addr(args[0], args[1])?;
        Ok(address_added(e, args))
    });
}
