//! STT as the other hypervisor speaks it. It shares no code with the driver.
//!
//! Where it sits: between the guest at the wire and the wire, where the tunnel is STT's.
//!
//! Its network is as bad as a network may be: parts of frames come in any order, twice, or not at all. What is left to the
//! receiver's hardware is said as often as it can be.
//!
//! Spec: draft-davie-stt-08 sections 3 and 4.

use std::collections::BTreeMap;

use crate::guest::{addresses_sum, finished, sum, transport};
use crate::large_send;
use crate::world::{Random, rule};

/// TCP port of both ends.
pub(crate) const PORT: u16 = 7471;
const HEADER: usize = 18;
const TCP_HEADER: usize = 20;
/// Bytes of an IP packet.
const MTU: usize = 1500;

const VERIFIED: u8 = 1;
const PARTIAL: u8 = 2;
const TCP_OVER_IPV4: u8 = 4 | 8;

/// What comes in parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stt {
    sent: u32,
    /// Large sends that came whole.
    pub large: u64,
    partial: BTreeMap<(u32, u16), Part>,
}

#[derive(Clone, Debug)]
struct Part {
    bytes: Vec<u8>,
    has: Vec<bool>,
}

/// The frame with STT's header, of a run of frames that may be one large send.
fn framed(run: &[Vec<u8>], key: u64, random: &mut Random) -> Vec<u8> {
    let mut frame = run[0].clone();
    let (mut flags, mut at, mut size) = (0, 0, 0u16);
    if run.len() > 1 {
        let (merged, word) = large_send::merge(run);
        frame = merged;
        size = word as u16;
        let length = frame.len() as u16 - 14;
        frame[16..18].copy_from_slice(&length.to_be_bytes());
        let ip = !sum(&frame[14..34], 0);
        frame[24..26].copy_from_slice(&ip.to_be_bytes());
    }
    if let Some(tcp) = transport(&frame) {
        if size != 0 || random.once_in(2) {
            (flags, at) = (PARTIAL | TCP_OVER_IPV4, tcp as u8);
            let end = 14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]));
            let pseudo = sum(&frame[26..34], 6 + (end - tcp) as u32);
            frame[tcp + 16..tcp + 18].copy_from_slice(&pseudo.to_be_bytes());
        } else if random.once_in(2) {
            flags = VERIFIED;
        }
    }
    let mut whole = vec![0, flags, at, 0];
    whole.extend(size.to_be_bytes());
    whole.extend([0, 0]);
    whole.extend(key.to_be_bytes());
    whole.extend([0, 0]);
    whole.extend(frame);
    whole
}

