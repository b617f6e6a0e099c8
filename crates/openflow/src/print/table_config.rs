//! Text of TABLE_MOD, table descriptions and TABLE_STATUS.
//!
//! Where it sits: `mod-table` and `dump-table-desc`.

use std::fmt::Write;

use crate::Names;
use crate::msg::{Message, TableDesc, TableMiss, TableMod, TableReason};

/// Prints the body if it is of this file's; false if not.
pub(super) fn print(out: &mut String, message: &Message, names: &Names) -> bool {
    match message {
        Message::TableMod(tm) => table_mod(out, tm, names),
        Message::TableDescRequest => {}
        Message::TableDescReply(tables) => tables.iter().for_each(|t| desc(out, t, names)),
        Message::TableStatus(s) => {
            let reason = match s.reason {
                TableReason::VacancyDown => "VACANCY_DOWN",
                TableReason::VacancyUp => "VACANCY_UP",
            };
            let _ = write!(out, " reason={reason}\ntable_desc:-");
            desc(out, &s.desc, names);
        }
        _ => return false,
    }
    true
}

fn table_mod(out: &mut String, tm: &TableMod, names: &Names) {
    if tm.table_id == 255 {
        out.push_str(" table_id: ALL_TABLES");
    } else {
        let _ = write!(out, " table_id={}", names.table(tm.table_id));
    }
    match tm.miss {
        TableMiss::Default => {}
        TableMiss::Controller => out.push_str(", flow_miss_config=controller"),
        TableMiss::Continue => out.push_str(", flow_miss_config=continue"),
        TableMiss::Drop => out.push_str(", flow_miss_config=drop"),
    }
    // The property's number stands in for the answer, as it always did.
    let eviction = tm.eviction_flags.or(tm.eviction.map(|on| if on { 1 } else { 2 }));
    match eviction {
        None | Some(0) => {}
        Some(1) => out.push_str(", eviction=on"),
        Some(2) => out.push_str(", eviction=off"),
        Some(_) => out.push_str(", eviction=***error***"),
    }
    match tm.vacancy {
        None => {}
        Some(false) => out.push_str(", vacancy=off"),
        Some(true) => {
            let v = tm.table_vacancy;
            let _ = write!(out, ", vacancy=on vacancy:{},{}", v.down, v.up);
        }
    }
}

const EVICTION: [(u32, &str); 3] = [(1, "OTHER"), (2, "IMPORTANCE"), (4, "LIFETIME")];

fn eviction_flags(flags: Option<u32>) -> String {
    match flags {
        None | Some(u32::MAX) => "(default)".to_owned(),
        Some(0) => "0".to_owned(),
        Some(bits) => super::bit_names(bits, &EVICTION).replace(' ', "|"),
    }
}

fn desc(out: &mut String, t: &TableDesc, names: &Names) {
    let _ = write!(out, "\n  table {}:\n", names.table(t.table_id));
    let on = if t.eviction { "on" } else { "off" };
    let _ = writeln!(out, "   eviction={on} eviction_flags={}", eviction_flags(t.eviction_flags));
    let _ = match t.vacancy {
        None => writeln!(out, "   vacancy=off"),
        Some(v) => {
            writeln!(out, "   vacancy=on vacancy_down={}% vacancy_up={}% vacancy={}%", v.down, v.up, v.now)
        }
    };
}
