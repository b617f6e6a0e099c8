//! The dummy devices of a process: opening them, finding them by name, and the texts of `netdev-dummy/*`.
//!
//! Where it sits: one per daemon; registered under each type that dummies stand for.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use wire::EthAddr;

use super::{DummyNetdev, WallClock};
use crate::{AdminState, Frame, Netdev, NetdevError, OpenNetdev};

#[derive(Default)]
struct Devices {
    /// Devices made so far: the next one's number.
    made: u16,
    by_name: BTreeMap<String, Weak<DummyNetdev>>,
}

/// The dummy devices of a process.
#[derive(Clone)]
pub struct DummyDevices {
    devices: Arc<Mutex<Devices>>,
    generation: Arc<AtomicU64>,
    wall: WallClock,
}

impl DummyDevices {
    /// None yet; `wall` stamps captured packets.
    pub fn new(wall: WallClock) -> DummyDevices {
        DummyDevices { devices: Arc::default(), generation: Arc::default(), wall }
    }

    /// Opens dummy devices under the type `kind`: `dummy`, or whatever dummies stand for.
    pub fn opener(&self, kind: &str) -> Arc<dyn OpenNetdev> {
        let (devices, kind) = (self.clone(), kind.to_owned());
        Arc::new(move |name: &str| devices.open(name, &kind))
    }

    fn open(&self, name: &str, kind: &str) -> Result<Arc<dyn Netdev>, NetdevError> {
        let mut d = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = d.by_name.get(name).and_then(Weak::upgrade) {
            return Ok(open);
        }
        let [high, low] = d.made.to_be_bytes();
        d.made = d.made.wrapping_add(1);
        let mac = EthAddr([0xaa, 0x55, 0xaa, 0x55, high, low]);
        let device = Arc::new(DummyNetdev::new(name, kind, mac, self.wall.clone()));
        d.by_name.retain(|_, device| device.strong_count() > 0);
        d.by_name.insert(name.to_owned(), Arc::downgrade(&device));
        Ok(device)
    }

    /// The open device of a name.
    pub fn find(&self, name: &str) -> Option<Arc<DummyNetdev>> {
        let d = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        d.by_name.get(name).and_then(Weak::upgrade)
    }

    /// A number that grows whenever a command changes a device.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Every open device, by name.
    pub fn all(&self) -> Vec<Arc<DummyNetdev>> {
        let d = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        d.by_name.values().filter_map(Weak::upgrade).collect()
    }

    /// `netdev-dummy/receive NAME [--qid N] PACKET|FLOW [--len N]…`: queues the packets; the caller then lets the host
    /// poll. A packet is hexadecimal; whatever is not is a flow, from which `compose` makes a packet of the length
    /// asked for, or of its own if there is none. Nothing is queued unless all can be.
    pub fn receive_command(
        &self,
        args: &[&str],
        compose: impl Fn(&str, Option<usize>) -> Result<Vec<u8>, String>,
    ) -> Result<(), String> {
        let (name, mut args) = args.split_first().ok_or("no such dummy netdev")?;
        self.find(name).ok_or("no such dummy netdev")?;
        let mut qid = 0;
        if let ["--qid", number, rest @ ..] = args {
            // What is no number counts as zero.
            qid = number.parse().unwrap_or(0);
            args = rest;
        }
        let mut frames = Vec::new();
        while let [text, rest @ ..] = args {
            let (bytes, rest) = match (from_hex(text), rest) {
                (Some(bytes), rest) => (bytes, rest),
                (None, ["--len", len, rest @ ..]) => (compose(text, Some(length(len)?))?, rest),
                (None, rest) => (compose(text, None)?, rest),
            };
            frames.push(Frame::try_from_frame(&bytes).ok_or("Cannot allocate memory")?);
            args = rest;
        }
        self.receive(name, qid, frames)
    }

