//! Commands about routes and the rules that choose among their tables: `ovs/route/…`, as text and as JSON.
//!
//! Where it sits: registered beside the other commands about what lies under tunnels; the tables are the switch's.
//!
//! Spec: ovs-vswitchd(8), OVS ROUTE commands.

use std::fmt::Write;
use std::net::IpAddr;

use daemon::unixctl::{Call, Commands, Format};
use ovsdb::json::Json;
use switch::{NewRoute, RouteEntry, RouteRule, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN, masked};

use crate::commands::add;
use crate::engine::Shared;
use crate::underlay::{change, show};

type Reply = Result<String, String>;

const NO_NETWORK: &str = "Invalid 'ip/plen' parameter";
const NO_TABLE: &str = "Invalid table format";
const OK: &str = "OK";

/// Names of tables.
const NAMES: [(u32, &str); 3] = [(TABLE_LOCAL, "local"), (TABLE_MAIN, "main"), (TABLE_DEFAULT, "default")];

/// Registers everything.
pub(crate) fn register(commands: &Commands, engine: &Shared) {
    let usage = "ip/plen dev [gw] [pkt_mark=mark] [src=src_ip] [table=id]";
    add(commands, engine, ("ovs/route/add", usage, 2, 6), add_route);
    add(commands, engine, ("ovs/route/del", "ip/plen [pkt_mark=mark] [table=id]", 1, 3), del_route);
    add(commands, engine, ("ovs/route/lookup", "ip_addr [pkt_mark=mark] [src=src_ip]", 1, 3), lookup);
    let (usage, shared) = ("[table=all|id]", engine.clone());
    commands.register("ovs/route/show", usage, 0..=1, move |call| show_routes(&shared, call));
    let usage = "[-6] [not] from=all|ip/plen [prio=num] table=local|main|default|id";
    add(commands, engine, ("ovs/route/rule/add", usage, 2, 5), add_rule);
    add(commands, engine, ("ovs/route/rule/del", usage, 2, 5), del_rule);
    let shared = engine.clone();
    commands.register("ovs/route/rule/show", "[-6]", 0..=1, move |call| show_rules(&shared, call));
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
    table: Option<u32>,
}

impl Extra {
    /// Reads arguments; `why` is what is wrong with one that is none, unless it is of a table.
    fn parse(args: &[&str], why: &str) -> Result<Extra, String> {
        let mut extra = Extra::default();
        for arg in args {
            match arg.split_once('=') {
                Some(("pkt_mark", n)) => extra.mark = n.parse().map_err(|_| why)?,
                Some(("src", addr)) => extra.source = Some(addr.parse().map_err(|_| why)?),
                Some(("table", id)) => extra.table = Some(table(id)?),
                Some(_) => return Err(why.to_owned()),
                None => extra.gateway = Some(arg.parse().map_err(|_| why)?),
            }
        }
        Ok(extra)
    }
}

/// A table's number; zero is none's.
fn table(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|id| *id != 0).ok_or_else(|| NO_TABLE.to_owned())
}

fn add_route(engine: &Shared, args: &[&str]) -> Reply {
    let (network, prefix) = network(args[0]).ok_or(NO_NETWORK)?;
    let Extra { gateway, mark, source, table } =
        Extra::parse(&args[2..], "Invalid pkt_mark, IP gateway or src_ip")?;
    let (table, device) = (table.unwrap_or(TABLE_MAIN), args[1].to_owned());
    let new = NewRoute { table, network, prefix, mark, device, gateway, source };
    let added = change(engine, |u| u.add_route(new.clone()));
    if added { Ok(OK.to_owned()) } else { Err("Error while inserting route.".to_owned()) }
}

fn del_route(engine: &Shared, args: &[&str]) -> Reply {
    let (network, prefix) = network(args[0]).ok_or(NO_NETWORK)?;
    let why = "Invalid pkt_mark";
    let extra = Extra::parse(&args[1..], why)?;
    if extra.gateway.is_some() || extra.source.is_some() {
        return Err(why.to_owned());
    }
    let table = extra.table.unwrap_or(TABLE_MAIN);
    is_known(engine, table)?;
    let gone = change(engine, |u| u.del_route(table, network, prefix, extra.mark));
    if gone { Ok(OK.to_owned()) } else { Err("Not found".to_owned()) }
}

