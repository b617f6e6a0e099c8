//! Connection tracking zones out of the database: their limits, and how long their connections live.
//!
//! Where it sits: the engine calls [`configure`] for each datapath of this process after each change of the rows.
//!
//! A datapath knows timeouts by number. Zones that want the same share a number; `ct(commit)` names it.
//!
//! Spec: ovs-vswitchd.conf.db(5), CT_Zone and CT_Timeout_Policy.

use std::collections::BTreeMap;

use conntrack::{Conntrack, MAX_TIMEOUT_POLICIES, TimeoutPolicy};

use crate::config::{Timeouts, Zones};

/// What was set up in a datapath.
#[derive(Default)]
pub(super) struct Applied {
    zones: Zones,
    /// The policies by number; zero is the datapath's own.
    policies: BTreeMap<u16, Timeouts>,
}

impl Applied {
    /// Carries out what the rows want of a datapath; returns the policies' numbers by zone, if anything changed.
    pub fn configure(&mut self, table: &Conntrack, wanted: &Zones) -> Option<BTreeMap<u16, u16>> {
        if self.zones == *wanted {
            return None;
        }
        self.limit(table, wanted);
        let in_use: Vec<&Timeouts> =
            wanted.zones.values().filter_map(|zone| zone.timeouts.as_ref()).collect();
        self.policies.retain(|id, timeouts| {
            let stays = in_use.contains(&&*timeouts);
            if !stays {
                table.set_timeout_policy(*id, None);
            }
            stays
        });
        let mut numbers = BTreeMap::new();
        for (zone, config) in &wanted.zones {
            if let Some(id) = config.timeouts.as_ref().and_then(|timeouts| self.number(table, timeouts)) {
                numbers.insert(*zone, id);
            }
        }
        self.zones = wanted.clone();
        Some(numbers)
    }

    /// Limits that the database had, or has, are its alone.
    fn limit(&self, table: &Conntrack, wanted: &Zones) {
        if self.zones.default_limit != wanted.default_limit {
            table.set_default_zone_limit(wanted.default_limit.unwrap_or(0));
        }
        for (zone, old) in &self.zones.zones {
            let new = wanted.zones.get(zone).and_then(|zone| zone.limit);
            if old.limit.is_some() && new.is_none() {
                table.set_zone_limit(*zone, None);
            }
        }
        for (zone, config) in &wanted.zones {
            if let Some(limit) = config.limit {
                table.set_zone_limit(*zone, Some(limit));
            }
        }
    }

    /// The number of a policy, which may be new.
    fn number(&mut self, table: &Conntrack, timeouts: &Timeouts) -> Option<u16> {
        if let Some((id, _)) = self.policies.iter().find(|(_, known)| *known == timeouts) {
            return Some(*id);
        }
        let Some(id) = (1..MAX_TIMEOUT_POLICIES).find(|id| !self.policies.contains_key(id)) else {
            log::warn!(target: "ct_zones", "more than {} timeout policies", MAX_TIMEOUT_POLICIES - 1);
            return None;
        };
        let mut policy = TimeoutPolicy::default();
        for (key, seconds) in timeouts {
            // What only the kernel has is no mistake of the user's.
            policy.set(key, *seconds);
        }
        table.set_timeout_policy(id, Some(&policy));
        self.policies.insert(id, timeouts.clone());
        Some(id)
    }
}
