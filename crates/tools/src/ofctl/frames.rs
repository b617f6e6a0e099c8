//! Commands about frames that need no switch: frames from flows, flows from frames, VLAN matches in every version.
//!
//! Where it sits: tests of Open vSwitch make and read their packets with it.

use std::collections::HashMap;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use flow::{FlowKey, Match, extract, slot};
use openflow::msg::header;
use openflow::print::{self, Verbosity};
use openflow::text::exact;
use openflow::{FlowMod, Names, OfpPort, Version, matches};
use packet::PacketMeta;

use super::packets::hex_bytes;
use super::{Context, Fatal, exit, fatal, oxm_text, say};

/// The flow of a frame that came in nowhere.
fn flow_of(frame: &[u8]) -> FlowKey {
    let mut key = FlowKey::ZERO;
    extract(&PacketMeta::default(), frame, frame.len(), flow::DEFAULT_VLAN_LIMIT, &mut key);
    key.set(slot::in_port, OfpPort::NONE.0.into());
    key
}

/// compose-packet
pub async fn compose_packet(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    if cx.pcap && cx.bare {
        return Err(fatal("--bare and --pcap are mutually exclusive"));
    }
    let wanted = exact::parse(&args[0], &Names::none()).map_err(|e| fatal(e.to_string()))?;
    let payload = match args.get(1) {
        None => flow::usual_payload(&wanted).to_vec(),
        Some(text) => match hex_bytes(text) {
            (bytes, "") => bytes,
            _ => return Err(fatal(format!("{text}: trailing garbage in packet data"))),
        },
    };
    // What Open vSwitch gives no payload of its own gets none at all.
    let payload = if flow::usual_payload(&wanted).is_empty() { Vec::new() } else { payload };
    let mut frame = flow::compose(&wanted, &payload).ok_or_else(|| fatal("out of memory"))?;
    let got = flow_of(&frame);
    if cx.bad_csum {
        break_checksum(&mut frame);
    }
    if cx.pcap {
        write_pcap(&frame).map_err(|e| fatal(stream::error_text(&e)))?;
    } else if cx.bare {
        let hex: String = frame.iter().map(|b| format!("{b:02x}")).collect();
        say(&format!("{hex}\n"));
    } else {
        super::offline::say_hex(&frame);
    }
    let (wanted, got) = (print::flow(&wanted), print::flow(&got));
    if wanted != got {
        eprint!("specified and extracted flows differ:\nspecified: {wanted}\nextracted: {got}");
        return Err(exit(1));
    }
    Ok(())
}

/// Flips a bit of the IPv4 header's checksum, if there is one.
fn break_checksum(frame: &mut [u8]) {
    let mut key = FlowKey::ZERO;
    let layers = extract(&PacketMeta::default(), frame, frame.len(), flow::DEFAULT_VLAN_LIMIT, &mut key);
    if key.eth_type() == wire::eth::TYPE_IPV4
        && let Some(byte) = layers.l3.and_then(|at| frame.get_mut(usize::from(at) + 10))
    {
        *byte ^= 1;
    }
}

const PCAP_MAGIC: u32 = 0xa1b2_c3d4;
const PCAP_HEADER: usize = 24;

/// Writes a capture file with one frame to standard output.
fn write_pcap(frame: &[u8]) -> std::io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut out = Vec::new();
    out.extend(PCAP_MAGIC.to_le_bytes());
    out.extend([2, 0, 4, 0]);
    out.extend([0; 8]);
    out.extend(1518u32.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    out.extend((now.as_secs() as u32).to_le_bytes());
    out.extend(now.subsec_micros().to_le_bytes());
    out.extend((frame.len() as u32).to_le_bytes());
    out.extend((frame.len() as u32).to_le_bytes());
    out.extend(frame);
    std::io::stdout().write_all(&out)
}

