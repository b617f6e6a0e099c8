//! Text of table statistics.
//!
//! Where it sits: `dump-tables`.
//!
//! A table that says the same as the one before is one word (`ditto`), and several such are one line.

use std::fmt::Write;

use crate::Names;
use crate::msg::TableStats;

/// Prints the tables of a reply of wire version `version`.
pub(super) fn stats(out: &mut String, tables: &[TableStats], version: u8, names: &Names) {
    out.push('\n');
    let mut i = 0;
    while let Some(table) = tables.get(i) {
        let previous = i.checked_sub(1).and_then(|p| tables.get(p));
        if previous.is_some_and(|p| same(p, table)) {
            // Named tables are said one by one.
            let run = tables[i..].iter().take_while(|t| same(t, table) && t.name == table.name).count();
            put_ditto(out, table, &tables[i + run - 1], names);
            i += run;
        } else {
            if i > 0 && !out.ends_with("\n\n") && !previous_was_ditto(out) {
                out.push('\n');
            }
            put_table(out, table, previous, version, names);
            i += 1;
        }
        if i < tables.len() && !table.name.is_empty() && previous_was_ditto(out) {
            continue;
        }
        if i < tables.len() {
            out.push('\n');
        }
    }
}

fn previous_was_ditto(out: &str) -> bool {
    out.ends_with(": ditto\n")
}

fn same(a: &TableStats, b: &TableStats) -> bool {
    let counts = |t: &TableStats| (t.active_count, t.lookup_count, t.matched_count, t.max_entries, t.caps);
    counts(a) == counts(b)
}

fn put_ditto(out: &mut String, first: &TableStats, last: &TableStats, names: &Names) {
    if first.table_id == last.table_id {
        let _ = writeln!(out, "  table {}: ditto", title(first, names));
    } else {
        let _ = writeln!(out, "  tables {}...{}: ditto", title(first, names), title(last, names));
    }
}

fn title(table: &TableStats, names: &Names) -> String {
    let number = names.table(table.table_id);
    if table.name.is_empty() { number } else { format!("{number} (\"{}\")", table.name) }
}

fn put_table(out: &mut String, t: &TableStats, previous: Option<&TableStats>, version: u8, names: &Names) {
    let _ = writeln!(out, "  table {}:", title(t, names));
    let _ = writeln!(
        out,
        "    active={}, lookup={}, matched={}",
        t.active_count, t.lookup_count, t.matched_count
    );
    if version >= 4 {
        return;
    }
    if previous.is_some_and(|p| p.caps == t.caps && p.max_entries == t.max_entries) {
        out.push_str("    (same features)\n");
        return;
    }
    if version == 3 {
        let _ = writeln!(
            out,
            "    metadata: match={:#x} write={:#x}",
            t.caps.metadata_match, t.caps.metadata_write
        );
    }
    if version > 1 {
        let config = ["controller", "continue", "drop", "controller"][(t.caps.config & 3) as usize];
        let _ = writeln!(out, "    config={config}");
    }
    if version != 2 || t.max_entries != 0 {
        let _ = writeln!(out, "    max_entries={}", t.max_entries);
    }
    if version > 1 {
        put_instructions(out, t, previous, version);
    }
    let same_matching =
        previous.is_some_and(|p| p.caps.matches == t.caps.matches && p.caps.wildcards == t.caps.wildcards);
    if same_matching {
        out.push_str("    (same matching)\n");
    } else {
        put_matching(out, t, version);
    }
}

fn put_instructions(out: &mut String, t: &TableStats, previous: Option<&TableStats>, version: u8) {
    let bits = bits_in_order;
    let instructions = bits(t.caps.instructions, &INSTRUCTIONS);
    // 1.1's actions are read from those of write-actions.
    let listed = match version {
        2 => bits(t.caps.write_actions, &ACTIONS_11),
        _ => bits(t.caps.apply_actions, &ACTIONS_12),
    };
    if version == 2 && instructions.is_empty() && listed.is_empty() {
        return;
    }
    out.push_str("    instructions (table miss and others):\n");
    if !instructions.is_empty() {
        let _ = writeln!(out, "      instructions: {instructions}");
    }
    let settable = |t: &TableStats| (t.caps.apply_actions, t.caps.apply_setfields);
    if version == 3 && previous.is_some_and(|p| settable(p) == settable(t)) {
        out.push_str("      (same actions)\n");
        return;
    }
    if version == 2 && listed.is_empty() {
        return;
    }
    out.push_str("      Write-Actions and Apply-Actions features:\n");
    let _ = writeln!(out, "        actions: {listed}");
    if version == 3 {
        let _ =
            writeln!(out, "        supported on Set-Field: {}", grouped(t.caps.apply_setfields, &FIELDS_12));
    }
}

/// The names of the bits, by their numbers, in the order of `table`.
pub(super) fn bits_in_order(bits: u32, table: &[(u32, &str)]) -> String {
    let each = table.iter().filter(|(bit, _)| bits >> bit & 1 != 0).map(|(_, name)| *name);
    each.collect::<Vec<_>>().join(" ")
}

fn put_matching(out: &mut String, t: &TableStats, version: u8) {
    let names = |bits: u64| if version == 2 { grouped(bits, &FIELDS_11) } else { grouped(bits, &FIELDS_12) };
    let (matches, wildcards) = (t.caps.matches, t.caps.wildcards);
    let (any, must) = match version {
        1 => (grouped(of10_fields(wildcards as u32), &FIELDS_10), String::new()),
        _ => (names(wildcards), names(matches & !wildcards)),
    };
    if !any.is_empty() || !must.is_empty() {
        out.push_str("    matching:\n");
    }
    for (title, fields) in [("exact match or wildcard", any), ("must exact match", must)] {
        if !fields.is_empty() {
            let _ = writeln!(out, "      {title}: {fields}");
        }
    }
}

