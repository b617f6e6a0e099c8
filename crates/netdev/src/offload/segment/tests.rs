//! Segments and completed checksums against a recomputation that shares no code with them.

use proptest::prelude::*;

use packet::{L4Checksum, Segmentation, SegmentationKind};
use wire::bytes;

use super::*;
use crate::offload::{TxCapabilities, complete_checksum, deliver};

/// One's complement sum by the definition of RFC 1071, a word at a time.
fn plain_sum(parts: &[&[u8]]) -> u16 {
    let all: Vec<u8> = parts.concat();
    let mut acc = 0u32;
    for pair in all.chunks(2) {
        acc += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        acc = (acc & 0xffff) + (acc >> 16);
    }
    acc as u16
}

#[derive(Clone, Debug)]
struct Case {
    tags: usize,
    v6: bool,
    tcp: bool,
    options: usize,
    flags: u8,
    seq: u32,
    id: u16,
    addrs: [u8; 32],
    payload: Vec<u8>,
    size: u16,
}

prop_compose! {
    fn case()(tags in 0usize..3, v6: bool, tcp: bool, options in 0usize..11, flags: u8, seq: u32, id: u16,
              addrs: [u8; 32], payload in prop::collection::vec(any::<u8>(), 0..6000), size in 1u16..2000) -> Case {
        // Keep the number of segments sane.
        let size = size.max(payload.len() as u16 / 64 + 1);
        Case { tags, v6, tcp, options, flags, seq, id, addrs, payload, size }
    }
}

impl Case {
    fn l4_start(&self) -> usize {
        14 + 4 * self.tags + if self.v6 { 40 } else { 20 }
    }

    fn l4_header(&self) -> Vec<u8> {
        if !self.tcp {
            return [&[0x12, 0x34, 0, 53][..], &(8 + self.payload.len() as u16).to_be_bytes(), &[0, 0]]
                .concat();
        }
        let mut h = vec![0u8; 20 + 4 * self.options];
        h[4..8].copy_from_slice(&self.seq.to_be_bytes());
        h[12] = (5 + self.options as u8) << 4;
        h[13] = self.flags;
        h
    }

    fn pseudo(&self, l4_len: usize) -> Vec<u8> {
        let proto = if self.tcp { 6 } else { 17 };
        let n = if self.v6 { 16 } else { 4 };
        let mut p = [&self.addrs[..n], &self.addrs[16..16 + n]].concat();
        p.extend((l4_len as u32).to_be_bytes());
        p.extend([0, 0, 0, proto]);
        p
    }

    /// The super-packet, its checksum partial.
    fn frame(&self) -> Frame {
        let mut f = vec![2; 12];
        for _ in 0..self.tags {
            f.extend([0x81, 0, 0, 5]);
        }
        let (l4, proto) = (self.l4_header(), if self.tcp { 6 } else { 17 });
        let l4_len = l4.len() + self.payload.len();
        if self.v6 {
            f.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            f.extend((l4_len as u16).to_be_bytes());
            f.extend([proto, 64]);
            f.extend(self.addrs);
        } else {
            f.extend([8, 0, 0x45, 0]);
            f.extend((20 + l4_len as u16).to_be_bytes());
            f.extend(self.id.to_be_bytes());
            f.extend([0x40, 0, 64, proto, 0, 0]);
            f.extend(&self.addrs[..4]);
            f.extend(&self.addrs[16..20]);
        }
        let start = f.len();
        assert_eq!(start, self.l4_start());
        f.extend(l4);
        f.extend(&self.payload);
        let offset = if self.tcp { 16 } else { 6 };
        let partial = plain_sum(&[&self.pseudo(l4_len)]);
        f[start + offset..start + offset + 2].copy_from_slice(&partial.to_be_bytes());
        let mut frame = Frame::try_from_frame(&f).unwrap();
        frame.offload_mut().l4 = L4Checksum::Partial { start: start as u16, offset: offset as u16 };
        frame
    }

    fn how(&self) -> Segmentation {
        let kind = match (self.tcp, self.v6) {
            (false, _) => SegmentationKind::Udp,
            (true, false) => SegmentationKind::TcpV4,
            (true, true) => SegmentationKind::TcpV6,
        };
        Segmentation { kind, size: self.size, ecn: false }
    }

    fn assert_checksums(&self, f: &[u8]) {
        let l4 = &f[self.l4_start()..];
        assert_eq!(plain_sum(&[&self.pseudo(l4.len()), l4]), 0xffff, "transport checksum");
        if !self.v6 {
            let l3 = 14 + 4 * self.tags;
            assert_eq!(plain_sum(&[&f[l3..l3 + 20]]), 0xffff, "header checksum");
        }
    }
}

