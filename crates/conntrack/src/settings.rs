//! What a table is set to by numbers: one list for commands, for the device and for whoever takes a table over.
//!
//! Where it sits: beside `table.rs`. Limits of zones and timeout policies are lists of their own there.

use core::sync::atomic::Ordering;

use crate::Conntrack;

/// A number that a table is set to; `true` is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Setting {
    /// Connections that there may be.
    MaxConns = 1,
    /// Whether TCP sequence numbers are checked.
    TcpSeqCheck,
    /// Milliseconds in which the sweep passes every connection.
    SweepMs,
    /// Whether fragments of IPv4 wait for the rest of their datagram.
    HoldIpv4,
    /// Whether those of IPv6 do.
    HoldIpv6,
    /// Bytes that a fragment of IPv4 with others behind it must have.
    MinFragIpv4,
    /// Bytes that one of IPv6 must have.
    MinFragIpv6,
    /// Fragments that may wait.
    MaxFrags,
    /// Whether limits of zones are from a database. Nothing here depends on it: who set them notes it for those who come after,
    /// who then know that limits which the database no longer has are to go.
    LimitedByDatabase,
}

impl Setting {
    /// Every setting, in the order of their numbers, which begin at one.
    pub const ALL: [Setting; 9] = [
        Setting::MaxConns,
        Setting::TcpSeqCheck,
        Setting::SweepMs,
        Setting::HoldIpv4,
        Setting::HoldIpv6,
        Setting::MinFragIpv4,
        Setting::MinFragIpv6,
        Setting::MaxFrags,
        Setting::LimitedByDatabase,
    ];

    /// The setting that says whether fragments of a family wait.
    pub const fn hold(is_ipv6: bool) -> Setting {
        if is_ipv6 { Setting::HoldIpv6 } else { Setting::HoldIpv4 }
    }

    /// The setting of a family's smallest fragment.
    pub const fn min_frag(is_ipv6: bool) -> Setting {
        if is_ipv6 { Setting::MinFragIpv6 } else { Setting::MinFragIpv4 }
    }
}

impl Conntrack {
    /// What `setting` is now.
    pub fn setting(&self, setting: Setting) -> u32 {
        let fragments = self.fragments();
        match setting {
            Setting::MaxConns => self.max_conns(),
            Setting::TcpSeqCheck => self.tcp_seq_check().into(),
            Setting::SweepMs => self.sweep_interval(),
            Setting::HoldIpv4 => fragments.is_enabled(false).into(),
            Setting::HoldIpv6 => fragments.is_enabled(true).into(),
            Setting::MinFragIpv4 => fragments.min_frag(false),
            Setting::MinFragIpv6 => fragments.min_frag(true),
            Setting::MaxFrags => fragments.max(),
            Setting::LimitedByDatabase => self.limited_by_database.load(Ordering::Relaxed).into(),
        }
    }

    /// Sets `setting`; false, and nothing changes, if it cannot have that value.
    pub fn set(&self, setting: Setting, value: u32) -> bool {
        let fragments = self.fragments();
        let is_on = value != 0;
        match setting {
            Setting::MaxConns => self.set_max_conns(value),
            Setting::TcpSeqCheck => self.set_tcp_seq_check(is_on),
            Setting::SweepMs => return self.set_sweep_interval(value),
            Setting::HoldIpv4 => fragments.set_enabled(false, is_on),
            Setting::HoldIpv6 => fragments.set_enabled(true, is_on),
            Setting::MinFragIpv4 => return fragments.set_min_frag(false, value),
            Setting::MinFragIpv6 => return fragments.set_min_frag(true, value),
            Setting::MaxFrags => return fragments.set_max(value),
            Setting::LimitedByDatabase => self.limited_by_database.store(is_on, Ordering::Relaxed),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[test]
    fn every_setting_is_kept_apart_from_the_others() {
        let table = Conntrack::new(&Config::with_seed([1, 2])).unwrap();
        let mut expected = Setting::ALL.map(|s| table.setting(s));
        for (n, (setting, value)) in
            Setting::ALL.into_iter().zip([7, 0, 500, 0, 0, 600, 700, 9, 1]).enumerate()
        {
            assert_eq!(setting as usize, n + 1);
            assert!(expected[n] != value && table.set(setting, value), "{setting:?}");
            expected[n] = value;
            assert_eq!(Setting::ALL.map(|s| table.setting(s)), expected);
        }
        for (setting, value) in [(Setting::SweepMs, 0), (Setting::MinFragIpv6, 1), (Setting::MaxFrags, 5001)]
        {
            assert!(!table.set(setting, value), "{setting:?}");
        }
        assert_eq!(Setting::ALL.map(|s| table.setting(s)), expected);
    }
}