/// The frames of a capture file.
fn read_pcap(file: &str) -> Result<Vec<Vec<u8>>, Fatal> {
    // The number of the error is the status, and -1 for an early end.
    let failed = |what: &str, status: i32| Fatal {
        status: status as u8,
        ..fatal(format!("{file}: open failed ({what})"))
    };
    let bytes = std::fs::read(file).map_err(|e| {
        let words = stream::error_text(&e);
        log::warn!(target: "pcap", "{file}: failed to open pcap file for reading ({words})");
        failed(&words, e.raw_os_error().unwrap_or(1))
    })?;
    let Some((head, mut rest)) = bytes.split_at_checked(PCAP_HEADER) else {
        log::warn!(target: "pcap", "failed to read pcap header: End of file");
        return Err(failed("End of file", -1));
    };
    let little = match head.first_chunk::<4>() {
        Some(magic) if u32::from_le_bytes(*magic) == PCAP_MAGIC => true,
        Some(magic) if u32::from_be_bytes(*magic) == PCAP_MAGIC => false,
        _ => {
            log::warn!(target: "pcap", "bad magic 0x{:08x} reading pcap file (expected 0xa1b2c3d4, 0xa1b23c4d, \
                0xd4c3b2a1, or 0x4d3cb2a1)", wire::bytes::u32_at(head, 0).unwrap_or(0).swap_bytes());
            return Err(failed("Protocol error", libc::EPROTO));
        }
    };
    let mut frames = Vec::new();
    while let Some((record, tail)) = rest.split_at_checked(16) {
        let len = wire::bytes::u32_at(record, 8).unwrap_or(0);
        let len = if little { len.swap_bytes() } else { len } as usize;
        let Some((frame, tail)) = tail.split_at_checked(len) else {
            return Err(fatal(format!("{file}: read failed (End of file)")));
        };
        frames.push(frame.to_vec());
        rest = tail;
    }
    Ok(frames)
}

/// parse-pcap
pub async fn parse_pcap(_: &Context, args: &[String]) -> Result<(), Fatal> {
    for file in args {
        for frame in read_pcap(file)? {
            say(&format!("{}\n", print::flow(&flow_of(&frame))));
        }
    }
    Ok(())
}

/// One direction of a TCP connection being put together again.
#[derive(Default)]
struct Tcp {
    next: u32,
    bytes: Vec<u8>,
}

const SYN: u16 = 2;

/// ofp-parse-pcap
pub async fn ofp_parse_pcap(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let ports: Vec<u16> = match &args[1..] {
        [] => vec![6653, 6633],
        some => some.iter().filter_map(|p| p.parse().ok()).collect(),
    };
    let mut streams: HashMap<(u32, u16, u32, u16), Tcp> = HashMap::new();
    for frame in read_pcap(&args[0]).map_err(|end| Fatal { status: 1, ..end })? {
        let key = flow_of(&frame);
        let (from, to) = (key.tp_src(), key.tp_dst());
        let is_tcp = key.eth_type() == wire::eth::TYPE_IPV4 && key.nw_proto() == 6;
        if !is_tcp || !ports.iter().any(|p| *p == from || *p == to) {
            continue;
        }
        let Some((sequence, payload)) = tcp_payload(&frame) else { continue };
        let id = (key.nw_src(), from, key.nw_dst(), to);
        if key.tcp_flags() & SYN != 0 {
            streams.insert(id, Tcp { next: sequence.wrapping_add(1), bytes: Vec::new() });
        } else if let Some(tcp) = streams.get_mut(&id) {
            if sequence == tcp.next {
                tcp.next = tcp.next.wrapping_add(payload.len() as u32);
                tcp.bytes.extend(payload);
            }
            say_messages(cx, id, tcp);
        }
    }
    Ok(())
}

/// The sequence number and what the segment carries.
fn tcp_payload(frame: &[u8]) -> Option<(u32, &[u8])> {
    let mut key = FlowKey::ZERO;
    let layers = extract(&PacketMeta::default(), frame, frame.len(), flow::DEFAULT_VLAN_LIMIT, &mut key);
    let segment = frame.get(usize::from(layers.l4?)..usize::from(layers.end).min(frame.len()))?;
    let header = usize::from(segment.get(12)? >> 4) * 4;
    Some((wire::bytes::u32_at(segment, 4)?, segment.get(header..)?))
}

