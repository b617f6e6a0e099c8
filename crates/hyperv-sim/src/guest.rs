//! Virtual machines and the host at the other end of the wire: smoltcp stacks that talk to each other.
//!
//! Where it sits: each is at one adapter; what it sends goes to the driver, what the switch delivers to it comes into its
//! inbox.
//!
//! Each guest echoes TCP, and opens a connection to each other guest in turn, over which it sends a pattern and expects it
//! back: bytes that are lost, doubled or changed on the way do not go unseen.

use std::collections::VecDeque;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, Ipv4Address};
use switch_ext::NicId;

use crate::large_send;
use crate::packets::{Frames, OutOfBand, to_driver};
use crate::policies;
use crate::world::{Random, World, rule, with};

const ECHO: u16 = 7;
/// More than a conversation has: the update of a closed window may be lost here, and the stack never asks for it.
const BUFFER: usize = 40_000;
/// How long a guest waits before it tries again.
const AGAIN_NS: u64 = 500_000_000;

/// The adapter as the stack sees it.
#[derive(Default)]
struct Wire {
    mtu: u32,
    rx: VecDeque<Vec<u8>>,
    tx: Vec<Vec<u8>>,
}

struct Rx(Vec<u8>);
struct Tx<'a>(&'a mut Vec<Vec<u8>>);

impl RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push(frame);
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Rx, Tx<'_>)> {
        Some((Rx(self.rx.pop_front()?), Tx(&mut self.tx)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Tx<'_>> {
        Some(Tx(&mut self.tx))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        // With an Ethernet header.
        capabilities.max_transmission_unit = self.mtu as usize + 14;
        capabilities
    }
}

/// What a guest wants to do.
struct Transfer {
    to: Ipv4Address,
    sent: usize,
    got: usize,
}

/// A guest.
pub(crate) struct Guest {
    number: u8,
    pub nic: NicId,
    pub name: String,
    /// It is at the other end of the wire.
    pub is_external: bool,
    /// Its adapter is connected.
    pub is_connected: bool,
    pub inbox: VecDeque<Vec<u8>>,
    wire: Wire,
    stack: Interface,
    sockets: SocketSet<'static>,
    server: SocketHandle,
    client: SocketHandle,
    transfers: VecDeque<Transfer>,
    next_port: u16,
    due: Option<u64>,
}

fn address(n: u8) -> Ipv4Address {
    Ipv4Address::new(10, 0, 0, n)
}

fn mac_of(n: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, n]
}

fn socket() -> tcp::Socket<'static> {
    let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
    tcp::Socket::new(buffer(), buffer())
}

fn pattern(at: usize) -> u8 {
    (at % 251) as u8
}

impl Guest {
    /// Guest number `n` at `nic`, whose adapter takes packets of `mtu` bytes.
    pub fn new(n: u8, name: &str, nic: NicId, is_external: bool, mtu: u32) -> Guest {
        let mac = mac_of(n);
        let mut wire = Wire { mtu, ..Wire::default() };
        let mut config = Config::new(EthernetAddress(mac).into());
        config.random_seed = u64::from(n);
        let mut stack = Interface::new(config, &mut wire, Instant::ZERO);
        stack.update_ip_addrs(|list| {
            list.push(IpCidr::new(IpAddress::Ipv4(address(n)), 24)).expect("room for one address");
        });
        let mut sockets = SocketSet::new(Vec::new());
        let (server, client) = (sockets.add(socket()), sockets.add(socket()));
        Guest {
            number: n,
            nic,
            name: name.into(),
            is_external,
            is_connected: false,
            inbox: VecDeque::new(),
            wire,
            stack,
            sockets,
            server,
            client,
            transfers: VecDeque::new(),
            next_port: 40_000 + u16::from(n) * 100,
            due: Some(0),
        }
    }

    fn mac(&self) -> [u8; 6] {
        mac_of(self.number)
    }

    /// Starts anew: its connections are gone, and what it wanted it wants again.
    pub fn reboot(&mut self) {
        let transfers = std::mem::take(&mut self.transfers);
        let next_port = self.next_port;
        let new = Guest::new(self.number, &self.name, self.nic, self.is_external, self.wire.mtu);
        *self = Guest { transfers, next_port, ..new };
    }

    /// Wants `bytes` echoed by guest number `to`.
    pub fn transfer(&mut self, to: u8) {
        self.transfers.push_back(Transfer { to: address(to), sent: 0, got: 0 });
        self.due = Some(0);
    }

    /// What its connections are doing, for people.
    pub fn state(&self) -> String {
        let of = |h| {
            let s = self.sockets.get::<tcp::Socket>(h);
            format!("{} ({} to send, {} to read)", s.state(), s.send_queue(), s.recv_queue())
        };
        format!(
            "{}: server {}, client {}, transfers {:?}, connected {}, due {:?}, {} in the inbox",
            self.name,
            of(self.server),
            of(self.client),
            self.transfers.iter().map(|t| (t.sent, t.got)).collect::<Vec<_>>(),
            self.is_connected,
            self.due,
            self.inbox.len()
        )
    }