    /// Queues packets for the device `name`; the caller then lets the host poll.
    pub fn receive(&self, name: &str, qid: u32, frames: Vec<Frame>) -> Result<(), String> {
        let device = self.find(name).ok_or("no such dummy netdev")?;
        frames.into_iter().try_for_each(|f| device.feed(qid, f)).map_err(|e| e.to_string())
    }

    /// `netdev-dummy/set-admin-state [NAME] up|down`.
    pub fn set_admin_state(&self, args: &[&str]) -> Result<String, String> {
        let (devices, word) = match args {
            [word] => (self.all(), word),
            [name, word] => (vec![self.named(name)?], word),
            _ => return Err("Invalid Admin State".to_owned()),
        };
        let state = match word.to_ascii_lowercase().as_str() {
            "up" => AdminState::Up,
            "down" => AdminState::Down,
            _ => return Err("Invalid Admin State".to_owned()),
        };
        devices.iter().try_for_each(|d| d.set_admin_state(state)).map_err(|e| e.to_string())?;
        self.generation.fetch_add(1, Ordering::Release);
        Ok("OK".to_owned())
    }

    /// `netdev-dummy/conn-state [NAME]`: the state of the stream to another switch. Without one it is unknown, and
    /// left out of the list of all.
    pub fn conn_state(&self, name: Option<&str>) -> Result<String, String> {
        match name {
            Some(name) => Ok(format!("{}: unknown\n", self.named(name)?.name())),
            None => Ok(String::new()),
        }
    }

    /// `netdev-dummy/ip4addr NAME ADDR/PREFIX`.
    pub fn ip4addr(&self, name: &str, text: &str) -> Result<String, String> {
        let device = self.named(name)?;
        let (addr, prefix) = parse_prefixed::<Ipv4Addr>(text, 32)?;
        device.add_in4(addr, prefix);
        Ok("OK".to_owned())
    }

    /// `netdev-dummy/ip6addr NAME ADDR/PREFIX`.
    pub fn ip6addr(&self, name: &str, text: &str) -> Result<String, String> {
        let device = self.named(name)?;
        let (addr, prefix) = parse_prefixed::<Ipv6Addr>(text, 128)?;
        device.add_in6(addr, prefix);
        Ok("OK".to_owned())
    }

    fn named(&self, name: &str) -> Result<Arc<DummyNetdev>, String> {
        self.find(name).ok_or_else(|| "Unknown Dummy Interface".to_owned())
    }
}

/// The length that a composed packet is asked to have; what is no number counts as zero.
fn length(text: &str) -> Result<usize, String> {
    /// Bytes of the shortest Ethernet frame, without its check sequence.
    const SHORTEST: usize = 60;
    let len = text.parse().unwrap_or(0);
    if len < SHORTEST { Err("too small packet len".to_owned()) } else { Ok(len) }
}

/// `ADDR[/PREFIX]`, the prefix being whole if it is left out.
fn parse_prefixed<A: std::str::FromStr>(text: &str, bits: u8) -> Result<(A, u8), String> {
    let family = if bits == 32 { "IPv4" } else { "IPv6" };
    let (addr, prefix) = text.split_once('/').unwrap_or((text, ""));
    let addr = addr.parse().map_err(|_| format!("{text}: invalid IP address"))?;
    if !text.contains('/') {
        return Ok((addr, bits));
    }
    match prefix.parse() {
        Ok(n) if n <= bits => Ok((addr, n)),
        Ok(_) => Err(format!("{text}: {family} network prefix bits not between 0 and {bits}, inclusive")),
        Err(_) => Err(format!("{text}: invalid IP address")),
    }
}

/// A packet in hexadecimal: at least an Ethernet header.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    /// Bytes of an Ethernet header.
    const SHORTEST: usize = 14;
    let digit = |d: u8| char::from(d).to_digit(16);
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [a, b] => Some((digit(*a)? << 4 | digit(*b)?) as u8),
        _ => None,
    });
    pairs.collect::<Option<Vec<u8>>>().filter(|bytes| bytes.len() >= SHORTEST)
}