fn say_messages(cx: &Context, id: (u32, u16, u32, u16), tcp: &mut Tcp) {
    let address = |a: u32, port: u16| format!("{}.{port}", std::net::Ipv4Addr::from(a));
    while let Some(len) = header::message_len(&tcp.bytes).map(|n| n.max(header::HEADER_LEN)) {
        if tcp.bytes.len() < len {
            return;
        }
        let message: Vec<u8> = tcp.bytes.drain(..len).collect();
        say(&format!("{} > {}:\n", address(id.0, id.1), address(id.2, id.3)));
        say(&print::message(&message, &Names::none(), Verbosity(cx.more + 1)));
    }
}

/// check-vlan
pub async fn check_vlan(_: &Context, args: &[String]) -> Result<(), Fatal> {
    let number = |text: &str| {
        let digits = text.trim_start_matches("0x");
        let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        u64::from_str_radix(&digits[..end], 16).unwrap_or(0) as u16
    };
    let mut m = matches::any();
    m.set_masked(slot::vlan_tci, number(&args[0]).into(), number(&args[1]).into());
    let shown = |m: &Match| {
        let mask = m.wc.get(slot::vlan_tci);
        format!("{:04x}/{mask:04x}", m.key.get(slot::vlan_tci) & mask)
    };
    say(&format!("{} -> {}\n", matches::format(&m, FlowMod::DEFAULT_PRIORITY, &Names::none()), shown(&m)));
    let mut nxm = Vec::new();
    let len = matches::encode_nxm(&m, matches::CookieMatch::default(), &mut nxm);
    nxm.truncate(len);
    let back = matches::decode_nxm(&nxm, matches::Strictness::Strict).map_err(|e| fatal(e.name()))?.0;
    say(&format!("NXM: {} -> {}\n", oxm_text::format(&nxm), shown(&back)));
    check_vlan_oxm(&m);
    let of10 = matches::encode_of10(&m);
    let wildcards = wire::bytes::u32_at(&of10, 0).unwrap_or(0);
    let bit = |bits: u32, n: u32| bits >> n & 1;
    say(&format!(
        "OF1.0: {:04x}/{},{:02x}/{} -> {}\n",
        wire::bytes::u16_at(&of10, 18).unwrap_or(0),
        bit(wildcards, 1),
        of10[20],
        bit(wildcards, 20),
        shown(&matches::decode_of10(&of10))
    ));
    let mut of11 = Vec::new();
    matches::encode(&m, Version::V11, &mut of11);
    let wildcards = wire::bytes::u32_at(&of11, 8).unwrap_or(0);
    let back =
        matches::decode(&of11, Version::V11, matches::Strictness::Strict).map_err(|e| fatal(e.name()))?.0;
    say(&format!(
        "OF1.1: {:04x}/{},{:02x}/{} -> {}\n",
        wire::bytes::u16_at(&of11, 36).unwrap_or(0),
        bit(wildcards, 1),
        of11.get(38).copied().unwrap_or(0),
        bit(wildcards, 2),
        shown(&back)
    ));
    Ok(())
}

/// OXM has the VLAN's number and its priority apart.
fn check_vlan_oxm(m: &Match) {
    let mut bytes = Vec::new();
    let len = matches::encode(m, Version::V12, &mut bytes);
    let text = oxm_text::format(bytes.get(4..len).unwrap_or_default());
    let back = match matches::decode(&bytes, Version::V12, matches::Strictness::Strict) {
        Ok((back, _)) => back,
        Err(e) => return say(&format!("OXM: {text} -> {}\n", e.name())),
    };
    let (tci, mask) = (back.key.get(slot::vlan_tci), back.wc.get(slot::vlan_tci));
    let has_priority = mask & 0xe000 != 0;
    // A priority alone says that there is a tag.
    let vid_mask = mask & 0x1fff;
    let priority = if has_priority { format!("{:02x}", tci >> 13 & 7) } else { "--".to_owned() };
    say(&format!("OXM: {text} -> {:04x}/{vid_mask:04x},{priority}\n", tci & vid_mask));
}
