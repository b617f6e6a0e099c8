//! `multipath` and `bundle`: one of several links or ports, chosen by a hash of the packet.
//!
//! Where it sits: actions of `act.rs`; the hashes are in `hash.rs`.
//!
//! Spec: ovs-actions(7), "The multipath action" and "The bundle action".

use openflow::OfpPort;
use openflow::actions::{Bundle, BundleAlgorithm, Multipath, MultipathAlgorithm};

use crate::NodeKind;
use crate::hash::{of_flow, of_two};
use crate::translate::Xlate;

impl Xlate<'_> {
    /// Stores the number of a link.
    pub(crate) fn multipath(&mut self, m: &Multipath) {
        let hash = of_flow(&self.flow, &mut self.out.wc, m.fields, m.basis);
        let link = link(hash, m.algorithm, u32::from(m.max_link) + 1, m.arg);
        self.store(m.dst, &link.into());
    }

    /// Sends out of the chosen member, or stores its number.
    pub(crate) fn bundle(&mut self, b: &Bundle) {
        let live = |port: &OfpPort| self.bridge.ports.get(port).is_some_and(|p| p.up);
        let members: Vec<(u32, OfpPort)> = (0u32..).zip(b.members.iter().copied()).collect();
        let chosen = match b.algorithm {
            BundleAlgorithm::ActiveBackup => members.iter().find(|(_, p)| live(p)).copied(),
            BundleAlgorithm::Hrw => {
                let hash = of_flow(&self.flow, &mut self.out.wc, b.fields, b.basis);
                best(members.iter().filter(|(_, p)| live(p)).copied(), |(i, _)| of_two(*i, hash))
            }
        };
        let port = chosen.map_or(OfpPort::NONE, |(_, port)| port);
        match b.dst {
            Some(dst) => self.store(dst, &port.to_of10().into()),
            None => self.output(port, 0),
        }
    }

    /// Stores a number, and says so.
    pub(crate) fn store(&mut self, dst: openflow::Subfield, value: &openflow::Bits) {
        self.write(dst, value);
        let now = crate::learn::read(dst, &self.flow);
        self.note(NodeKind::Detail, || crate::act::is_now(dst, &now));
    }
}

/// The first of those with the highest score.
fn best<T>(items: impl Iterator<Item = T>, score: impl Fn(&T) -> u32) -> Option<T> {
    items
        .fold(None, |best: Option<(u32, T)>, item| {
            let score = score(&item);
            match best {
                Some((high, kept)) if high >= score => Some((high, kept)),
                _ => Some((score, item)),
            }
        })
        .map(|(_, item)| item)
}

/// The link, of `links`, for a hash.
fn link(hash: u32, algorithm: MultipathAlgorithm, links: u32, arg: u32) -> u32 {
    match algorithm {
        MultipathAlgorithm::ModuloN => hash % links,
        MultipathAlgorithm::HashThreshold if links == 1 => 0,
        MultipathAlgorithm::HashThreshold => hash / (u32::MAX / links + 1),
        MultipathAlgorithm::Hrw => best(0..links, |i| of_two(*i, hash)).unwrap_or(0),
        MultipathAlgorithm::IterHash => {
            let modulo = if arg < links || arg / 2 > links { links.next_power_of_two() } else { arg };
            // At least a quarter of the hashes fit: the bound is never met in earnest.
            (0..1024u32).map(|i| of_two(hash, i) % modulo).find(|link| *link < links).unwrap_or(0)
        }
    }
}