    /// Everything it wanted is done.
    pub fn is_content(&self) -> bool {
        self.transfers.is_empty()
    }

    pub fn is_due(&self, now: u64) -> bool {
        self.is_connected && (!self.inbox.is_empty() || self.due.is_some_and(|due| due <= now))
    }

    pub fn due_ns(&self) -> Option<u64> {
        self.due.filter(|_| self.is_connected)
    }

    /// Runs the stack; returns the frames that it sends and the bytes that came back whole.
    fn run(&mut self, now_ns: u64, size: usize) -> (Vec<Vec<u8>>, usize) {
        let now = Instant::from_micros((now_ns / 1000) as i64);
        self.wire.rx.append(&mut self.inbox);
        self.stack.poll(now, &mut self.wire, &mut self.sockets);
        self.serve();
        let done = self.talk(size);
        self.stack.poll(now, &mut self.wire, &mut self.sockets);
        let at = self.stack.poll_at(now, &self.sockets).map(|t| t.total_micros() as u64 * 1000);
        // A connection that was given up is tried again after a while.
        let again = (!self.transfers.is_empty()).then_some(now_ns + AGAIN_NS);
        self.due = at.into_iter().chain(again).min().map(|t| t.max(now_ns + 1000));
        (std::mem::take(&mut self.wire.tx), done)
    }

    fn serve(&mut self) {
        let server = self.sockets.get_mut::<tcp::Socket>(self.server);
        if !server.is_open() {
            // Whoever is gone without a word must not keep others out.
            server.set_timeout(Some(smoltcp::time::Duration::from_secs(8)));
            server.set_keep_alive(Some(smoltcp::time::Duration::from_secs(2)));
            server.listen(ECHO).expect("the port is not zero");
        }
        while server.can_recv() && server.can_send() {
            let room = server.send_capacity() - server.send_queue();
            let mut buffer = vec![0; room.min(2000)];
            let n = server.recv_slice(&mut buffer).unwrap_or(0);
            if n == 0 {
                break;
            }
            server.send_slice(&buffer[..n]).expect("there was room");
        }
        if !server.may_recv() && server.may_send() && server.send_queue() == 0 {
            server.close();
        }
    }

    /// Goes on with the first transfer; returns its bytes when it is whole.
    fn talk(&mut self, size: usize) -> usize {
        let Some(transfer) = self.transfers.front_mut() else { return 0 };
        let client = self.sockets.get_mut::<tcp::Socket>(self.client);
        if !client.is_open() {
            (transfer.sent, transfer.got) = (0, 0);
            self.next_port += 1;
            client.set_timeout(Some(smoltcp::time::Duration::from_secs(8)));
            client
                .connect(self.stack.context(), (transfer.to, ECHO), self.next_port)
                .expect("an address and a port");
            return 0;
        }
        while client.can_send() && transfer.sent < size {
            let n = (size - transfer.sent).min(1000);
            let part: Vec<u8> = (transfer.sent..transfer.sent + n).map(pattern).collect();
            let n = client.send_slice(&part).unwrap_or(0);
            if n == 0 {
                break;
            }
            transfer.sent += n;
        }
        while client.can_recv() {
            let mut buffer = [0; 2000];
            let n = client.recv_slice(&mut buffer).unwrap_or(0);
            let right = buffer[..n].iter().enumerate().all(|(i, b)| *b == pattern(transfer.got + i));
            rule(right, "bytes of a connection came back changed");
            transfer.got += n;
        }
        if transfer.got < size {
            return 0;
        }
        client.abort();
        self.transfers.pop_front();
        size
    }
}

/// Polls guest `n`, sometimes another with it, and gives what they send to the driver.
pub(crate) fn poll(n: usize) {
    let packets = with(|w| {
        let now = w.now_ns;
        let other = w.random.below(w.guests.len());
        let both = w.random.once_in(4) && other != n && w.guests.get(other).is_some_and(|g| g.is_due(now));
        let mut packets = send(w, n);
        if both {
            packets.extend(send(w, other));
        }
        packets
    });
    to_driver(&packets);
}

/// Runs a guest's stack.
fn send(w: &mut World, n: usize) -> Vec<(NicId, Frames, OutOfBand)> {
    let (now, size) = (w.now_ns, w.transfer_size);
    let mut random = Random::new(w.random.next());
    let Some(guest) = w.guests.get_mut(n) else { return Vec::new() };
    let (mut frames, done) = guest.run(now, size);
    let (nic, mac, external) = (guest.nic, guest.mac(), guest.is_external);
    if let Some(far) = w.far.as_mut().filter(|_| external) {
        frames = far.encapsulate(frames, &mut random);
    }
    let vlan = w.vlan.filter(|_| external).map_or(0, |id| u64::from(id) << 4);
    w.counts.tcp_bytes += done as u64;
    let packets = grouped(w, frames, external, &mut random).into_iter();
    let mut packets: Vec<_> = packets.map(|(frames, oob)| (nic, frames, OutOfBand { vlan, ..oob })).collect();
    if external && !packets.is_empty() {
        packets.extend(policies::astray(w, &mut random).into_iter().map(|(frames, oob)| (nic, frames, oob)));
    }
    if !external && !packets.is_empty() {
        let hostile = policies::hostile(w, nic, mac, &mut random);
        packets.extend(hostile.map(|(frames, oob)| (nic, frames, oob)));
    }
    packets
}

