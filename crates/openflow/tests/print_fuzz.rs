//! Thousands of messages of every kind and version, whole and broken: printed by us and by C, the same text.
//!
//! Where it sits: `print_as_c.rs` shows that what we say is understood; this shows that what anybody says is.
//!
//! C prints a whole file of messages in one process. A BARRIER_REQUEST with a number of its own stands between any two
//! messages, so that a difference is found in the message that it is about.

use std::fmt::Write as _;

use openflow::Names;
use openflow::msg::header;
use openflow::msg::raw::RAWS;
use openflow::print::{self, Verbosity};

/// A generator that gives the same numbers in every run of a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// Bytes as messages have them: mostly zeros and small numbers.
    fn byte(&mut self) -> u8 {
        match self.below(10) {
            0..=4 => 0,
            5..=6 => self.below(9) as u8,
            7 => 0xff,
            _ => self.next() as u8,
        }
    }
}

/// Real messages, as a start for changes: one of each form whose inside matters.
const SEEDS: &[&str] = &[
    // groups: 1.3, 1.5 with properties, descriptions, statistics
    "040f005000000002000001000000000500200064ffffffffffffffff000000000000001000000001ffff000000000000002000c8ffffffffffffffff000000000000001000000002ffff000000000000",
    "060f00780000000200000100000000090020000 0ffffffff0020001000000000000000100000 0001ffff0000000000000000000 8000a0000ffff00340000154d0000000100000000686173680000000000000000000000000000000000000000 80001604ffffffff80001a02ffff000000000000",
    "06130048000000020007000000000000003801000000000500280000000000000020001000000000000000100000 0001ffff00000000000000000008000a0000",
    "0413003800000002000700000000000000280100000000050020006 4ffffffffffffffff000000000000001000000001ffff000000000000",
    "04130048000000020006000000000000003800000000000100000002000000000000000000000003000000000000000 40000000a1dcd650000000000000000050000000000000006",
    // meters
    "041d00300000000200000006000000050001001000000064000000140000000000020010000000050000000601000000",
    "0413002800000002000a0000000000000018000d0000000500010010000000640000001400000000",
    "04130048000000020009000000000000000000050038000000000000000000030000000000000064000000000000 00c800000007004c4b4000000000000000040000000000000005",
    // queues
    "01150030000000020001000000000000000000560028000000010010000000000 1f400000000000000020010000000 0003e9000000000000",
    "051300300000000200 0f000000000000000000010000000200200000000000000001000800640000000200080 3e80000",
    "061300400000000200050000000000000030000000000000000000010000000200000000000000030000000000000004000000000000000500000006 29b92700",
    // tables
    "05110020000000020200000000000 00c00020008000000020003000814500000",
    "051300280000000 2000e0000000000000018010000000 00c00020008000000050003000814503200",
    "051f002000000002030000000000000000100100000000080003000814503200",
    // flow monitors
    "0111004000000002ffff0000000023200000000200000000002800010002800000010002000603000000000000000077000000020001000000000008 00010000",
    "051300300000000200100000000000000020000202030001000280000000000000000000000000050001000400000000",
    "05120030000000020010000000000000000000090000000300000007001202000001000c80000004 0000000100000000",
    // TLV, IPFIX, ct flush
    "01040028000000020000232000000018000 0000000000000ffff00040000000000000108003f0000",
    "0104006800000002000023200000002 00600000000000000000000480000000000000014000000000000000000 00ffff01020304000000000001001400000000000000000000ffff0506070800000000000200080050000000030008005a00000002000800050000",
    // flows: 1.0, NXM, 1.3 with actions of several kinds, 1.5
    "010e0050000000020038 20ff000000000000000000000000ffff00000800000000000a0000010a0000020000000000000000000000000000000000058000ffffffffffff00000000000800010000",
    "010400600000000200002320000000 0d0000000000000077000000050006 8000ffffffffffff0000000c000000000000000000020001000006020800 00000000ffff0010000023200001fff800000000ffff0010000023200012000000000000",
    "040e0090000000020000000000000005000000000000000003000000000080 00ffffffffffffffffffffffff00010000000100168000000400000001800 00a020800800014010600000400500000000000 000001000000 0002ffff00000000000000190010800 00c04000000070000000000000001000 8050000000000001800000000 0a0b0c0d0e0f0a0b0c0d0e0f0a0b0c0d",
    "0413006800000002000100000000000000580300000000050 7270e000005000 3000900010000000000000000000000770000000000000 00a00000000000003e80001000c800000040000000100000000000400180000000 00000001000000002ffff000000000000",
    "0612003800000002000100000000000003000000ffffffffffffffff0000000000000000000000000000000000000000000100040000000 0",
    // ports
    "0513005800000002000d0000000000000000000300480000505400000001000065746830000000000000000000000000 00000021000000010000002000000000 00000820000000400000002000000000000f424000989680",
    "01060050000000020000505400000001 00000000fe000000000000c700000fff fffe50540000000562723000000000000000000000000000000000010000000100000000000000000000000000000000",
    // packets
    "010a003c00000002ffffffff002a00010000505400000001505400000002080600010800060400015054000000020a0000010000000000000a000002",
    "0104006800000002000023200000001e0000002e50540000000550540000000708004500001c000000004011 66ce0a0000010a000002000100020008000000000003000504000000000400100000000000000000000000770005000501000000 0006000a000000020001",
    "060d005000000002ffffffff00100000 0001000c8000000400000003000000000000001000000 001ffff00000000000050540000000550540000000788471234567890123456789012345678901234567890",
    // roles, bundles, asynchronous messages
    "051c001800000002000000080000000300010008 00000007",
    "0522001800000002000000050000000305100018 00000002 00000001 00000000 0000 0000 00000000",
    "05200018000000020 51d001000000002000200000000 0005",
];