/// Refuses a table that has a number alone and no route.
fn is_known(engine: &Shared, table: u32) -> Result<(), String> {
    let named = NAMES.iter().any(|(id, _)| *id == table);
    let known = named || show(engine, |u| u.routes().iter().any(|r| r.table == table));
    if known { Ok(()) } else { Err(format!("Table '{table}' not found")) }
}

fn lookup(engine: &Shared, args: &[&str]) -> Reply {
    let addr: IpAddr = args[0].parse().map_err(|_| "Invalid 'ip' parameter".to_owned())?;
    let why = "Invalid pkt_mark or src_ip";
    let extra = Extra::parse(&args[1..], why)?;
    if extra.gateway.is_some() || extra.table.is_some() {
        return Err(why.to_owned());
    }
    let route = show(engine, |u| u.lookup(addr, extra.mark, extra.source)).ok_or("Not found")?;
    let gateway = route.gateway.map_or("::".to_owned(), |g| g.to_string());
    Ok(format!("src {}\ngateway {gateway}\ndev {}\n", route.source, route.device))
}

/// Which tables are to be shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Those with names.
    Named,
    All,
    One(u32),
}

impl Shown {
    fn has(self, r: &RouteEntry) -> bool {
        match self {
            Shown::Named => name_of(r.table).is_some(),
            Shown::All => true,
            Shown::One(table) => r.table == table,
        }
    }

    fn header(self) -> String {
        match self {
            Shown::All => String::new(),
            Shown::One(table) if name_of(table).is_none() => format!("Route Table #{table}:\n"),
            Shown::Named | Shown::One(_) => "Route Table:\n".to_owned(),
        }
    }
}

fn name_of(table: u32) -> Option<&'static str> {
    NAMES.iter().find(|(id, _)| *id == table).map(|(_, name)| *name)
}

fn show_routes(engine: &Shared, call: Call) {
    let shown = match call.arg(0).map(|arg| arg.strip_prefix("table=").ok_or(NO_TABLE)) {
        None => Ok(Shown::Named),
        Some(Ok("all")) => Ok(Shown::All),
        Some(Ok(id)) => table(id).and_then(|table| is_known(engine, table).map(|()| Shown::One(table))),
        Some(Err(why)) => Err(why.to_owned()),
    };
    let shown = match shown {
        Ok(shown) => shown,
        Err(why) => return call.error(why),
    };
    if call.format == Format::Json {
        let rows = show(engine, |u| {
            u.routes().into_iter().filter(|r| shown.has(r)).map(json_of_route).collect::<Vec<_>>()
        });
        return call.reply_json(Json::array(rows));
    }
    let lines = show(engine, |u| {
        u.routes().into_iter().filter(|r| shown.has(r)).map(|r| line_of_route(r, shown)).collect::<String>()
    });
    call.reply(shown.header() + &lines);
}

fn maker(user: bool) -> &'static str {
    if user { "User" } else { "Cached" }
}

fn line_of_route(r: &RouteEntry, shown: Shown) -> String {
    let mut out = format!("{}: {}/{}", maker(r.user), r.network, r.prefix);
    // Writing to a string cannot fail.
    if r.mark != 0 {
        let _ = write!(out, " MARK {}", r.mark);
    }
    let _ = write!(out, " dev {}", r.device);
    if let Some(gateway) = r.gateway {
        let _ = write!(out, " GW {gateway}");
    }
    let _ = write!(out, " SRC {}", r.source);
    if r.is_local() {
        out += " local";
    }
    if shown == Shown::All && name_of(r.table).is_none() {
        let _ = write!(out, " table {}", r.table);
    }
    out + "\n"
}

fn json_of_route(r: &RouteEntry) -> Json {
    let mut hop = vec![("dev", Json::string(r.device.as_str()))];
    hop.extend(r.gateway.map(|gateway| ("gateway", Json::string(gateway.to_string()))));
    let mut members = vec![
        ("dst", Json::string(r.network.to_string())),
        ("local", Json::from(r.is_local())),
        ("nexthops", Json::array([Json::object(hop)])),
        ("prefix", Json::from(i64::from(r.prefix))),
        ("prefsrc", Json::string(r.source.to_string())),
        ("table", Json::from(i64::from(r.table))),
        ("user", Json::from(r.user)),
    ];
    members.extend((r.mark != 0).then(|| ("mark", Json::from(i64::from(r.mark)))));
    Json::object(members)
}

