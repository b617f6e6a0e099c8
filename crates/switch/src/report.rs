//! Texts about the switch, for the commands that operators type.
//!
//! Where it sits: `vswitchd` registers them as `dpif/show`, `fdb/show` and so on. An `Err` is an error's words.

use openflow::{Names, OfpPort, actions, matches};
use packet::Now;
use wire::EthAddr;

use crate::core::{BridgeState, PortState, Switch, locked};

impl Switch {
    fn with_bridge<T>(&self, name: &str, f: impl FnOnce(&BridgeState) -> T) -> Result<T, String> {
        locked(&self.shared.state).bridges.get(name).map(f).ok_or_else(|| "no such bridge".to_owned())
    }

    /// `ofproto/list`.
    pub fn ofproto_list(&self) -> String {
        self.bridges().iter().map(|b| format!("{b}\n")).collect()
    }

    /// `fdb/show`.
    pub fn fdb_show(&self, bridge: &str, now: Now) -> Result<String, String> {
        self.with_bridge(bridge, |b| b.fdb.read().map(|f| f.show(now.mono)).unwrap_or_default())
    }

    /// `fdb/stats-show`.
    pub fn fdb_stats_show(&self, bridge: &str) -> Result<String, String> {
        self.with_bridge(bridge, |b| b.fdb.read().map(|f| f.show_stats(bridge)).unwrap_or_default())
    }

    /// `fdb/stats-clear`: of one bridge or of all.
    pub fn fdb_stats_clear(&self, bridge: Option<&str>) -> Result<String, String> {
        self.each_fdb(bridge, |f| f.stats = crate::FdbStats::default())?;
        Ok("statistics successfully cleared\n".into())
    }

    /// `fdb/flush`: of one bridge or of all.
    pub fn fdb_flush(&self, bridge: Option<&str>) -> Result<String, String> {
        self.each_fdb(bridge, crate::Fdb::flush)?;
        self.changed();
        Ok("table successfully flushed\n".into())
    }

    fn each_fdb(&self, bridge: Option<&str>, mut f: impl FnMut(&mut crate::Fdb)) -> Result<(), String> {
        let state = locked(&self.shared.state);
        if bridge.is_some_and(|b| !state.bridges.contains_key(b)) {
            return Err("no such bridge".into());
        }
        for (name, b) in &state.bridges {
            if bridge.is_none_or(|wanted| wanted == name)
                && let Ok(mut fdb) = b.fdb.write()
            {
                f(&mut fdb);
            }
        }
        Ok(())
    }

