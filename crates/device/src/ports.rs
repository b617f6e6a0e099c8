//! The datapath's ports as objects of the interface: numbers, names, types, receivers of upcalls.
//!
//! Where it sits: one table in the device; what is behind a port is the host's.

use alloc::string::String;
use alloc::vec::Vec;

use odp::netlink::vport::VportKind;
use packet::OdpPort;

use crate::{Errno, PortRef};

/// Numbers of ports are below this.
pub(crate) const MAX_PORTS: u32 = 65_535;
/// Most receivers of one port's upcalls.
pub(crate) const MAX_PIDS: usize = 64;

/// How far a port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its host is opening it.
    Opening,
    /// It is there.
    Open,
    /// Its host is closing it.
    Closing,
}

/// A port.
#[derive(Debug)]
pub(crate) struct Vport {
    pub number: OdpPort,
    pub kind: VportKind,
    pub name: String,
    pub tunnel_port: Option<u16>,
    /// Receivers, as messages have them: 32-bit numbers in a row.
    pub pids: Vec<u8>,
    pub stage: Stage,
}

impl Vport {
    pub fn as_ref(&self) -> PortRef<'_> {
        PortRef { number: self.number, kind: self.kind, name: &self.name, tunnel_port: self.tunnel_port }
    }

    /// The receiver for a packet whose flow has this hash; `None` if the port has none.
    pub fn receiver(&self, hash: u64) -> Option<u32> {
        let n = self.pids.len() / 4;
        let at = usize::try_from(hash).unwrap_or(0).checked_rem(n)?.checked_mul(4)?;
        let bytes = self.pids.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_ne_bytes(*bytes)).filter(|pid| *pid != 0)
    }

    pub fn try_clone(&self) -> Result<Vport, Errno> {
        Ok(Vport {
            number: self.number,
            kind: self.kind,
            name: text(&self.name)?,
            tunnel_port: self.tunnel_port,
            pids: bytes(&self.pids)?,
            stage: self.stage,
        })
    }
}

/// A copy of a text.
pub(crate) fn text(from: &str) -> Result<String, Errno> {
    let mut out = String::new();
    out.try_reserve_exact(from.len()).map_err(|_| Errno::NoMem)?;
    out.push_str(from);
    Ok(out)
}

/// A copy of bytes.
pub(crate) fn bytes(from: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut out = Vec::new();
    out.try_reserve_exact(from.len()).map_err(|_| Errno::NoMem)?;
    out.extend_from_slice(from);
    Ok(out)
}

/// All ports, by number.
#[derive(Debug, Default)]
pub(crate) struct Ports(Vec<Vport>);

impl Ports {
    fn at(&self, number: OdpPort) -> Result<usize, usize> {
        self.0.binary_search_by_key(&number, |p| p.number)
    }

    pub fn get(&self, number: OdpPort) -> Option<&Vport> {
        self.0.get(self.at(number).ok()?)
    }

    pub fn get_mut(&mut self, number: OdpPort) -> Option<&mut Vport> {
        let at = self.at(number).ok()?;
        self.0.get_mut(at)
    }

    pub fn named(&self, name: &str) -> Option<&Vport> {
        self.0.iter().find(|p| p.name == name)
    }

    /// The first port from `number` on that is there.
    pub fn from(&self, number: u32) -> Option<&Vport> {
        let at = self.at(OdpPort(number)).unwrap_or_else(|at| at);
        self.0.get(at..)?.iter().find(|p| p.stage == Stage::Open)
    }

    /// The lowest free number but the local port's.
    fn free(&self) -> Option<OdpPort> {
        let mut next = 1;
        for p in self.0.iter().filter(|p| p.number != OdpPort::LOCAL) {
            if p.number.0 > next {
                break;
            }
            next = p.number.0.saturating_add(1);
        }
        (next < MAX_PORTS).then_some(OdpPort(next))
    }

    /// Adds a port under `wanted`, or the lowest free number.
    pub fn add(&mut self, mut port: Vport, wanted: Option<u32>) -> Result<OdpPort, Errno> {
        if self.named(&port.name).is_some() {
            return Err(Errno::Exist);
        }
        let same = |p: &&Vport| p.kind == port.kind && p.tunnel_port == port.tunnel_port;
        if port.kind.is_tunnel() && self.0.iter().find(same).is_some() {
            return Err(Errno::Exist);
        }
        port.number = match wanted {
            Some(n) if n >= MAX_PORTS => return Err(Errno::Inval),
            Some(n) => OdpPort(n),
            None => self.free().ok_or(Errno::NoMem)?,
        };
        let number = port.number;
        let at = match self.at(number) {
            Ok(_) => return Err(Errno::Busy),
            Err(at) => at,
        };
        self.0.try_reserve(1).map_err(|_| Errno::NoMem)?;
        self.0.insert(at, port);
        Ok(number)
    }

    pub fn remove(&mut self, number: OdpPort) -> Option<Vport> {
        let at = self.at(number).ok()?;
        Some(self.0.remove(at))
    }
}
