//! Packets as text: one line a test can be read by, with lengths and checksums computed.
//!
//! Where it sits: tests call [`packet`]. It shares no code with the crates under test.
//!
//! ~~~text
//! eth SRC > DST [type N]            vlan VID [pcp N] [dei] [tpid N]     pad LEN (to at least LEN bytes)
//! arp request|reply SHA SPA > THA TPA
//! ip SRC > DST [ttl N] [tos N] [id N] [df] [mf] [off N] [proto N] [options HEX]
//! ip6 SRC > DST [hlim N] [tclass N] [label N] [next N]
//! hopopts [len N] | dstopts [len N] | routing | frag [id N] [off N] [mf]      (IPv6 extension headers)
//! tcp SPORT > DPORT [FSRPAUEC] [seq N] [ack N] [win N] [options HEX]          udp SPORT > DPORT     sctp SPORT > DPORT
//! icmp echo|reply [id N] [seq N]    icmp type N code N     icmp6 echo|reply|type … likewise
//! mpls LABEL [tc N] [ttl N]         nsh [spi N] [si N] [ttl N] [c1 N] … [c4 N] [md2]
//! vxlan VNI [flags N]               geneve VNI [options HEX]            gre [key N] [seq N]
//! ns TARGET [sll MAC] | na TARGET [tll MAC] [rso N]        hex DIGITS…        "text"        count LEN [from N] (bytes that count)
//! ~~~
//!
//! Layers are joined by `/`. Types and protocol numbers follow from the next layer unless given. A trailing `badsum` on
//! a layer spoils its checksum, `nosum` leaves it zero. Offsets of fragments are in bytes.
//!
//! Spec: RFC 791, 8200, 826, 9293, 768, 9260, 792, 4443, 4861, 1071; IEEE 802.1Q.

mod layer;
mod words;

use layer::Layer;
use words::Words;

/// The bytes of a packet written as text.
///
/// # Panics
/// On a mistake in the text: it is the test that is wrong.
#[track_caller]
pub fn packet(text: &str) -> Vec<u8> {
    match build(text) {
        Ok(bytes) => bytes,
        Err(why) => panic!("{why}\n  in packet: {text}"),
    }
}

fn build(text: &str) -> Result<Vec<u8>, String> {
    let mut pad = 0;
    let mut layers = Vec::new();
    for part in split_layers(text) {
        let mut words = Words::new(&part);
        match words.peek() {
            Some("pad") => {
                words.next()?;
                pad = words.number("pad")? as usize;
            }
            _ => layers.push(Layer::parse(&mut words)?),
        }
        words.end()?;
    }
    // from the inside out: every layer needs the bytes, and the number, of what it carries
    let mut bytes = Vec::new();
    for index in (0..layers.len()).rev() {
        let (outer, rest) = layers.split_at(index);
        let (this, inner) = rest.split_first().ok_or("no layers")?;
        bytes = this.wrap(&bytes, inner.first(), outer);
    }
    if bytes.len() < pad {
        bytes.resize(pad, 0);
    }
    Ok(bytes)
}

/// Splits at ` / ` outside quotes.
fn split_layers(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        quoted ^= c == '"';
        if c == '/' && !quoted {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
}

/// The Internet checksum (RFC 1071) over `parts`, each of even length but the last.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::from_hex;

    #[test]
    fn known_bytes() {
        // an ICMP echo request as a Linux host sends it, checksums verified by hand
        let bytes = packet(
            "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip 10.0.0.1 > 10.0.0.2 ttl 64 id 1 df / icmp echo id 1 seq 1 / hex 0000",
        );
        let want = "020000000002020000000001 0800 4500001e 00014000 4001 26dc 0a000001 0a000002 0800 f7fd 00010001 0000";
        assert_eq!(crate::to_hex(&bytes), crate::to_hex(&from_hex(want)));
    }

    #[test]
    fn checksums_verify() {
        let eth = "eth 02:00:00:00:00:01 > 02:00:00:00:00:02";
        for transport in
            ["tcp 1000 > 80 SA seq 1 ack 2 / \"hello\"", "udp 5 > 53 / \"odd\"", "icmp6 echo id 7 / \"x\""]
        {
            let bytes = packet(&format!("{eth} / ip6 fe80::1 > fe80::2 / {transport}"));
            let (header, payload) = (&bytes[14..54], &bytes[54..]);
            let length = (payload.len() as u32).to_be_bytes();
            let sum = checksum(&[&header[8..40], &length, &[0, 0, 0, header[6]], payload]);
            assert_eq!(sum, 0, "{transport}");
        }
        let bytes = packet(&format!("{eth} / ip 1.2.3.4 > 5.6.7.8 options 01010101 / tcp 1 > 2 S"));
        assert_eq!(checksum(&[&bytes[14..38]]), 0);
        assert_eq!(checksum(&[&bytes[26..34], &[0, 6, 0, 20], &bytes[38..]]), 0);
        let spoiled = packet(&format!("{eth} / ip 1.2.3.4 > 5.6.7.8 / tcp 1 > 2 S badsum"));
        assert_ne!(checksum(&[&spoiled[26..34], &[0, 6, 0, 20], &spoiled[34..]]), 0);
    }

    #[test]
    fn types_follow_the_next_layer() {
        let bytes = packet(
            "eth 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff / vlan 10 pcp 3 / arp request 02:00:00:00:00:01 10.0.0.1 > 00:00:00:00:00:00 10.0.0.2 / pad 64",
        );
        assert_eq!(bytes.len(), 64);
        assert_eq!(bytes[12..18], from_hex("8100 600a 0806")[..]);
        let chain = packet(
            "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip6 ::1 > ::2 / hopopts / frag id 5 off 8 mf / udp 1 > 2",
        );
        assert_eq!((chain[20], chain[54], chain[62]), (0, 44, 17));
        assert_eq!(chain[62..70], from_hex("11 00 0009 00000005")[..]);
    }

    #[test]
    fn shims_and_tunnels() {
        let eth = "eth 02:00:00:00:00:01 > 02:00:00:00:00:02";
        let bytes = packet(&format!("{eth} / mpls 5 tc 1 / mpls 6 ttl 9 / ip 1.1.1.1 > 2.2.2.2"));
        assert_eq!(bytes[12..23], from_hex("8847 00005240 00006109 45")[..]);
        let bytes = packet(&format!("{eth} / nsh spi 0x123456 si 7 c2 9 / {eth} type 5"));
        assert_eq!(bytes[12..22], from_hex("894f 0fc6 01 03 123456 07")[..]);
        assert_eq!((bytes[29], bytes.len()), (9, 14 + 24 + 14));
        let vxlan = packet(&format!(
            "{eth} / ip 1.1.1.1 > 2.2.2.2 / udp 1 > 4789 nosum / vxlan 7 / {eth} / udp 1 > 2"
        ));
        assert_eq!(vxlan[34..50], from_hex("000112b5 0026 0000 08000000 00000700")[..]);
        let gre = packet(&format!("{eth} / ip 1.1.1.1 > 2.2.2.2 / gre key 5 / {eth}"));
        assert_eq!((gre[23], &gre[34..42]), (47, &from_hex("2000655800000005")[..]));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(build("eth x > y"), Err("\"x\" is no MAC address".into()));
        assert_eq!(build("ip 1.2.3.4 > 5.6.7.8 ttl 64 color 5"), Err("unexpected \"color\"".into()));
        assert_eq!(build("token ring"), Err("no layer is called \"token\"".into()));
    }
}
