//! What ethtool knows of a device: driver, speed, modes.
//!
//! Where it sits: between `sys`'s raw words and `netdev`'s terms.
//!
//! Spec: linux/ethtool.h (`ethtool_drvinfo`, `ethtool_link_settings`, `ETHTOOL_LINK_MODE_*`).

use std::os::fd::OwnedFd;

use netdev::{Duplex, Features, LinkFeatures, Options};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::sys;

/// The socket that requests about devices go through.
pub(crate) fn control_socket() -> std::io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?)
}

/// `Interface.status` of a device with a driver.
pub(crate) fn driver_status(control: &OwnedFd, name: &str) -> Options {
    use std::os::fd::AsFd;
    let Ok(words) = sys::driver_info(control.as_fd(), name) else { return Options::new() };
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
    let text = |at: usize| {
        let field = bytes.get(at..at + 32).unwrap_or_default();
        String::from_utf8_lossy(field.split(|b| *b == 0).next().unwrap_or_default()).into_owned()
    };
    Options::from([
        ("driver_name".to_owned(), text(4)),
        ("driver_version".to_owned(), text(36)),
        ("firmware_version".to_owned(), text(68)),
    ])
}

/// OpenFlow's bits for ethtool's link modes, by the modes' numbers.
const MODES: [(&[u32], u32); 14] = [
    (&[0], Features::F10M_HD),
    (&[1], Features::F10M_FD),
    (&[2], Features::F100M_HD),
    (&[3], Features::F100M_FD),
    (&[4], Features::F1G_HD),
    (&[5, 17, 41], Features::F1G_FD),
    (&[12, 18, 19, 42, 43, 44, 45, 46], Features::F10G_FD),
    (&[23, 24, 25, 26], Features::F40G_FD),
    (&[36, 37, 38, 39], Features::F100G_FD),
    (&[6], Features::AUTONEG),
    (&[7], Features::COPPER),
    (&[10], Features::FIBER),
    (&[15, 31, 32, 33], Features::OTHER),
    (&[21, 22, 27, 28, 29, 30, 34, 35, 40], Features::OTHER),
];

fn features(mask: &[u32]) -> Features {
    let has = |mode: &u32| mask.get(*mode as usize / 32).is_some_and(|w| w >> (mode % 32) & 1 != 0);
    Features(MODES.iter().filter(|(modes, _)| modes.iter().any(has)).fold(0, |bits, (_, bit)| bits | bit))
}

/// Speeds and modes of a device; nothing where the driver does not say.
pub(crate) fn link_features(control: &OwnedFd, name: &str) -> LinkFeatures {
    use std::os::fd::AsFd;
    sys::link_settings(control.as_fd(), name).map(|(words, n)| decode(&words, n)).unwrap_or_default()
}

fn decode(words: &[u32], n: usize) -> LinkFeatures {
    /// Words before the masks.
    const HEAD: usize = 12;
    /// The speed of a link that has none, or does not know it.
    const UNKNOWN: u32 = u32::MAX;
    let word = |at: usize| words.get(at).copied().unwrap_or(0);
    let [duplex, port, _, autoneg] = word(2).to_ne_bytes();
    let speed_mbps = if word(1) == UNKNOWN { 0 } else { word(1) };
    let duplex = match duplex {
        0 => Some(Duplex::Half),
        1 => Some(Duplex::Full),
        _ => None,
    };
    let medium = match port {
        0 => Features::COPPER,
        3 => Features::FIBER,
        _ => 0,
    };
    let rate =
        if speed_mbps == 0 { 0 } else { Features::of_rate(speed_mbps, duplex.unwrap_or(Duplex::Full)).0 };
    let autoneg = if autoneg == 1 { Features::AUTONEG } else { 0 };
    let mask = |k: usize| features(words.get(HEAD + k * n..HEAD + (k + 1) * n).unwrap_or_default());
    LinkFeatures {
        current: Features(rate | medium | autoneg),
        supported: mask(0),
        advertised: mask(1),
        peer: mask(2),
        speed_mbps,
        duplex,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_ethtool_shows_them() {
        let mut words = vec![0; 12 + 3 * 2];
        words[1] = 1000;
        words[2] = u32::from_ne_bytes([1, 0, 0, 1]);
        words[12] = 1 << 5 | 1 << 6 | 1 << 7;
        words[15] = 1 << (36 - 32);
        let f = decode(&words, 2);
        assert_eq!(f.current, Features(Features::F1G_FD | Features::COPPER | Features::AUTONEG));
        assert_eq!(f.supported, Features(Features::F1G_FD | Features::AUTONEG | Features::COPPER));
        assert_eq!((f.advertised, f.duplex), (Features(Features::F100G_FD), Some(Duplex::Full)));
        words[1] = u32::MAX;
        assert_eq!(decode(&words, 2).speed_mbps, 0);
    }
}