/// Frames as packets: some of one flow together, some with work left to hardware.
fn grouped(w: &World, frames: Vec<Vec<u8>>, external: bool, random: &mut Random) -> Vec<(Frames, OutOfBand)> {
    let mut packets: Vec<(Frames, OutOfBand)> = Vec::new();
    let most = match w.fail_one_in {
        _ if external || !random.once_in(2) => 1,
        0 => large_send::MOST,
        _ => large_send::MOST_WITHOUT_MEMORY,
    };
    for run in large_send::runs(frames, most) {
        let mut frame = match <[Vec<u8>; 1]>::try_from(run) {
            Ok([one]) => one,
            Err(run) => {
                let (frame, large_send) = large_send::merge(&run);
                packets.push((vec![frame], OutOfBand { large_send, ..OutOfBand::default() }));
                continue;
            }
        };
        let checksum = match transport(&frame) {
            Some(_) if external && random.once_in(2) => 1 << 3 | u64::from(is_ipv4(&frame)) << 5,
            Some(at) if !external && random.once_in(2) => leave_checksum(&mut frame, at),
            _ => 0,
        };
        let same = |other: &[Vec<u8>]| other.first().is_some_and(|f| flow_of(f) == flow_of(&frame));
        let unsafe_data = random.once_in(6);
        // What the switch forwards by itself goes to nobody here: the sender sends it again.
        let native = random.once_in(60);
        match packets.last_mut() {
            Some((group, oob))
                if oob.checksum == checksum
                    && oob.large_send == 0
                    && !native
                    && same(group)
                    && random.once_in(3) =>
            {
                group.push(frame)
            }
            _ => packets
                .push((vec![frame], OutOfBand { checksum, unsafe_data, native, ..OutOfBand::default() })),
        }
    }
    packets
}

/// The addresses and ports of a frame; of what is no IP, all of it.
fn flow_of(frame: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let what = match frame.get(12..14) {
        Some([0x08, 0x00]) => 26..38,
        Some([0x86, 0xdd]) => 22..58,
        _ => 0..frame.len(),
    };
    (frame.get(..14), frame.get(what).unwrap_or(frame))
}

/// Where the TCP header of a frame begins.
pub(crate) fn transport(frame: &[u8]) -> Option<usize> {
    match frame.get(12..14)? {
        [0x08, 0x00] => (*frame.get(23)? == 6).then(|| 14 + usize::from(frame[14] & 15) * 4),
        [0x86, 0xdd] => (*frame.get(20)? == 6).then_some(54),
        _ => None,
    }
}

/// The sum of the pseudo header of a TCP segment of `len` bytes.
pub(crate) fn addresses_sum(frame: &[u8], len: usize) -> u16 {
    let addresses = if is_ipv4(frame) { 26..34 } else { 22..54 };
    sum(&frame[addresses], 6 + len as u32)
}

pub(crate) fn is_ipv4(frame: &[u8]) -> bool {
    frame[12..14] == [8, 0]
}

pub(crate) fn sum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = start;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Leaves both checksums to hardware: the pseudo header's sum is in TCP's, nothing in IP's. Returns the request.
fn leave_checksum(frame: &mut [u8], at: usize) -> u64 {
    let ip_len = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let segment = ip_len - (at - 14);
    let pseudo = sum(&frame[26..34], 6 + segment as u32);
    frame[at + 16..at + 18].copy_from_slice(&pseudo.to_be_bytes());
    frame[24..26].copy_from_slice(&[0, 0]);
    1 | 1 << 2 | 1 << 4 | (at as u64) << 16
}

/// A frame as it arrives: with what hardware was to do done.
pub(crate) fn finished(frame: &[u8], checksum: u64, outside: bool) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if !outside && checksum & (1 << 2) != 0 {
        let at = (checksum >> 16 & 0x3ff) as usize;
        rule(transport(&frame) == Some(at), "a checksum is asked for where no TCP header is");
        let family = if is_ipv4(&frame) { 1 } else { 2 };
        rule(checksum & 3 == family, "a checksum is asked for of another family");
        let (from, length) = if is_ipv4(&frame) { (14, 16) } else { (54, 18) };
        let end = from + usize::from(u16::from_be_bytes([frame[length], frame[length + 1]]));
        let whole = !sum(&frame[at..end.min(frame.len())], 0);
        frame[at + 16..at + 18].copy_from_slice(&whole.to_be_bytes());
    }
    if !outside && checksum & (1 << 4) != 0 {
        frame[24..26].copy_from_slice(&[0, 0]);
        let end = 14 + usize::from(frame[14] & 15) * 4;
        let whole = !sum(&frame[14..end], 0);
        frame[24..26].copy_from_slice(&whole.to_be_bytes());
    }
    frame
}
