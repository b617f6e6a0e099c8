//! What the switch says of itself: features, description, ports and their counters, tables.
//!
//! Where it sits: answers to questions that change nothing; `requests.rs` asks for them.

use std::sync::atomic::Ordering::Relaxed;

use ofproto::age;
use openflow::msg::{
    Capabilities, LinkFeatures, PortConfig as PortFlags, PortDesc, PortState as LinkState, PortStats,
    Rfc2819, SwitchDesc, SwitchFeatures, TableCaps, TableStats,
};
use openflow::{OfpError, OfpPort, Version};
use packet::Now;

use crate::core::{BridgeState, PortState, Switch};

impl Switch {
    pub(crate) fn port_stats(
        &self,
        bridge: &BridgeState,
        port: OfpPort,
        now: Now,
    ) -> Result<Vec<PortStats>, OfpError> {
        if port != OfpPort::NONE && !bridge.ports.contains_key(&port) {
            return Err(OfpError::OFPBRC_BAD_PORT);
        }
        let wanted = bridge.ports.iter().filter(|(ofp, _)| port == OfpPort::NONE || **ofp == port);
        Ok(wanted.map(|(ofp, p)| self.one_port_stats(*ofp, p, now)).collect())
    }

    fn one_port_stats(&self, ofp: OfpPort, p: &PortState, now: Now) -> PortStats {
        let counters = &p.counters;
        let patch = dpif::PortStats {
            rx_packets: Some(counters.rx.0.load(Relaxed)),
            rx_bytes: Some(counters.rx.1.load(Relaxed)),
            tx_packets: Some(counters.tx.0.load(Relaxed)),
            tx_bytes: Some(counters.tx.1.load(Relaxed)),
            ..dpif::PortStats::default()
        };
        let s = p.odp.map_or(patch, |odp| self.dpif.port_stats(odp).unwrap_or_default());
        let known = |n: Option<u64>| n.unwrap_or(u64::MAX);
        PortStats {
            port: ofp,
            duration: age(now.mono.since(p.added.mono)),
            rx_packets: known(s.rx_packets),
            tx_packets: known(s.tx_packets),
            rx_bytes: known(s.rx_bytes),
            tx_bytes: known(s.tx_bytes),
            rx_dropped: known(s.rx_dropped),
            tx_dropped: known(s.tx_dropped),
            rx_errors: known(s.rx_errors),
            tx_errors: known(s.tx_errors),
            rx_frame_err: known(s.rx_frame_err),
            rx_over_err: known(s.rx_over_err),
            rx_crc_err: u64::MAX,
            collisions: known(s.collisions),
            rfc2819: [u64::MAX; Rfc2819::COUNT],
            custom: Vec::new(),
        }
    }
}

impl BridgeState {
    pub(crate) fn features(&self) -> SwitchFeatures {
        SwitchFeatures {
            datapath_id: self.config.datapath_id,
            n_buffers: 0,
            n_tables: ofproto::N_VISIBLE_TABLES,
            auxiliary_id: 0,
            capabilities: Capabilities::FLOW_STATS
                | Capabilities::TABLE_STATS
                | Capabilities::PORT_STATS
                | Capabilities::QUEUE_STATS
                | Capabilities::ARP_MATCH_IP
                | Capabilities::GROUP_STATS
                | Capabilities::BUNDLES,
            actions: 0xfff,
            ports: self.ports.iter().map(|(ofp, p)| port_desc(*ofp, p)).collect(),
        }
    }

    pub(crate) fn desc(&self) -> SwitchDesc {
        SwitchDesc {
            manufacturer: "Nicira, Inc.".into(),
            hardware: "Open vSwitch".into(),
            software: "3.7.1".into(),
            serial: self.config.dp_sn.clone(),
            datapath: self.config.dp_desc.clone(),
        }
    }

    pub(crate) fn table_stats(&self, version: Version) -> Vec<TableStats> {
        let tables = self.ofproto.current().tables();
        let stats = tables.filter(|(id, _)| *id < ofproto::N_VISIBLE_TABLES).map(|(id, t)| TableStats {
            table_id: id,
            name: self.ofproto.table_config(id).name.unwrap_or_else(|| format!("table{id}")),
            max_entries: 1_000_000,
            active_count: t.rules.len() as u32,
            lookup_count: t.counters.lookups(),
            matched_count: t.counters.matched(),
            caps: TableCaps::of_switch(version, id + 1 == ofproto::N_VISIBLE_TABLES),
        });
        stats.collect()
    }
}

pub(crate) fn port_desc(ofp: OfpPort, p: &PortState) -> PortDesc {
    let none = LinkFeatures::empty();
    let down = p.flags.contains(PortFlags::PORT_DOWN) || !p.up;
    PortDesc {
        port: ofp,
        hw_addr: p.config.hw_addr,
        name: p.config.name.clone(),
        config: p.flags,
        state: if down { LinkState::LINK_DOWN } else { LinkState::LIVE },
        curr: none,
        advertised: none,
        supported: none,
        peer: none,
        curr_speed: 0,
        max_speed: 0,
    }
}