fn seeds() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = SEEDS.iter().map(|s| testkit::from_hex(&s.replace(' ', ""))).collect();
    all.iter_mut().for_each(|bytes| set_len(bytes));
    all
}

fn set_len(bytes: &mut [u8]) {
    let len = (bytes.len() as u16).to_be_bytes();
    bytes[2..4].copy_from_slice(&len);
}

/// A message of a random row with a plausible body.
fn of_row(random: &mut Random) -> Vec<u8> {
    let def = &RAWS[random.below(RAWS.len())];
    let versions = def.first.max(1)..=def.last.min(6);
    let version = def.first.max(1) + random.below(versions.count()) as u8;
    let mut out = Vec::new();
    let at = header::start(&mut out, def.raw, version, 1);
    let extra = match random.below(4) {
        0 => 0,
        _ => random.below(12) * 8,
    };
    for _ in 0..def.min_body + extra {
        out.push(random.byte());
    }
    header::finish(&mut out, at);
    out
}

/// A seed with a few bytes changed, sometimes longer, shorter or of another version.
fn of_seed(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut out = seeds[random.below(seeds.len())].clone();
    for _ in 0..random.below(4) {
        let at = 8 + random.below(out.len() - 8);
        out[at] = match random.below(4) {
            0 => out[at] ^ 1 << random.below(8),
            1 => out[at].wrapping_add(8),
            _ => random.byte(),
        };
    }
    match random.below(12) {
        0 => out.truncate((out.len() - 8 * random.below(3)).max(8)),
        1 => out.extend([0; 8]),
        2 => out[0] = 1 + random.below(6) as u8,
        _ => {}
    }
    set_len(&mut out);
    out
}

fn marker(n: usize) -> [u8; 8] {
    let xid = (0x7000_0000 + n as u32).to_be_bytes();
    [1, 18, 0, 8, xid[0], xid[1], xid[2], xid[3]]
}

/// What C says of each message.
fn c_texts(suite: &testkit::Suite, messages: &[Vec<u8>]) -> Vec<String> {
    let mut file = Vec::new();
    for (n, message) in messages.iter().enumerate() {
        file.extend(message);
        file.extend(marker(n));
    }
    let dir = testkit::Scratch::new();
    let path = dir.join("messages");
    std::fs::write(&path, file).unwrap();
    let run = suite.command("ovs-ofctl").arg("ofp-parse").arg(&path).output().unwrap();
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let mut rest = &text[..];
    let mut texts = Vec::new();
    for (n, message) in messages.iter().enumerate() {
        let mut line = String::new();
        let _ = writeln!(line, "OFPT_BARRIER_REQUEST (xid={:#x}):", 0x7000_0000 + n);
        let at = rest.find(&line).unwrap_or_else(|| panic!("C stopped at {}", testkit::to_hex(message)));
        texts.push(rest[..at].to_owned());
        rest = &rest[at + line.len()..];
    }
    texts
}

/// What 3.7 says otherwise than the 3.1 that is compared with: fields, a TLV and properties that are new.
fn changed_since(ours: &str, theirs: &str) -> bool {
    let new_words = ["reg16", "xreg8", "xxreg4", "mark=", "labels="];
    let unknown_property = ours.contains("NXT_CT_FLUSH") && ours.contains("OFPBPC_BAD_TYPE");
    let unknown_property =
        unknown_property || ours.contains("NXT_CT_FLUSH") && ours.contains("OFPBPC_BAD_LEN");
    unknown_property || new_words.iter().any(|w| ours.contains(w) && !theirs.contains(w))
}

/// Whether both refuse the message, or C shows a number that we refuse: which of several faults is named first, and
/// numbers without a name.
fn refused_otherwise(ours: &str, theirs: &str) -> bool {
    let refused = |text: &str| text.contains("***decode error: ");
    let shown = ["PACKET_IN", "FLOW_REMOVED", "ROLE_STATUS", "GROUP_DESC", "GET_ASYNC_REPLY"];
    refused(ours) && (refused(theirs) || shown.iter().any(|name| ours.contains(name)))
}

#[test]
fn any_message_reads_as_in_c() {
    let Some(suite) = testkit::oracle() else { testkit::skip!("no C oracle") };
    let count = std::env::var("OXVS_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(6000);
    let seed = std::env::var("OXVS_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ seed);
    let seeds = seeds();
    let mut messages = seeds.clone();
    for _ in 0..count {
        messages.push(if random.below(3) == 0 { of_row(&mut random) } else { of_seed(&mut random, &seeds) });
    }
    let (mut wrong, mut otherwise) = (0, 0);
    for chunk in messages.chunks(2000) {
        for (message, theirs) in chunk.iter().zip(c_texts(&suite, chunk)) {
            let ours = print::message(message, &Names::none(), Verbosity(2));
            if ours == theirs || changed_since(&ours, &theirs) {
                continue;
            }
            if refused_otherwise(&ours, &theirs) {
                otherwise += 1;
            } else {
                wrong += 1;
                println!("{}\nours:   {ours}\ntheirs: {theirs}", testkit::to_hex(message));
            }
        }
    }
    assert_eq!(wrong, 0, "of {} messages", messages.len());
    assert!(otherwise * 50 < messages.len(), "{otherwise} of {} are refused otherwise", messages.len());
}
