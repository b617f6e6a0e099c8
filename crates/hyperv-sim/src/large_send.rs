//! Large sends: a guest's stack leaves segmentation to hardware, and hardware does it.
//!
//! Where it sits: merges what a guest sends; cuts what arrives. It shares no code with the driver.
//!
//! Spec: NDIS_TCP_LARGE_SEND_OFFLOAD_V2_…; the IP header's length and checksum are zero, and the TCP checksum is the pseudo
//! header's without a length, as Linux's driver for Hyper-V sends them.

use crate::guest::{addresses_sum, is_ipv4, sum, transport};
use crate::world::rule;

/// Segments of one large send at most; fewer where memory fails, for each piece may fail and some send has to get through.
pub(crate) const MOST: usize = 8;
pub(crate) const MOST_WITHOUT_MEMORY: usize = 2;
/// Bytes of one at most, before its segments' headers are merged into one: an IP packet has no more.
const LARGEST: usize = 60_000;
const V2: u64 = 1 << 30;
const FIN_PSH: u8 = 0x09;
const SYN_RST_URG: u8 = 0x26;
const FIN: u8 = 0x01;

/// Where the payload of a frame with plain headers begins.
fn payload(frame: &[u8]) -> Option<usize> {
    let at = transport(frame).filter(|at| *at == 34)? + 20;
    let plain = frame.get(46)? >> 4 == 5 && frame[47] & SYN_RST_URG == 0;
    let whole = 14 + usize::from(u16::from_be_bytes([frame[16], frame[17]])) == frame.len();
    (plain && whole && frame.len() > at).then_some(at)
}

fn sequence(frame: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([frame[at + 4], frame[at + 5], frame[at + 6], frame[at + 7]])
}

/// True if `next` goes on where `last` ends, and both may be one with `first`.
fn follows(first: &[u8], last: &[u8], next: &[u8]) -> bool {
    let (Some(at), Some(_), Some(_)) = (payload(first), payload(last), payload(next)) else { return false };
    let same = |range: std::ops::Range<usize>| first[range.clone()] == next[range];
    let (size, last_size) = (first.len() - at, last.len() - at);
    last_size == size
        && next.len() - at <= size
        && last[47] & FIN == 0
        && sequence(next, 34) == sequence(last, 34).wrapping_add(size as u32)
        && same(0..14)
        && same(26..38)
        && same(42..46)
        && same(48..50)
}

/// Frames, those together that are to be one large send of at most so many.
pub(crate) fn runs(frames: Vec<Vec<u8>>, most: usize) -> Vec<Vec<Vec<u8>>> {
    let mut runs: Vec<Vec<Vec<u8>>> = Vec::new();
    for frame in frames {
        match runs.last_mut() {
            Some(run)
                if run.len() < most
                    && run.iter().map(Vec::len).sum::<usize>() + frame.len() <= LARGEST
                    && follows(&run[0], &run[run.len() - 1], &frame) =>
            {
                run.push(frame);
            }
            _ => runs.push(vec![frame]),
        }
    }
    runs
}

/// One frame of a run, and its word.
pub(crate) fn merge(run: &[Vec<u8>]) -> (Vec<u8>, u64) {
    let (first, last) = (&run[0], &run[run.len() - 1]);
    let at = payload(first).expect("a run is of such frames");
    let mut frame = first[..at].to_vec();
    run.iter().for_each(|part| frame.extend_from_slice(&part[at..]));
    frame[47] = last[47];
    frame[16..18].copy_from_slice(&[0, 0]);
    frame[24..26].copy_from_slice(&[0, 0]);
    let pseudo = sum(&frame[26..34], 6);
    frame[50..52].copy_from_slice(&pseudo.to_be_bytes());
    (frame, (first.len() - at) as u64 | 34 << 20 | V2)
}

/// What hardware makes of a large send.
pub(crate) fn cut(frame: &[u8], word: u64) -> Vec<Vec<u8>> {
    let (size, at) = ((word & 0xf_ffff) as usize, (word >> 20 & 0x3ff) as usize);
    rule(word & V2 != 0 && size != 0, "a large send without a size");
    rule(transport(frame) == Some(at) && frame.len() > at + 20, "a large send where no TCP header is");
    rule((word >> 31 == 0) == is_ipv4(frame), "a large send of another family");
    let pseudo = addresses_sum(frame, 0).to_be_bytes();
    rule(
        frame[at + 16..at + 18] == pseudo,
        "a large send's checksum is not its pseudo header's, without a length",
    );
    let (headers, body) = frame.split_at(at + 20);
    let count = body.len().div_ceil(size);
    let part = |(n, part): (usize, &[u8])| {
        let mut f = [headers, part].concat();
        finish_network(&mut f, at, n as u16);
        let sequence = sequence(&f, at).wrapping_add((n * size) as u32);
        f[at + 4..at + 8].copy_from_slice(&sequence.to_be_bytes());
        if n + 1 != count {
            f[at + 13] &= !FIN_PSH;
        }
        f[at + 16..at + 18].copy_from_slice(&[0, 0]);
        let pseudo = addresses_sum(&f, f.len() - at);
        let tcp = !sum(&f[at..], u32::from(pseudo));
        f[at + 16..at + 18].copy_from_slice(&tcp.to_be_bytes());
        f
    };
    body.chunks(size).enumerate().map(part).collect()
}

/// Fills in part `n`'s IP header.
fn finish_network(f: &mut [u8], at: usize, n: u16) {
    if !is_ipv4(f) {
        let length = (f.len() - 54) as u16;
        return f[18..20].copy_from_slice(&length.to_be_bytes());
    }
    let (length, id) = (f.len() as u16 - 14, u16::from_be_bytes([f[18], f[19]]).wrapping_add(n));
    f[16..18].copy_from_slice(&length.to_be_bytes());
    f[18..20].copy_from_slice(&id.to_be_bytes());
    f[24..26].copy_from_slice(&[0, 0]);
    let ip = !sum(&f[14..at], 0);
    f[24..26].copy_from_slice(&ip.to_be_bytes());
}