impl Stt {
    /// Parts of frames as they come, each behind `ip`: Ethernet's and IP's header of TCP, whose lengths and checksums are
    /// not there yet.
    pub fn encapsulate(
        &mut self,
        ip: &[u8],
        frames: Vec<Vec<u8>>,
        key: u64,
        random: &mut Random,
    ) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        let most = if random.once_in(2) { large_send::MOST } else { 1 };
        for run in large_send::runs(frames, most) {
            let whole = framed(&run, key, random);
            self.sent = self.sent.wrapping_add(1);
            let room = MTU - (ip.len() - 14) - TCP_HEADER;
            for (n, bytes) in whole.chunks(room).enumerate() {
                let mut f = ip.to_vec();
                f.extend((50_000 + (self.sent & 0xff) as u16).to_be_bytes());
                f.extend(PORT.to_be_bytes());
                f.extend((whole.len() as u16).to_be_bytes());
                f.extend(((n * room) as u16).to_be_bytes());
                f.extend(self.sent.to_be_bytes());
                f.extend([0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
                f.extend(bytes);
                parts.push(completed(f, ip.len()));
            }
        }
        parts.retain(|_| !random.once_in(100));
        for n in 0..parts.len() {
            if random.once_in(10) {
                let other = random.below(parts.len());
                parts.swap(n, other);
            }
            if random.once_in(50) {
                parts.push(parts[n].clone());
            }
        }
        parts
    }

    /// What a whole frame of them brings, cut as hardware would; nothing while parts are missing. `at` is where the header
    /// of TCP is.
    pub fn decapsulate(&mut self, frame: &[u8], at: usize, key: u64) -> Vec<Vec<u8>> {
        let end = 14 + ip_len(frame);
        rule(frame.len() >= end && end > at + TCP_HEADER, "a part of a frame without bytes");
        let sum_of = addresses_sum(frame, end - at);
        rule(sum(&frame[at..end], u32::from(sum_of)) == 0xffff, "a part of a frame has a wrong checksum");
        let word = |n: usize| u16::from_be_bytes([frame[n], frame[n + 1]]);
        let (total, offset) = (word(at + 4), usize::from(word(at + 6)));
        let id = u32::from(word(at + 8)) << 16 | u32::from(word(at + 10));
        rule(word(at + 12) >> 12 == 5, "a part of a frame has options");
        let bytes = &frame[at + TCP_HEADER..end];
        let size = usize::from(total);
        rule(offset + bytes.len() <= size, "a part of a frame ends behind it");
        let fresh = || Part { bytes: vec![0; size], has: vec![false; size] };
        let part = self.partial.entry((id, total)).or_insert_with(fresh);
        part.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
        part.has[offset..offset + bytes.len()].fill(true);
        if part.has.contains(&false) {
            return Vec::new();
        }
        let whole = self.partial.remove(&(id, total)).expect("it is there").bytes;
        self.large += u64::from(whole[4..6] != [0, 0]);
        unframed(&whole, key)
    }
}

fn unframed(whole: &[u8], key: u64) -> Vec<Vec<u8>> {
    rule(whole.len() > HEADER + 14, "a frame of STT's without a frame");
    let (header, frame) = whole.split_at(HEADER);
    let size = u64::from(header[4]) << 8 | u64::from(header[5]);
    rule(header[0] == 0 && header[6..8] == [0, 0], "a frame of STT's of another version, or with a tag");
    rule(header[8..16] == key.to_be_bytes(), "a frame of another tunnel comes to its end");
    let ipv4 = frame[12..14] == [8, 0];
    rule(!ipv4 || sum(&frame[14..34], 0) == 0xffff, "a frame in a tunnel lacks IP's checksum");
    if header[1] & PARTIAL == 0 {
        rule(size == 0, "a large send in a tunnel says nothing of its checksum");
        return vec![frame.to_vec()];
    }
    let at = usize::from(header[2]);
    rule(header[1] & TCP_OVER_IPV4 == TCP_OVER_IPV4, "a checksum is left of something else than TCP");
    rule(transport(frame) == Some(at), "a checksum is left where no TCP header is");
    let pseudo = addresses_sum(frame, 14 + ip_len(frame) - at);
    rule(frame[at + 16..at + 18] == pseudo.to_be_bytes(), "a partial checksum is not the pseudo header's");
    if size == 0 {
        return vec![finished(frame, 1 | 1 << 2 | (at as u64) << 16, false)];
    }
    let mut frame = frame.to_vec();
    // As hardware that cuts wants it.
    let pseudo = addresses_sum(&frame, 0);
    frame[at + 16..at + 18].copy_from_slice(&pseudo.to_be_bytes());
    large_send::cut(&frame, size | (at as u64) << 20 | 1 << 30)
}

/// Bytes behind Ethernet's header, as IP's says.
fn ip_len(frame: &[u8]) -> usize {
    let word = |n: usize| usize::from(u16::from_be_bytes([frame[n], frame[n + 1]]));
    if frame[12..14] == [8, 0] { word(16) } else { 40 + word(18) }
}

/// The frame with lengths and checksums.
fn completed(mut frame: Vec<u8>, at: usize) -> Vec<u8> {
    let len = frame.len();
    if frame[12..14] == [8, 0] {
        frame[16..18].copy_from_slice(&(len as u16 - 14).to_be_bytes());
        frame[24..26].copy_from_slice(&[0, 0]);
        let ip = !sum(&frame[14..34], 0);
        frame[24..26].copy_from_slice(&ip.to_be_bytes());
    } else {
        frame[18..20].copy_from_slice(&((len - 54) as u16).to_be_bytes());
    }
    let pseudo = addresses_sum(&frame, len - at);
    let tcp = !sum(&frame[at..], u32::from(pseudo));
    frame[at + 16..at + 18].copy_from_slice(&tcp.to_be_bytes());
    frame
}