proptest! {
    #[test]
    fn a_completed_checksum_is_right(c in case()) {
        let mut f = c.frame();
        complete_checksum(&mut f);
        prop_assert_eq!(f.offload().l4, L4Checksum::Good);
        let l4 = &f.frame()[c.l4_start()..];
        prop_assert_eq!(plain_sum(&[&c.pseudo(l4.len()), l4]), 0xffff);
        // A UDP checksum of zero would say that there is none.
        prop_assert!(c.tcp || l4[6..8] != [0, 0]);
    }

    #[test]
    fn segments_carry_the_payload_and_right_headers(c in case()) {
        let (mut f, mut pool, mut out) = (c.frame(), BufferPool::new(), vec![]);
        f.offload_mut().segment = Some(c.how());
        deliver(f, TxCapabilities::default(), &mut pool, |s, _| out.push(s)).unwrap();
        let l4 = c.l4_start();
        let header = c.l4_header().len();
        let mut payload = vec![];
        for (i, s) in out.iter().enumerate() {
            let (s, last) = (s.frame(), i + 1 == out.len());
            c.assert_checksums(s);
            let len = (s.len() - l4) as u16;
            if c.v6 {
                prop_assert_eq!(&s[l4 - 36..l4 - 34], &len.to_be_bytes());
            } else {
                prop_assert_eq!(&s[l4 - 18..l4 - 16], &(len + 20).to_be_bytes());
                prop_assert_eq!(&s[l4 - 16..l4 - 14], &c.id.wrapping_add(i as u16).to_be_bytes());
            }
            if c.tcp {
                let seq = c.seq.wrapping_add(payload.len() as u32);
                prop_assert_eq!(&s[l4 + 4..l4 + 8], &seq.to_be_bytes());
                let gone = if last { 0 } else { 0x09 } | if i == 0 { 0 } else { 0x80 };
                prop_assert_eq!(s[l4 + 13], c.flags & !gone);
            } else {
                prop_assert_eq!(&s[l4 + 4..l4 + 6], &len.to_be_bytes());
            }
            let body = &s[l4 + header..];
            prop_assert!(last || body.len() == usize::from(c.size));
            prop_assert!(body.len() <= usize::from(c.size));
            payload.extend_from_slice(body);
        }
        prop_assert_eq!(payload, c.payload);
    }

    #[test]
    fn what_the_device_can_do_is_left_to_it(c in case()) {
        let (mut f, mut pool, mut out) = (c.frame(), BufferPool::new(), vec![]);
        f.offload_mut().segment = Some(c.how());
        let can = TxCapabilities { checksum: true, tso: true, uso: true };
        deliver(f.clone(), can, &mut pool, |s, _| out.push(s)).unwrap();
        prop_assert_eq!(out, vec![f]);
    }

    #[test]
    fn any_bytes_are_cut_up_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 12usize..22,
                                       kind in 0usize..3, size: u16, start: u16, offset: u16) {
        let mut bytes = bytes;
        if let Some(two) = bytes.get_mut(at..at + 3) {
            two.copy_from_slice(if kind == 1 { &[0x86, 0xdd, 0x60] } else { &[8, 0, 0x45] });
        }
        let mut f = Frame::try_from_frame(&bytes).unwrap();
        f.offload_mut().l4 = L4Checksum::Partial { start, offset };
        let kind = [SegmentationKind::TcpV4, SegmentationKind::TcpV6, SegmentationKind::Udp][kind];
        f.offload_mut().segment = Some(Segmentation { kind, size, ecn: true });
        let mut got = 0;
        let result = deliver(f.clone(), TxCapabilities::default(), &mut BufferPool::new(), |_, _| got += 1);
        prop_assert!(result.is_ok() == (got > 0));
        complete_checksum(&mut f);
        prop_assert!(f.len() == bytes.len());
    }
}

#[test]
fn each_segment_of_a_tunnelled_super_packet_has_whole_outer_headers() {
    use packet::TunnelKey;
    let inner = Case {
        tags: 0,
        v6: false,
        tcp: true,
        options: 0,
        flags: 0x18,
        seq: 7,
        id: 1,
        addrs: [9; 32],
        payload: vec![5; 3000],
        size: 1000,
    };
    let outer = tunnel::Outer {
        eth_src: wire::EthAddr([2; 6]),
        eth_dst: wire::EthAddr([4; 6]),
        src: 1,
        dst: 2,
        is_ipv6: false,
    };
    let key = TunnelKey { id: 3, ttl: 64, flags: TunnelKey::KEY | TunnelKey::CSUM, ..TunnelKey::default() };
    let shape = tunnel::Shape { dst_port: 4789, ..tunnel::Shape::default() };
    let header = tunnel::build(odp::TunnelKind::Vxlan, &outer, &key, &shape).unwrap();
    let mut pool = BufferPool::new();
    let mut f = pool.copy_of(inner.frame().frame()).unwrap();
    f.offload_mut().segment = Some(inner.how());
    tunnel::push(&mut f, header.bytes(), 40000).unwrap();
    let mut out = Vec::new();
    let can = TxCapabilities { checksum: true, tso: true, uso: true };
    deliver(f, can, &mut pool, |f, _| out.push(f.frame().to_vec())).unwrap();
    assert_eq!(out.len(), 3);
    for s in &out {
        let popped = tunnel::pop(odp::TunnelKind::Vxlan, s).unwrap();
        assert_eq!((popped.key.id, popped.key.tp_src, popped.len), (3, 40000, 50));
        assert_eq!(usize::from(bytes::u16_at(s, 16).unwrap()), s.len() - 14);
        let udp = &s[34..];
        let pseudo = [&s[26..34], &[0, 17][..], &(udp.len() as u16).to_be_bytes()].concat();
        assert_eq!(plain_sum(&[&pseudo, udp]), 0xffff);
        let tcp = &s[50 + 34..];
        let pseudo = [&s[50 + 26..50 + 34], &[0, 6][..], &(tcp.len() as u16).to_be_bytes()].concat();
        assert_eq!(plain_sum(&[&pseudo, tcp]), 0xffff);
    }
}
