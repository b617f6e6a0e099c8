//! How connections are tracked behind the device: limits of zones, timeout policies, settings and fragments.
//!
//! Where it sits: part of `host`'s surface. What is set is remembered, so that a process that comes after is set to it.

use std::collections::BTreeMap;

use conntrack::{Expectation, FragmentStatus, Setting, TimeoutPolicy, Waiting, ZoneLimit};
use device::ct_setting;
use dpif::{Tracking, TrackingError, ZoneLimits};
use netlink::{Builder, flags};
use odp::netlink::ct_limit::{self, DEFAULT_ZONE};
use odp::netlink::ids::{self, cmd};
use packet::Now;

use crate::connection::Failure;
use crate::host::{DpifDevice, lock};
use crate::message::{begin, reply_attrs};

type Result<T> = std::result::Result<T, TrackingError>;

/// Commands of the limits' family.
mod limit_cmd {
    pub(super) const SET: u8 = 1;
    pub(super) const DEL: u8 = 2;
    pub(super) const GET: u8 = 3;
}

/// What was set by this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracked {
    settings: BTreeMap<u16, (Setting, u32)>,
    default_limit: Option<u32>,
    limits: BTreeMap<u16, u32>,
    policies: BTreeMap<u16, TimeoutPolicy>,
}

fn refusal(failure: Failure) -> TrackingError {
    match failure {
        Failure::Errno(_) => TrackingError::Refused,
        Failure::Status(_) | Failure::Gone => TrackingError::NotSupported,
    }
}

/// Whether what was asked for is to be asked of the next process: it was done, or there was nobody to do it.
fn stands(done: &std::result::Result<(), Failure>) -> bool {
    matches!(done, Ok(()) | Err(Failure::Gone))
}

fn of_zone(zone: i32, limit: u32) -> ct_limit::ZoneLimit {
    ct_limit::ZoneLimit { zone, limit, count: 0 }
}

fn set_settings(ids: (u32, u32), fill: impl FnOnce(&mut Builder)) -> Builder {
    let mut b = begin(ids::CT_SETTING, cmd::SET, 0, ids);
    fill(&mut b);
    b
}

impl DpifDevice {
    /// Sets another process's datapath to what was set before.
    pub(crate) fn track_again(&self) {
        let Tracked { settings, default_limit, limits, policies } = lock(&self.tracked).clone();
        let fill = |b: &mut Builder| {
            settings.values().for_each(|(setting, value)| ct_setting::put_setting(b, *setting, *value));
            policies.iter().for_each(|(id, policy)| ct_setting::put_policy(b, *id, Some(policy)));
        };
        let of_all = if settings.is_empty() && policies.is_empty() {
            Ok(())
        } else {
            self.ask(|ids| set_settings(ids, fill), |_| ())
        };
        let zones: Vec<_> = limits.iter().map(|(zone, limit)| (*zone, Some(*limit))).collect();
        if let Err(e) = of_all.and_then(|()| self.change_limits(default_limit, &zones)) {
            log::warn!(target: "dpif", "connection tracking cannot be set up again ({e:?})");
        }
    }

    fn change_limits(
        &self,
        default: Option<u32>,
        zones: &[(u16, Option<u32>)],
    ) -> std::result::Result<(), Failure> {
        let own = |(zone, limit): &(u16, Option<u32>)| limit.map(|limit| of_zone((*zone).into(), limit));
        let default = default.map(|limit| of_zone(DEFAULT_ZONE, limit));
        let set: Vec<_> = default.into_iter().chain(zones.iter().filter_map(own)).collect();
        let gone = zones.iter().filter(|(_, limit)| limit.is_none());
        let del: Vec<_> = gone.map(|(zone, _)| of_zone((*zone).into(), 0)).collect();
        for (command, list) in [(limit_cmd::SET, set), (limit_cmd::DEL, del)] {
            for part in list.chunks(ct_limit::MAX_LISTED) {
                let make = |ids| {
                    let mut b = begin(ids::CT_LIMIT, command, 0, ids);
                    ct_limit::put(&mut b, part.iter().copied());
                    b
                };
                self.ask(make, |_| ())?;
            }
        }
        Ok(())
    }

