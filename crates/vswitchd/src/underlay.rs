//! Commands about what lies under tunnels: `ovs/route/…`, `tnl/neigh/…`, `tnl/ports/show`.
//!
//! Where it sits: registered beside the switch's other commands; the tables are the switch's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use daemon::unixctl::Commands;
use datapath::Command;
use netdev_linux::RouteTables;
use packet::Now;
use switch::{Addresses, NewRoute, Switch, Underlay};
use wire::EthAddr;

use crate::commands::add;
use crate::engine::Shared;

/// The routing table of this machine's own addresses.
const LOCAL_TABLE: u32 = 255;

type Reply = Result<String, String>;

/// Changes every switch's tables; true if any says so.
fn change(engine: &Shared, f: impl Fn(&mut Underlay) -> bool) -> bool {
    engine.borrow().planes().map(|p| p.switch.change_underlay(&f)).fold(false, |any, one| any | one)
}

/// The text of the switch's tables; of an empty one's if there is no switch.
fn show(engine: &Shared, f: impl Fn(&Underlay) -> String) -> String {
    let engine = engine.borrow();
    let texts: Vec<String> = engine.planes().map(|p| p.switch.underlay(&f)).collect();
    texts.into_iter().next().unwrap_or_else(|| f(&Underlay::default()))
}

/// Gives a switch the system's addresses, routes and neighbours.
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
        let (prefix, mark, gateway, source) = (r.prefix, r.mark, r.gateway, r.source);
        Some(NewRoute { network, prefix, mark, device, gateway, source })
    };
    let known = tables.routes.iter().filter(|r| (253..=LOCAL_TABLE).contains(&r.table));
    let (local, other): (Vec<_>, Vec<_>) = known.partition(|r| r.table == LOCAL_TABLE);
    let list =
        |rows: &[&netdev_linux::Route]| rows.iter().filter_map(|r| route(r)).collect::<Vec<NewRoute>>();
    switch.change_underlay(|u| {
        let mut changed = u.set_system(addresses.clone(), list(&other), list(&local));
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
    register_routes(commands, engine);
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

fn register_routes(commands: &Commands, engine: &Shared) {
    let usage = "ip/plen dev [gw] [pkt_mark=mark] [src=src_ip] [table=id]";
    add(commands, engine, ("ovs/route/add", usage, 2, 6), add_route);
    add(commands, engine, ("ovs/route/del", "ip/plen [pkt_mark=mark] [table=id]", 1, 3), |e, args| {
        let (network, prefix) = network(args[0]).ok_or("Invalid 'ip/plen' parameter")?;
        let extra = Extra::parse(&args[1..]).ok_or("Invalid pkt_mark")?;
        let gone = change(e, |u| u.del_route(network, prefix, extra.mark));
        if gone { Ok("OK".to_owned()) } else { Err("Not found".to_owned()) }
    });
    add(commands, engine, ("ovs/route/show", "[table=all|id]", 0, 1), |e, _| {
        Ok(show(e, Underlay::show_routes))
    });
    add(commands, engine, ("ovs/route/lookup", "ip_addr [pkt_mark=mark] [src=src_ip]", 1, 3), |e, args| {
        let addr: IpAddr = args[0].parse().map_err(|_| "Invalid 'ip' parameter".to_owned())?;
        let extra = Extra::parse(&args[1..]).ok_or("Invalid pkt_mark")?;
        let engine = e.borrow();
        let found = engine.planes().find_map(|p| p.switch.underlay(|u| u.lookup(addr, extra.mark)));
        let route = found.ok_or("Not found")?;
        let gateway = route.gateway.map_or("::".to_owned(), |g| g.to_string());
        Ok(format!("src {}\ngateway {gateway}\ndev {}\n", route.source, route.device))
    });
}

fn add_route(engine: &Shared, args: &[&str]) -> Reply {
    let (network, prefix) = network(args[0]).ok_or("Invalid 'ip/plen' parameter")?;
    let extra = Extra::parse(&args[2..]).ok_or("Invalid pkt_mark or gateway")?;
    let Extra { gateway, mark, source } = extra;
    let new = NewRoute { network, prefix, mark, device: args[1].to_owned(), gateway, source };
    let added = change(engine, |u| u.add_route(new.clone()));
    if added { Ok("OK".to_owned()) } else { Err("Error while inserting route.".to_owned()) }
}

/// `ADDR[/PREFIX]`.
pub(crate) fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (addr, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
    let addr: IpAddr = addr.parse().ok()?;
    let width = if addr.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map_or(Some(width), |p| p.parse().ok()).filter(|p| *p <= width)?;
    Some((addr, prefix))
}

/// What may follow in any order.
#[derive(Default)]
struct Extra {
    gateway: Option<IpAddr>,
    mark: u32,
    source: Option<IpAddr>,
}

impl Extra {
    fn parse(args: &[&str]) -> Option<Extra> {
        let mut extra = Extra::default();
        for arg in args {
            match arg.split_once('=') {
                Some(("pkt_mark", n)) => extra.mark = n.parse().ok()?,
                Some(("src", addr)) => extra.source = Some(addr.parse().ok()?),
                // Every table that users fill is looked at.
                Some(("table", _)) => {}
                Some(_) => return None,
                None => extra.gateway = Some(arg.parse().ok()?),
            }
        }
        Some(extra)
    }
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