/// `[-6] [not] from=all|IP/PLEN [prio=N] table=NAME|ID`, in this order; the rule and its priority.
fn parse_rule(args: &[&str]) -> Result<(RouteRule, Option<u32>), String> {
    let (is_ipv6, args) = args.strip_prefix(&["-6"]).map_or((false, args), |rest| (true, rest));
    let (invert, args) = args.strip_prefix(&["not"]).map_or((false, args), |rest| (true, rest));
    let [from, rest @ ..] = args else { return Err("Invalid 'from' parameter".to_owned()) };
    let from = match from.strip_prefix("from=").ok_or("Invalid 'from' parameter")? {
        "all" => None,
        text => {
            let (addr, prefix) = network(text).filter(|(a, _)| a.is_ipv6() == is_ipv6).ok_or(NO_NETWORK)?;
            Some((masked(addr, prefix), prefix))
        }
    };
    let (priority, rest) = match rest {
        [first, rest @ ..] if first.starts_with("prio=") => {
            let number = first.strip_prefix("prio=").and_then(|n| n.parse().ok());
            (Some(number.ok_or("Invalid 'prio' parameter")?), rest)
        }
        all => (None, all),
    };
    let [last] = rest else { return Err(NO_TABLE.to_owned()) };
    let id = last.strip_prefix("table=").ok_or(NO_TABLE)?;
    let named = NAMES.iter().find(|(_, name)| *name == id).map(|(id, _)| *id);
    let table = named.map_or_else(|| table(id), Ok)?;
    Ok((RouteRule { priority: priority.unwrap_or(0), is_ipv6, invert, from, table, user: true }, priority))
}

fn add_rule(engine: &Shared, args: &[&str]) -> Reply {
    let (rule, priority) = parse_rule(args)?;
    change(engine, |u| {
        u.add_rule(rule, priority);
        true
    });
    Ok(OK.to_owned())
}

fn del_rule(engine: &Shared, args: &[&str]) -> Reply {
    let (rule, priority) = parse_rule(args)?;
    let gone = change(engine, |u| u.del_rule(&rule, priority));
    if gone { Ok(OK.to_owned()) } else { Err("Not found".to_owned()) }
}

fn show_rules(engine: &Shared, call: Call) {
    let is_ipv6 = match call.arg(0) {
        None => false,
        Some("-6") => true,
        Some(_) => return call.error("Invalid parameter"),
    };
    let rules =
        show(engine, |u| u.rules().iter().filter(|r| r.is_ipv6 == is_ipv6).copied().collect::<Vec<_>>());
    if call.format == Format::Json {
        return call.reply_json(Json::array(rules.iter().map(json_of_rule)));
    }
    call.reply(rules.iter().map(line_of_rule).collect::<String>());
}

fn line_of_rule(r: &RouteRule) -> String {
    let table = name_of(r.table).map_or_else(|| r.table.to_string(), str::to_owned);
    let from = match r.from {
        None => "all".to_owned(),
        Some((addr, prefix)) if is_whole(addr, prefix) => addr.to_string(),
        // The blank is Open vSwitch's.
        Some((addr, prefix)) => format!("{addr}/{prefix} "),
    };
    let not = if r.invert { "not " } else { "" };
    format!("{}: {}: {not}from {from} lookup {table}\n", maker(r.user), r.priority)
}

fn is_whole(addr: IpAddr, prefix: u8) -> bool {
    prefix == if addr.is_ipv4() { 32 } else { 128 }
}

fn json_of_rule(r: &RouteRule) -> Json {
    Json::object([
        ("from", Json::string(r.from.map_or("all".to_owned(), |(addr, _)| addr.to_string()))),
        ("invert", Json::from(r.invert)),
        ("ipv4", Json::from(!r.is_ipv6)),
        ("lookup", Json::from(i64::from(r.table))),
        ("priority", Json::from(i64::from(r.priority))),
        ("src-prefix", Json::from(i64::from(r.from.map_or(0, |(_, prefix)| prefix)))),
        ("user", Json::from(r.user)),
    ])
}