    /// The default, and the limits of `zones`, or of those that have one from `first` on.
    fn read_limits(&self, zones: &[u16], first: u16) -> Result<ZoneLimits> {
        let make = |ids| {
            let mut b = begin(ids::CT_LIMIT, limit_cmd::GET, 0, ids);
            if zones.is_empty() {
                ct_limit::put_first_zone(&mut b, first);
            } else {
                let asked = zones.iter().map(|zone| i32::from(*zone));
                ct_limit::put(
                    &mut b,
                    std::iter::once(DEFAULT_ZONE).chain(asked).map(|zone| of_zone(zone, 0)),
                );
            }
            b
        };
        let read = |reply: &[u8]| {
            let attrs = reply_attrs(reply);
            let mut found = ZoneLimits::default();
            for l in ct_limit::decode(attrs).ok().flatten().into_iter().flat_map(ct_limit::entries) {
                match u16::try_from(l.zone) {
                    Ok(zone) => found.zones.push(ZoneLimit { zone, limit: l.limit, count: l.count }),
                    Err(_) => found.default = l.limit,
                }
            }
            found
        };
        self.ask(make, read).map_err(refusal)
    }

    fn ask_settings<T>(&self, read: impl FnOnce(netlink::Attrs<'_>) -> Option<T>) -> Result<T> {
        let make = |ids| begin(ids::CT_SETTING, cmd::GET, 0, ids);
        let answer = self.ask(make, |reply| read(reply_attrs(reply)));
        answer.map_err(refusal)?.ok_or(TrackingError::NotSupported)
    }
}

impl Tracking for DpifDevice {
    fn setting(&self, setting: Setting) -> Result<u32> {
        self.ask_settings(|attrs| ct_setting::take_setting(&attrs, setting))
    }

    fn set(&self, setting: Setting, value: u32) -> Result<()> {
        let make = |ids| set_settings(ids, |b| ct_setting::put_setting(b, setting, value));
        let done = self.ask(make, |_| ());
        if stands(&done) {
            lock(&self.tracked).settings.insert(setting as u16, (setting, value));
        }
        done.map_err(refusal)
    }

    fn zone_limits(&self, zones: &[u16]) -> Result<ZoneLimits> {
        let mut found = ZoneLimits::default();
        if !zones.is_empty() {
            for part in zones.chunks(ct_limit::MAX_LISTED - 1) {
                let ZoneLimits { default, zones } = self.read_limits(part, 0)?;
                found.default = default;
                found.zones.extend(zones);
            }
            return Ok(found);
        }
        let mut first = Some(0);
        while let Some(from) = first {
            let ZoneLimits { default, zones } = self.read_limits(&[], from)?;
            let is_full = zones.len() >= ct_limit::MAX_LISTED;
            first = zones.last().filter(|_| is_full).and_then(|last| last.zone.checked_add(1));
            found.default = default;
            found.zones.extend(zones);
        }
        Ok(found)
    }

    fn set_zone_limits(&self, default: Option<u32>, zones: &[(u16, Option<u32>)]) -> Result<()> {
        let done = self.change_limits(default, zones);
        if stands(&done) {
            let mut tracked = lock(&self.tracked);
            tracked.default_limit = default.or(tracked.default_limit);
            for (zone, limit) in zones {
                match limit {
                    Some(limit) => drop(tracked.limits.insert(*zone, *limit)),
                    None => drop(tracked.limits.remove(zone)),
                }
            }
        }
        done.map_err(refusal)
    }

    fn timeout_policies(&self) -> Result<BTreeMap<u16, TimeoutPolicy>> {
        self.ask_settings(|attrs| {
            let known = ct_setting::policies(attrs).flatten();
            Some(known.filter_map(|(id, policy)| Some((id, policy?))).collect())
        })
    }

    fn set_timeout_policy(&self, id: u16, policy: Option<&TimeoutPolicy>) -> Result<()> {
        let make = |ids| set_settings(ids, |b| ct_setting::put_policy(b, id, policy));
        let done = self.ask(make, |_| ());
        if stands(&done) {
            let policies = &mut lock(&self.tracked).policies;
            match policy {
                Some(policy) => drop(policies.insert(id, *policy)),
                None => drop(policies.remove(&id)),
            }
        }
        done.map_err(refusal)
    }

    fn fragments(&self, _now: Now) -> Result<FragmentStatus> {
        self.ask_settings(|attrs| ct_setting::take_fragments(&attrs))
    }

    fn for_each_waiting(&self, each: &mut dyn FnMut(&Waiting)) -> Result<()> {
        let make = |ids| begin(ids::CT_SETTING, cmd::GET, flags::DUMP, ids);
        self.dump(make, |attrs| ct_setting::take_waiting(&attrs).iter().for_each(&mut *each)).map_err(refusal)
    }

    fn for_each_expected(&self, _now: Now, each: &mut dyn FnMut(&Expectation)) -> Result<()> {
        let make = |ids| begin(ids::CT_SETTING, cmd::GET, flags::DUMP, ids);
        self.dump(make, |attrs| ct_setting::take_expected(&attrs).iter().for_each(&mut *each))
            .map_err(refusal)
    }
}