    fn changed(&self) {
        self.shared.generation.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    /// `fdb/add`.
    pub fn fdb_add(&self, bridge: &str, port: &str, vlan: u16, mac: EthAddr) -> Result<String, String> {
        self.with_bridge(bridge, |b| {
            let by_number = port.parse().map(OfpPort).ok().filter(|p| b.ports.contains_key(p));
            let port = b.port_by_name(port).map(|(ofp, _)| ofp).or(by_number);
            let port = port.ok_or("software error, odp port is present but no ofp port")?;
            if let Ok(mut fdb) = b.fdb.write() {
                fdb.add_static(vlan, mac, port);
            }
            Ok(())
        })
        .and_then(|r: Result<(), &str>| r.map_err(str::to_owned))?;
        self.changed();
        Ok(String::new())
    }

    /// `fdb/del`.
    pub fn fdb_del(&self, bridge: &str, vlan: u16, mac: EthAddr) -> Result<String, String> {
        let removed =
            self.with_bridge(bridge, |b| b.fdb.write().is_ok_and(|mut f| f.remove_static(vlan, mac)))?;
        self.changed();
        if removed { Ok(String::new()) } else { Err("could not find static mac entry".into()) }
    }

    /// `dpif/show`.
    pub fn dpif_show(&self) -> String {
        let stats = self.dpif.stats();
        let mut out = format!("{}: hit:{} missed:{}\n", self.dpif.name(), stats.hits, stats.misses);
        let state = locked(&self.shared.state);
        let devices = self.dpif.ports();
        for (name, b) in &state.bridges {
            out += &format!("  {name}:\n");
            let mut ports: Vec<(&OfpPort, &PortState)> = b.ports.iter().collect();
            ports.sort_by(|(_, a), (_, b)| a.config.name.cmp(&b.config.name));
            for (ofp, p) in ports {
                let odp = p.odp.map_or("none".to_owned(), |o| o.to_string());
                let device = devices.iter().find(|d| Some(d.number) == p.odp);
                let device = device.filter(|_| p.config.tunnel.is_none());
                let kind = device.map_or(p.config.kind.as_str(), |d| d.kind.as_str());
                let peer = p.config.peer.iter().map(|peer| format!("peer={peer}"));
                let asked =
                    device.into_iter().flat_map(|d| &d.config).map(|(key, value)| format!("{key}={value}"));
                let config: Vec<String> = peer.chain(asked).collect();
                let colon = if config.is_empty() { "" } else { ": " };
                let (name, number, config) = (&p.config.name, ofp.to_of10(), config.join(", "));
                let shown = &p.config.shown;
                out += &format!("    {name} {number}/{odp}: ({kind}{colon}{config}{shown})\n");
            }
        }
        out
    }

    /// `dpif/dump-flows`: megaflows of packets that came in by the bridge's ports.
    pub fn dpif_dump_flows(&self, bridge: &str, now: Now) -> Result<String, String> {
        let ports: Vec<u32> =
            self.with_bridge(bridge, |b| b.ports.values().filter_map(|p| p.odp).map(|o| o.0).collect())?;
        let mut out = String::new();
        self.dpif.for_each_flow(&mut |flow| {
            if ports.contains(&flow.matched.key.in_port()) {
                let line = dpif::text::FlowLine { flow: &flow, now_ms: now.mono.as_millis() };
                out += &format!("{line}\n");
            }
        });
        Ok(out)
    }

    /// `bridge/dump-flows`: every rule, hidden ones too.
    pub fn bridge_dump_flows(&self, bridge: &str, now: Now) -> Result<String, String> {
        self.collect();
        let text = self.with_bridge(bridge, |b| {
            let mut out = String::new();
            for (id, table) in b.ofproto.current().tables() {
                let mut rules: Vec<_> = table.rules.values().collect();
                rules.sort_by_key(|r| (std::cmp::Reverse(r.spec.priority), r.id));
                for rule in rules {
                    out += &rule_line(rule, id, now);
                }
            }
            out
        });
        text.map_err(|_| "Unknown bridge".to_owned())
    }

    /// `upcall/show`.
    pub fn upcall_show(&self) -> String {
        let flows = self.dpif.stats().flows;
        let keys = locked(&self.shared.megaflows).len();
        let limit = self.shared.flow_limit.load(std::sync::atomic::Ordering::Relaxed);
        format!(
            "{}:\n  flows         : (current {flows}) (avg {flows}) (max {flows}) (limit {limit})\n  \
             dump duration : 1ms\n  ufid enabled : true\n\n  0: (keys {keys})\n",
            self.dpif.name()
        )
    }
}

fn rule_line(rule: &ofproto::Rule, table: u8, now: Now) -> String {
    let spec = &rule.spec;
    let mut out = String::new();
    if table != 0 {
        out += &format!("table_id={table}, ");
    }
    let duration = now.mono.since(rule.created.mono).as_secs();
    out += &format!(
        "duration={duration}s, n_packets={}, n_bytes={}, priority={}",
        rule.state.packets(),
        rule.state.bytes(),
        spec.priority
    );
    let none = Names::none();
    let matched = matches::format(&spec.matcher, 0x8000, &none);
    if !matched.is_empty() {
        out += &format!(",{matched}");
    }
    out + &format!(",actions={}\n", actions::format(&spec.actions, &none))
}