/// 1.0's wildcard bits with each address's count of bits as one bit.
fn of10_fields(bits: u32) -> u64 {
    let count = |shift: u32| u64::from(bits >> shift & 0x3f != 0);
    u64::from(bits & 0x3000ff) | count(8) << 8 | count(14) << 14
}

/// The names of the bits, those in a row with the same first word as `word_{a,b}`.
fn grouped(bits: u64, table: &[(u32, &str)]) -> String {
    let names: Vec<&str> =
        table.iter().filter(|(bit, _)| bits >> bit & 1 != 0).map(|(_, name)| *name).collect();
    let mut words = Vec::new();
    let mut rest = &names[..];
    while let Some(first) = rest.first() {
        let stem = first.split_inclusive('_').next().filter(|s| s.ends_with('_'));
        let run = match stem {
            Some(stem) => rest.iter().take_while(|n| n.starts_with(stem)).count(),
            None => 1,
        };
        let (group, tail) = rest.split_at(run.max(1));
        words.push(match (stem, run) {
            (Some(stem), 2..) => {
                let ends: Vec<&str> = group.iter().map(|n| &n[stem.len()..]).collect();
                format!("{stem}{{{}}}", ends.join(","))
            }
            _ => (*first).to_owned(),
        });
        rest = tail;
    }
    words.join(" ")
}

const INSTRUCTIONS: [(u32, &str); 5] = [
    (4, "apply_actions"),
    (5, "clear_actions"),
    (3, "write_actions"),
    (2, "write_metadata"),
    (1, "goto_table"),
];

pub(super) const ACTIONS_11: [(u32, &str); 23] = [
    (0, "output"),
    (22, "group"),
    (1, "set_vlan_vid"),
    (2, "set_vlan_pcp"),
    (18, "strip_vlan"),
    (17, "push_vlan"),
    (3, "mod_dl_src"),
    (4, "mod_dl_dst"),
    (5, "mod_nw_src"),
    (6, "mod_nw_dst"),
    (7, "mod_nw_tos"),
    (8, "mod_nw_ecn"),
    (23, "mod_nw_ttl"),
    (9, "mod_tp_src"),
    (10, "mod_tp_dst"),
    (24, "dec_ttl"),
    (13, "set_mpls_label"),
    (14, "set_mpls_tc"),
    (15, "set_mpls_ttl"),
    (16, "dec_mpls_ttl"),
    (19, "push_mpls"),
    (20, "pop_mpls"),
    (21, "set_queue"),
];

pub(super) const ACTIONS_12: [(u32, &str); 12] = [
    (0, "output"),
    (22, "group"),
    (25, "set_field"),
    (18, "strip_vlan"),
    (17, "push_vlan"),
    (23, "mod_nw_ttl"),
    (24, "dec_ttl"),
    (15, "set_mpls_ttl"),
    (16, "dec_mpls_ttl"),
    (19, "push_mpls"),
    (20, "pop_mpls"),
    (21, "set_queue"),
];

const FIELDS_10: [(u32, &str); 12] = [
    (0, "in_port"),
    (2, "eth_src"),
    (3, "eth_dst"),
    (4, "eth_type"),
    (1, "vlan_vid"),
    (20, "vlan_pcp"),
    (8, "ip_src"),
    (14, "ip_dst"),
    (5, "nw_proto"),
    (21, "nw_tos"),
    (6, "tcp_src"),
    (7, "tcp_dst"),
];

const FIELDS_11: [(u32, &str); 15] = [
    (15, "metadata"),
    (0, "in_port"),
    (11, "eth_src"),
    (12, "eth_dst"),
    (3, "eth_type"),
    (1, "vlan_vid"),
    (2, "vlan_pcp"),
    (8, "mpls_label"),
    (9, "mpls_tc"),
    (13, "ip_src"),
    (14, "ip_dst"),
    (5, "nw_proto"),
    (4, "nw_tos"),
    (6, "tcp_src"),
    (7, "tcp_dst"),
];

const FIELDS_12: [(u32, &str); 35] = [
    (2, "metadata"),
    (0, "in_port_oxm"),
    (4, "eth_src"),
    (3, "eth_dst"),
    (5, "eth_type"),
    (6, "vlan_vid"),
    (7, "vlan_pcp"),
    (34, "mpls_label"),
    (35, "mpls_tc"),
    (11, "ip_src"),
    (12, "ip_dst"),
    (26, "ipv6_src"),
    (27, "ipv6_dst"),
    (28, "ipv6_label"),
    (10, "nw_proto"),
    (8, "ip_dscp"),
    (9, "nw_ecn"),
    (21, "arp_op"),
    (22, "arp_spa"),
    (23, "arp_tpa"),
    (24, "arp_sha"),
    (25, "arp_tha"),
    (13, "tcp_src"),
    (14, "tcp_dst"),
    (15, "udp_src"),
    (16, "udp_dst"),
    (17, "sctp_src"),
    (18, "sctp_dst"),
    (19, "icmp_type"),
    (20, "icmp_code"),
    (29, "icmpv6_type"),
    (30, "icmpv6_code"),
    (31, "nd_target"),
    (32, "nd_sll"),
    (33, "nd_tll"),
];
