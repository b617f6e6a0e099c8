//! Tables' settings: what happens on a miss, eviction, vacancy events.
//!
//! Where it sits: TABLE_MOD and table descriptions of `requests.rs`; the settings are `ofproto`'s.
//!
//! Spec: OpenFlow 1.5.1 sections 6.4, 7.3.3 and 7.4.5; ovs-vswitchd.conf.db(5), table Flow_Table.

use openflow::msg::{AsyncKind, Message, TableDesc, TableMiss, TableMod, TableReason, TableStatus, Vacancy};
use openflow::{OfpError, Version};

use crate::core::BridgeState;

/// Eviction by lifetime: what this switch can look at, and what it says that it does.
const EVICTION_LIFETIME: u32 = 1 << 2;

impl BridgeState {
    /// Carries out TABLE_MOD.
    pub(crate) fn table_mod(&mut self, tm: &TableMod, version: Version) -> Result<(), OfpError> {
        if tm.table_id != 255 && tm.table_id >= ofproto::N_VISIBLE_TABLES {
            return Err(OfpError::OFPTMFC_BAD_TABLE);
        }
        if tm.eviction_flags.is_some_and(|flags| flags != EVICTION_LIFETIME) {
            return Err(OfpError::OFPTMFC_BAD_CONFIG);
        }
        if version < Version::V14 {
            self.ofproto.set_table_miss(
                tm.table_id,
                match tm.miss {
                    TableMiss::Default => ofproto::TableMiss::Default,
                    TableMiss::Controller => ofproto::TableMiss::Controller,
                    TableMiss::Continue => ofproto::TableMiss::Continue,
                    TableMiss::Drop => ofproto::TableMiss::Drop,
                },
            );
            return Ok(());
        }
        for table in (0..ofproto::N_VISIBLE_TABLES).filter(|id| tm.table_id == 255 || tm.table_id == *id) {
            let mut config = self.ofproto.table_config(table);
            if let Some(evict) = tm.eviction {
                config.evict_by_controller = evict;
            }
            if let Some(vacancy) = tm.vacancy {
                let thresholds = (tm.table_vacancy.down, tm.table_vacancy.up);
                config.vacancy = vacancy.then_some(thresholds);
                config.vacancy_event = None;
            }
            self.ofproto.set_table_config(table, config);
        }
        Ok(())
    }

    /// What every table is set to.
    pub(crate) fn table_descs(&self) -> Vec<TableDesc> {
        (0..ofproto::N_VISIBLE_TABLES).map(|id| self.table_desc(id)).collect()
    }

    fn table_desc(&self, table_id: u8) -> TableDesc {
        let config = self.ofproto.table_config(table_id);
        TableDesc {
            table_id,
            eviction: config.evicts(),
            eviction_flags: config.evicts().then_some(EVICTION_LIFETIME),
            vacancy: config.vacancy.map(|(down, up)| Vacancy {
                down,
                up,
                now: self.ofproto.vacancy(table_id),
            }),
        }
    }

    /// Tells of tables that became fuller than their lower threshold, or emptier than the upper one.
    pub(crate) fn tell_vacancy(&mut self) {
        for (table, is_down) in self.ofproto.vacancy_events() {
            let reason = if is_down { TableReason::VacancyDown } else { TableReason::VacancyUp };
            let status = Message::TableStatus(TableStatus { reason, desc: self.table_desc(table) });
            for c in self.conns.values_mut().filter(|c| c.wants(AsyncKind::TableStatus, reason as u32)) {
                let _ = c.conn.send(&status);
            }
        }
    }
}
