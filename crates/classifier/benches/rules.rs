//! The rule table alone, in this process: `rules CASE N`, where a case is `lookup:SET`, `update:SET` or `bytes:SET`.
//!
//! Where it sits: run by `cargo xtask bench datapath` (row P10), under callgrind and by itself. Before anything is
//! measured, every answer for the set's packets is compared with that of a search through all rules.
//!
//! `lookup` prints CPU ns for each packet of a batch of 32 lookups that collect no wildcards; `update` for each removal or
//! insertion; `bytes` prints bytes of resident memory for each rule.

mod shapes;

use std::process::ExitCode;

use classifier::RuleTable;
use flow::FlowKey;
use shapes::{Rule, Shape};
use testkit::cost::{resident, timed};

const PACKETS: usize = 4096;

/// A set of rules and packets.
struct Set {
    rules: Vec<Rule>,
    packets: Vec<FlowKey>,
}

impl Set {
    fn of(name: &str) -> Option<Set> {
        let rules = match name {
            "10k-20" => shapes::spread(10_000, 20, 1),
            "100k-100" => shapes::spread(100_000, 100, 1),
            "acl-10k" => shapes::rules(Shape::Acl, 10_000, 1),
            "fw-10k" => shapes::rules(Shape::Fw, 10_000, 1),
            "ipc-10k" => shapes::rules(Shape::Ipc, 10_000, 1),
            _ => return None,
        };
        let packets = shapes::trace(&rules, PACKETS, 1);
        Some(Set { rules, packets })
    }

    fn table(&self) -> RuleTable<u32> {
        let mut table = RuleTable::new(1);
        for (n, rule) in self.rules.iter().enumerate() {
            table.insert(&rule.matched, rule.priority, n as u32);
        }
        table
    }

    /// True if the table's answers are those of a search through all rules, best first. Of rules with the same match and
    /// priority the last one counts.
    fn is_right(&self, table: &RuleTable<u32>) -> bool {
        let mut order: Vec<&Rule> = self.rules.iter().collect();
        order.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
        // Only the words that rules have are compared.
        let words: Vec<usize> = (0..FlowKey::ZERO.words().len())
            .filter(|w| self.rules.iter().any(|rule| rule.matched.wc.words()[*w] != 0))
            .collect();
        let hits = |rule: &Rule, key: &FlowKey| {
            let (value, mask) = (rule.matched.key.words(), rule.matched.wc.words());
            words.iter().all(|w| (key.words()[*w] ^ value[*w]) & mask[*w] == 0)
        };
        self.packets.iter().all(|key| {
            let best = order.iter().find(|rule| hits(rule, key)).map(|rule| rule.priority);
            let found = table.lookup(key, None);
            let consistent = found.is_none_or(|found| hits(&self.rules[found.value as usize], key));
            consistent && found.map(|found| found.priority) == best
        })
    }
}

fn main() -> ExitCode {
    // cargo adds arguments of its own
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let [case, batches] = args.as_slice() else {
        eprintln!("usage: rules lookup:SET|update:SET|bytes:SET|floor:SET|check:SET BATCHES");
        return ExitCode::SUCCESS;
    };
    let parts = case.split_once(':').and_then(|(what, name)| Some((what, Set::of(name)?)));
    let (Some((what, set)), Ok(batches)) = (parts, batches.parse::<u64>()) else {
        eprintln!("no such case, or no number of batches");
        return ExitCode::FAILURE;
    };
    let before = resident();
    let mut table = set.table();
    let taken = resident() - before;
    let per_rule = taken as f64 / table.len().max(1) as f64;
    let measured = match what {
        "check" if set.is_right(&table) => 0.0,
        "bytes" => per_rule,
        "floor" => timed(batches, || {
            for n in 0..batches * 32 {
                std::hint::black_box(set.packets.get(n as usize % PACKETS));
            }
        }),
        "lookup" => timed(batches, || {
            for n in 0..batches * 32 {
                let Some(key) = set.packets.get(n as usize % PACKETS) else { continue };
                std::hint::black_box(table.lookup(key, None).map(|found| found.value));
            }
        }),
        "update" => timed(batches, || {
            for n in 0..batches * 16 {
                let Some(rule) = set.rules.get((n * 7919) as usize % set.rules.len()) else { continue };
                let value = table.remove(&rule.matched, rule.priority);
                table.insert(&rule.matched, rule.priority, value.unwrap_or(n as u32));
            }
        }),
        _ => {
            eprintln!("an answer differs from that of a search through all rules, or there is no such case");
            return ExitCode::FAILURE;
        }
    };
    println!("{measured:.2}");
    ExitCode::SUCCESS
}
