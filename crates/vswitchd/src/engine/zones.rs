//! Connection tracking zones out of the database: their limits, and how long their connections live.
//!
//! Where it sits: the engine calls [`Applied::configure`] for each datapath after each change of the rows.
//!
//! A datapath knows timeouts by number. Zones that want the same share a number; `ct(commit)` names it.
//!
//! A datapath that outlives us has the policies and limits of an earlier life. Policies that are wanted keep their numbers,
//! because its flows name them. Limits that are not wanted go if they were the database's; those of commands stay.
//!
//! Spec: ovs-vswitchd.conf.db(5), CT_Zone and CT_Timeout_Policy.

use std::collections::BTreeMap;

use conntrack::{MAX_TIMEOUT_POLICIES, Setting, TimeoutPolicy};
use dpif::{Tracking, TrackingError};

use crate::config::{Timeouts, Zone, Zones};

/// What was set up in a datapath.
#[derive(Default)]
pub(super) struct Applied {
    zones: Zones,
    /// The policies by number, once the datapath was asked for them; zero is its own.
    policies: Option<BTreeMap<u16, TimeoutPolicy>>,
}

impl Applied {
    /// Carries out what the rows want of a datapath; returns the policies' numbers by zone, if anything changed. What cannot
    /// be carried out is tried again with the next call.
    pub fn configure(
        &mut self,
        table: &dyn Tracking,
        wanted: &Zones,
    ) -> Result<Option<BTreeMap<u16, u16>>, TrackingError> {
        if self.policies.is_some() && self.zones == *wanted {
            return Ok(None);
        }
        let mut policies = match self.policies.take() {
            Some(known) => known,
            None => {
                self.zones = limits_of_an_earlier_life(table)?;
                table.timeout_policies()?
            }
        };
        policies.remove(&0);
        self.limit(table, wanted)?;
        let mut numbers = BTreeMap::new();
        for (zone, config) in &wanted.zones {
            let policy = config.timeouts.as_ref().map(policy_of);
            if let Some(id) = policy.map_or(Ok(None), |policy| number(&mut policies, table, policy))? {
                numbers.insert(*zone, id);
            }
        }
        let idle: Vec<u16> =
            policies.keys().filter(|id| !numbers.values().any(|n| n == *id)).copied().collect();
        for id in idle {
            table.set_timeout_policy(id, None)?;
            policies.remove(&id);
        }
        self.policies = Some(policies);
        self.zones = wanted.clone();
        Ok(Some(numbers))
    }

    /// Limits that the database had, or has, are its alone.
    fn limit(&self, table: &dyn Tracking, wanted: &Zones) -> Result<(), TrackingError> {
        if self.zones.has_limits() != wanted.has_limits() {
            table.set(Setting::LimitedByDatabase, wanted.has_limits().into())?;
        }
        let default =
            (self.zones.default_limit != wanted.default_limit).then_some(wanted.default_limit.unwrap_or(0));
        let of_wanted = |zone: &u16| wanted.zones.get(zone).and_then(|zone| zone.limit);
        let had = self.zones.zones.iter().filter(|(_, old)| old.limit.is_some());
        let gone = had.filter(|(zone, _)| of_wanted(zone).is_none()).map(|(zone, _)| (*zone, None));
        let set = wanted.zones.iter().filter_map(|(zone, config)| Some((*zone, Some(config.limit?))));
        let zones: Vec<_> = gone.chain(set).collect();
        if default.is_none() && zones.is_empty() {
            return Ok(());
        }
        table.set_zone_limits(default, &zones)
    }
}

/// The limits that a datapath has out of the database, as an earlier life of ours has set them.
fn limits_of_an_earlier_life(table: &dyn Tracking) -> Result<Zones, TrackingError> {
    // A datapath that cannot say so has nobody's limits but those of commands.
    if table.setting(Setting::LimitedByDatabase).unwrap_or(0) == 0 {
        return Ok(Zones::default());
    }
    let known = table.zone_limits(&[])?;
    let zone = |limit| Zone { limit: Some(limit), timeouts: None };
    let zones = known.zones.into_iter().map(|z| (z.zone, zone(z.limit))).collect();
    Ok(Zones { default_limit: Some(known.default).filter(|limit| *limit != 0), zones })
}

fn policy_of(timeouts: &Timeouts) -> TimeoutPolicy {
    let mut policy = TimeoutPolicy::default();
    for (key, seconds) in timeouts {
        // What only the kernel has is no mistake of the user's.
        policy.set(key, *seconds);
    }
    policy
}

/// The number of a policy, which may be new; `None` if there are too many.
fn number(
    policies: &mut BTreeMap<u16, TimeoutPolicy>,
    table: &dyn Tracking,
    policy: TimeoutPolicy,
) -> Result<Option<u16>, TrackingError> {
    if let Some((id, _)) = policies.iter().find(|(_, known)| **known == policy) {
        return Ok(Some(*id));
    }
    let Some(id) = (1..MAX_TIMEOUT_POLICIES).find(|id| !policies.contains_key(id)) else {
        log::warn!(target: "ct_zones", "more than {} timeout policies", MAX_TIMEOUT_POLICIES - 1);
        return Ok(None);
    };
    table.set_timeout_policy(id, Some(&policy))?;
    policies.insert(id, policy);
    Ok(Some(id))
}
