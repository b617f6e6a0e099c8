//! What lies under tunnels: the system's tables taken over, and commands: `tnl/neigh/…`, `tnl/ports/show`.
//!
//! Where it sits: registered beside the switch's other commands; the tables are the switch's. Next: `routes.rs`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use daemon::unixctl::Commands;
use datapath::Command;
use netdev_linux::RouteTables;
use packet::Now;
use switch::{Addresses, NewRoute, RouteRule, Switch, Underlay};
use wire::EthAddr;

use crate::commands::add;
use crate::engine::Shared;
use crate::routes;

/// Changes every switch's tables; true if any says so.
pub(crate) fn change(engine: &Shared, f: impl Fn(&mut Underlay) -> bool) -> bool {
    engine.borrow().planes().map(|p| p.switch.change_underlay(&f)).fold(false, |any, one| any | one)
}

/// What is to be said of the switch's tables; of empty ones if there is no switch.
pub(crate) fn show<T>(engine: &Shared, f: impl Fn(&Underlay) -> T) -> T {
    let engine = engine.borrow();
    let first = engine.planes().next();
    first.map_or_else(|| f(&Underlay::default()), |plane| plane.switch.underlay(&f))
}

/// Gives a switch the system's addresses, routes, rules and neighbours.
pub(crate) fn take_over(switch: &Switch, tables: &RouteTables, now: Now) {
    let mut addresses = Addresses::new();
    for a in &tables.addresses {
        if let Some(name) = tables.links.get(&a.link) {
            addresses.entry(name.clone()).or_default().push((a.address, a.prefix));
        }
    }
    let route = |r: &netdev_linux::Route| {
        let device = tables.links.get(&r.link)?.clone();
        let any: IpAddr = if r.is_ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let network = r.dst.unwrap_or(any);
        let (table, prefix, mark, gateway, source) = (r.table, r.prefix, r.mark, r.gateway, r.source);
        Some(NewRoute { table, network, prefix, mark, device, gateway, source })
    };
    let routes: Vec<NewRoute> = tables.routes.iter().filter_map(route).collect();
    let rule = |r: &netdev_linux::RouteRule| {
        let netdev_linux::RouteRule { priority, is_ipv6, invert, from, table } = *r;
        RouteRule { priority, is_ipv6, invert, from, table, user: false }
    };
    let rules: Vec<RouteRule> = tables.rules.iter().map(rule).collect();
    switch.change_underlay(|u| {
        let mut changed = u.set_system(addresses.clone(), routes.clone(), &rules);
        for n in &tables.neighbours {
            // What was heard on the bridge is newer than what the system remembers.
            if let Some(bridge) = tables.links.get(&n.link)
                && u.neighbour(bridge, n.address).is_none()
            {
                changed |= u.learn(bridge, n.address, n.mac, now.mono);
            }
        }
        changed
    });
}

/// Registers everything.
pub(crate) fn register(commands: &Commands, engine: &Shared) {
    routes::register(commands, engine);
    for family in ["neigh", "arp"] {
        register_neighbours(commands, engine, family);
    }
    add(commands, engine, ("tnl/ports/show", "-v", 0, 1), |e, _| {
        let texts: Vec<String> = e.borrow().planes().map(|p| p.switch.show_tunnel_ports()).collect();
        Ok(texts.into_iter().next().unwrap_or_else(|| "Listening ports:\n".to_owned()))
    });
    add(commands, engine, ("ofproto/list-tunnels", "", 0, 0), |e, _| {
        Ok(e.borrow().planes().map(|p| p.switch.list_tunnels()).collect())
    });
    add(commands, engine, ("tnl/egress_port_range", "min max", 0, 2), |e, args| match args {
        [low, high] => {
            let fits = low
                .parse()
                .ok()
                .zip(high.parse().ok())
                .filter(|(low, high): &(u16, u16)| low <= high && *low != 0);
            let Some((low, high)) = fits else { return Ok("OK".to_owned()) };
            change(e, |u| {
                u.set_ports(low, high);
                false
            });
            for plane in e.borrow().planes() {
                plane.dpif.apply(Command::SetTunnelPorts { low, high }).map_err(|e| e.to_string())?;
            }
            Ok("OK".to_owned())
        }
        _ => Ok(show(e, |u| format!("Tunnel UDP source port range: {}-{}\n", u.ports().0, u.ports().1))),
    });
}

fn register_neighbours(commands: &Commands, engine: &Shared, family: &str) {
    let name = |what: &str| format!("tnl/{family}/{what}");
    add(commands, engine, (&name("show"), "", 0, 0), |e, _| Ok(show(e, Underlay::show_neighbours)));
    add(commands, engine, (&name("set"), "BRIDGE IP MAC", 3, 3), |e, args| {
        let addr: IpAddr = args[1].parse().map_err(|_| "bad IP address".to_owned())?;
        let mac: EthAddr = args[2].parse().map_err(|_| "bad MAC address".to_owned())?;
        let now = e.borrow().now().mono;
        change(e, |u| u.learn(args[0], addr, mac, now));
        Ok("OK".to_owned())
    });
    add(commands, engine, (&name("flush"), "", 0, 0), |e, _| {
        change(e, |u| {
            u.flush_neighbours();
            true
        });
        Ok("OK".to_owned())
    });
    add(commands, engine, (&name("aging"), "[SECS]", 0, 1), |e, args| match args.first() {
        None => Ok(show(e, |u| u.aging().to_string())),
        Some(text) => {
            let seconds = text.parse().map_err(|_| "bad aging value".to_owned())?;
            let fits = Underlay::default().set_aging(seconds);
            change(e, |u| {
                u.set_aging(seconds);
                false
            });
            if fits { Ok("OK".to_owned()) } else { Err("bad aging value".to_owned()) }
        }
    });
}
