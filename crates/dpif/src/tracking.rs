//! How connections are tracked, as commands and the database set it, wherever the table is.
//!
//! Where it sits: [`crate::Dpif::tracking`] gives it out. The table of this process is one; `dpif-device` asks another process.

use std::collections::BTreeMap;

use conntrack::{Conntrack, Expectation, FragmentStatus, Setting, TimeoutPolicy, Waiting, ZoneLimit};
use packet::Now;

/// Limits of zones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneLimits {
    /// For zones without one of their own; zero is none.
    pub default: u32,
    /// Those that were asked for.
    pub zones: Vec<ZoneLimit>,
}

/// Why that cannot be said or set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackingError {
    /// It cannot have that value.
    Refused,
    /// The datapath has no words for it, or its process has gone.
    NotSupported,
}

impl std::fmt::Display for TrackingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TrackingError::Refused => "Operation not permitted",
            TrackingError::NotSupported => "Operation not supported",
        })
    }
}

impl std::error::Error for TrackingError {}

/// How connections are tracked.
pub trait Tracking {
    /// What `setting` is.
    fn setting(&self, setting: Setting) -> Result<u32, TrackingError>;

    /// Sets it; an error, and nothing changes, if it cannot have that value.
    fn set(&self, setting: Setting, value: u32) -> Result<(), TrackingError>;

    /// The limits of `zones`; with none, of those that have one of their own.
    fn zone_limits(&self, zones: &[u16]) -> Result<ZoneLimits, TrackingError>;

    /// Sets the default, if one is given, and limits of zones (zero: none; `None`: the default).
    fn set_zone_limits(
        &self,
        default: Option<u32>,
        zones: &[(u16, Option<u32>)],
    ) -> Result<(), TrackingError>;

    /// The timeout policies that differ from the defaults, by number.
    fn timeout_policies(&self) -> Result<BTreeMap<u16, TimeoutPolicy>, TrackingError>;

    /// Sets the timeouts of policy `id`; without `policy`, to the defaults.
    fn set_timeout_policy(&self, id: u16, policy: Option<&TimeoutPolicy>) -> Result<(), TrackingError>;

    /// What is known of fragments.
    fn fragments(&self, now: Now) -> Result<FragmentStatus, TrackingError>;

    /// Calls `each` with every datagram of which fragments are missing.
    fn for_each_waiting(&self, each: &mut dyn FnMut(&Waiting)) -> Result<(), TrackingError>;

    /// Calls `each` with every connection that another has announced and that has not come.
    fn for_each_expected(&self, now: Now, each: &mut dyn FnMut(&Expectation)) -> Result<(), TrackingError>;
}

impl Tracking for Conntrack {
    fn setting(&self, setting: Setting) -> Result<u32, TrackingError> {
        Ok(Conntrack::setting(self, setting))
    }

    fn set(&self, setting: Setting, value: u32) -> Result<(), TrackingError> {
        Conntrack::set(self, setting, value).then_some(()).ok_or(TrackingError::Refused)
    }

    fn zone_limits(&self, zones: &[u16]) -> Result<ZoneLimits, TrackingError> {
        let zones = match zones {
            [] => self.limited_zones(0).collect(),
            zones => zones.iter().map(|zone| self.zone_limit(*zone)).collect(),
        };
        Ok(ZoneLimits { default: self.default_zone_limit(), zones })
    }

    fn set_zone_limits(
        &self,
        default: Option<u32>,
        zones: &[(u16, Option<u32>)],
    ) -> Result<(), TrackingError> {
        default.into_iter().for_each(|limit| self.set_default_zone_limit(limit));
        for (zone, limit) in zones {
            self.set_zone_limit(*zone, *limit);
        }
        Ok(())
    }

    fn timeout_policies(&self) -> Result<BTreeMap<u16, TimeoutPolicy>, TrackingError> {
        Ok(Conntrack::timeout_policies(self).collect())
    }

    fn set_timeout_policy(&self, id: u16, policy: Option<&TimeoutPolicy>) -> Result<(), TrackingError> {
        Conntrack::set_timeout_policy(self, id, policy).then_some(()).ok_or(TrackingError::Refused)
    }

    fn fragments(&self, now: Now) -> Result<FragmentStatus, TrackingError> {
        Ok(Conntrack::fragments(self).status(now))
    }

    fn for_each_waiting(&self, each: &mut dyn FnMut(&Waiting)) -> Result<(), TrackingError> {
        let mut at = 0;
        while let Some((waiting, next)) = Conntrack::fragments(self).waiting(at) {
            each(&waiting);
            at = next;
        }
        Ok(())
    }

    fn for_each_expected(&self, now: Now, each: &mut dyn FnMut(&Expectation)) -> Result<(), TrackingError> {
        let mut at = 0;
        while let Some((expectation, next)) = self.expectation(at, now) {
            each(&expectation);
            at = next;
        }
        Ok(())
    }
}
