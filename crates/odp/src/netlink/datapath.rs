//! The datapath itself (`OVS_DP_ATTR_*`).
//!
//! Where it sits: requests and replies of the datapath family.

use netlink::{Attr, Attrs, Builder};

use super::{AttrError, AttrErrorKind, sized};

mod attr {
    pub const NAME: u16 = 1;
    pub const UPCALL_PID: u16 = 2;
    pub const STATS: u16 = 3;
    pub const MEGAFLOW_STATS: u16 = 4;
    pub const USER_FEATURES: u16 = 5;
    pub const MASKS_CACHE_SIZE: u16 = 7;
    pub const PER_CPU_PIDS: u16 = 8;
    /// Ours: how the host's threads are set up.
    pub const OTHER_CONFIG: u16 = 33;
    /// Ours: source ports of tunnels over UDP.
    pub const TUNNEL_PORTS: u16 = 34;
}

/// Bits of `OVS_DP_ATTR_USER_FEATURES`.
pub mod features {
    /// Attributes need no alignment of their payload's end.
    pub const UNALIGNED: u32 = 1;
    /// Ports have arrays of receivers.
    pub const VPORT_PIDS: u32 = 2;
    /// Recirculation ids are shared with traffic control.
    pub const TC_RECIRC_SHARING: u32 = 4;
    /// Receivers are chosen by processor.
    pub const DISPATCH_UPCALL_PER_CPU: u32 = 8;
    /// The datapath finds tunnels' ways by itself: a bit of ours, by which user space learns what hosts differ in.
    pub const ROUTES_TUNNELS: u32 = 1 << 31;
}

/// Totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DpStats {
    /// Packets that hit a megaflow.
    pub hit: u64,
    /// Packets that hit none.
    pub missed: u64,
    /// Packets whose upcall was lost.
    pub lost: u64,
    /// Megaflows.
    pub flows: u64,
}

/// Totals about masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MegaflowStats {
    /// Masks tried.
    pub mask_hit: u64,
    /// Distinct masks.
    pub masks: u32,
    /// Packets found by a cache.
    pub cache_hits: u64,
}

/// The attributes of a message about a datapath, as far as they are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DpAttrs<'a> {
    /// Its name.
    pub name: Option<&'a str>,
    /// Who gets upcalls of its local port.
    pub upcall_pid: Option<u32>,
    /// Totals.
    pub stats: Option<DpStats>,
    /// Totals about masks.
    pub megaflow_stats: Option<MegaflowStats>,
    /// [`features`].
    pub user_features: Option<u32>,
    /// Entries of the cache of masks.
    pub masks_cache_size: Option<u32>,
    /// Receivers by processor: 32-bit numbers in a row.
    pub per_cpu_pids: Option<&'a [u8]>,
    /// How its host's threads are to be set up: texts `KEY=VALUE` of `Open_vSwitch.other_config`, each with a zero behind it.
    pub other_config: Option<&'a [u8]>,
    /// Source ports of tunnels over UDP, the lowest and the highest: two 16-bit numbers, the lowest in the high half.
    pub tunnel_ports: Option<(u16, u16)>,
}

fn words<const N: usize>(a: Attr<'_>) -> Option<[u64; N]> {
    let mut words = [0; N];
    if a.payload.len() != N.checked_mul(8)? {
        return None;
    }
    for (word, bytes) in words.iter_mut().zip(a.payload.chunks_exact(8)) {
        *word = u64::from_ne_bytes(bytes.try_into().ok()?);
    }
    Some(words)
}

impl<'a> DpAttrs<'a> {
    /// Reads a message's attributes.
    pub fn decode(attrs: Attrs<'a>) -> Result<DpAttrs<'a>, AttrError> {
        let mut out = DpAttrs::default();
        for a in attrs {
            let a = a?;
            match a.kind {
                attr::NAME => out.name = Some(a.str().ok_or(AttrErrorKind::Value.of(a.kind))?),
                attr::UPCALL_PID => out.upcall_pid = Some(sized(a, a.u32())?),
                attr::STATS => {
                    let [hit, missed, lost, flows] = sized(a, words(a))?;
                    out.stats = Some(DpStats { hit, missed, lost, flows });
                }
                attr::MEGAFLOW_STATS => {
                    let [mask_hit, masks, cache_hits, _] = sized(a, words(a))?;
                    // a 32-bit number and its padding, in memory's order
                    let masks = masks.to_ne_bytes().first_chunk().map_or(0, |b| u32::from_ne_bytes(*b));
                    out.megaflow_stats = Some(MegaflowStats { mask_hit, masks, cache_hits });
                }
                attr::USER_FEATURES => out.user_features = Some(sized(a, a.u32())?),
                attr::MASKS_CACHE_SIZE => out.masks_cache_size = Some(sized(a, a.u32())?),
                attr::PER_CPU_PIDS => {
                    out.per_cpu_pids =
                        Some(sized(a, (a.payload.len().is_multiple_of(4)).then_some(a.payload))?);
                }
                attr::OTHER_CONFIG => out.other_config = Some(a.payload),
                attr::TUNNEL_PORTS => {
                    let both = sized(a, a.u32())?;
                    out.tunnel_ports = Some(((both >> 16) as u16, both as u16));
                }
                _ => {}
            }
        }
        Ok(out)
    }

    /// Adds the attributes.
    pub fn encode(&self, b: &mut Builder) {
        if let Some(name) = self.name {
            b.put_str(attr::NAME, name);
        }
        if let Some(pid) = self.upcall_pid {
            b.put_u32(attr::UPCALL_PID, pid);
        }
        if let Some(s) = &self.stats {
            let words = [s.hit, s.missed, s.lost, s.flows].map(u64::to_ne_bytes);
            b.put(attr::STATS, words.as_flattened());
        }
        if let Some(s) = &self.megaflow_stats {
            let [m0, m1, m2, m3] = s.masks.to_ne_bytes();
            let words =
                [s.mask_hit.to_ne_bytes(), [m0, m1, m2, m3, 0, 0, 0, 0], s.cache_hits.to_ne_bytes(), [0; 8]];
            b.put(attr::MEGAFLOW_STATS, words.as_flattened());
        }
        if let Some(bits) = self.user_features {
            b.put_u32(attr::USER_FEATURES, bits);
        }
        if let Some(n) = self.masks_cache_size {
            b.put_u32(attr::MASKS_CACHE_SIZE, n);
        }
        if let Some(pids) = self.per_cpu_pids {
            b.put(attr::PER_CPU_PIDS, pids);
        }
        if let Some(config) = self.other_config {
            b.put(attr::OTHER_CONFIG, config);
        }
        if let Some((low, high)) = self.tunnel_ports {
            b.put_u32(attr::TUNNEL_PORTS, u32::from(low) << 16 | u32::from(high));
        }
    }
}
