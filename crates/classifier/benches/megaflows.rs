//! How many megaflows a trace of packets makes, and of how many masks: by the rule table, and by tries.
//!
//! Where it sits: `cargo bench -p classifier --bench megaflows` prints what docs/performance.md says of rows P4.
//!
//! The other search is one by a hash table for each mask, with a trie for each address: a table is passed over where no
//! prefix of its length holds the packet's address, for as many bits of it as tell so; and of ports that no rule of a
//! table has beside the addresses, as many bits are matched as tell so.
//!
//! Spec: ovs-vswitchd.conf.db(5), `Flow_Table.prefixes`.

mod shapes;

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use classifier::RuleTable;
use flow::{FlowKey, Wildcards};
use shapes::{Rule, Shape};

const RULES: usize = 10_000;
const PACKETS: usize = 20_000;

/// Source, destination, protocol and both ports: all that rules of the shapes match beside the Ethernet type.
type Fields = [u32; 4];

fn fields(key: &FlowKey) -> Fields {
    let ports = u32::from(key.tp_src()) << 16 | u32::from(key.tp_dst());
    [key.nw_src(), key.nw_dst(), key.nw_proto().into(), ports]
}

fn masked(a: &Fields, mask: &Fields) -> Fields {
    std::array::from_fn(|i| a[i] & mask[i])
}

/// A mask of the first `n` bits.
fn prefix(n: u32) -> u32 {
    u32::MAX.checked_shl(32 - n).unwrap_or(0)
}

/// Rules of one mask.
struct Table {
    mask: Fields,
    highest: u32,
    rules: HashMap<Fields, u32>,
    /// What rules have without ports, and their ports.
    networks: HashSet<[u32; 3]>,
    ports: HashSet<u32>,
}

/// Tables in order of falling priority, and the prefixes of all rules: source and destination.
struct Tries {
    tables: Vec<Table>,
    prefixes: [HashSet<(u32, u32)>; 2],
}

impl Tries {
    fn of(rules: &[Rule]) -> Tries {
        let mut tables: HashMap<Fields, Table> = HashMap::new();
        let mut prefixes = [HashSet::new(), HashSet::new()];
        for Rule { matched, priority } in rules {
            let mask = fields(&matched.wc.0);
            let value = masked(&fields(&matched.key), &mask);
            for (i, prefixes) in prefixes.iter_mut().enumerate().filter(|(i, _)| mask[*i] != 0) {
                prefixes.insert((value[i], mask[i].leading_ones()));
            }
            let table = tables.entry(mask).or_insert_with(|| Table {
                mask,
                highest: 0,
                rules: HashMap::new(),
                networks: HashSet::new(),
                ports: HashSet::new(),
            });
            table.highest = table.highest.max(*priority);
            table.networks.insert([value[0], value[1], value[2]]);
            table.ports.insert(value[3]);
            let best = table.rules.entry(value).or_default();
            *best = (*best).max(*priority);
        }
        let mut tables: Vec<Table> = tables.into_values().collect();
        tables.sort_by_key(|table| Reverse(table.highest));
        Tries { tables, prefixes }
    }

    /// Lengths of the prefixes that hold an address, as bits, and how many bits of it say so.
    fn search(&self, which: usize, address: u32) -> (u64, u32) {
        let each = |(value, len): &(u32, u32)| {
            let common = (value ^ address).leading_zeros();
            if common >= *len { (1 << len, *len) } else { (0, common + 1) }
        };
        self.prefixes[which].iter().map(each).fold((0, 0), |(lens, bits), (l, b)| (lens | l, bits.max(b)))
    }

    /// What a megaflow for a packet matches.
    fn megaflow(&self, packet: &Fields) -> Fields {
        let found = [self.search(0, packet[0]), self.search(1, packet[1])];
        let (mut wc, mut best) = ([0; 4], None);
        for table in &self.tables {
            if best.is_some_and(|best| best >= table.highest) {
                break;
            }
            let lacks =
                |i: &usize| table.mask[*i] != 0 && found[*i].0 >> table.mask[*i].leading_ones() & 1 == 0;
            if let Some(i) = [0, 1].into_iter().find(lacks) {
                wc[i] |= prefix(found[i].1);
                continue;
            }
            let [src, dst, proto, ports] = masked(packet, &table.mask);
            (0..3).for_each(|i| wc[i] |= table.mask[i]);
            if !table.networks.contains(&[src, dst, proto]) {
                continue;
            }
            match table.rules.get(&[src, dst, proto, ports]) {
                Some(priority) => {
                    wc[3] |= table.mask[3];
                    best = best.max(Some(*priority));
                }
                None => {
                    let bits = table.ports.iter().map(|other| (other ^ ports).leading_zeros() + 1).max();
                    wc[3] |= table.mask[3] & prefix(bits.unwrap_or(0).min(32));
                }
            }
        }
        wc
    }
}

/// Megaflows and masks of a trace, of which `mask` says what each packet's matches.
fn count(trace: &[FlowKey], mask: impl Fn(&FlowKey) -> Fields) -> (usize, usize) {
    let (mut megaflows, mut masks) = (HashSet::new(), HashSet::new());
    for key in trace {
        let mut mask = mask(key);
        // The core matches the protocol always.
        mask[2] = 0xff;
        masks.insert(mask);
        megaflows.insert((mask, masked(&fields(key), &mask)));
    }
    (megaflows.len(), masks.len())
}

fn main() {
    for shape in [Shape::Acl, Shape::Fw, Shape::Ipc] {
        let rules = shapes::rules(shape, RULES, 1);
        let trace = shapes::trace(&rules, PACKETS, 1);
        let mut table = RuleTable::new(1);
        for rule in &rules {
            table.insert(&rule.matched, rule.priority, ());
        }
        let ours = count(&trace, |key| {
            let mut wc = Wildcards::NONE;
            table.lookup(key, Some(&mut wc));
            fields(&wc.0)
        });
        let tries = Tries::of(&rules);
        let theirs = count(&trace, |key| tries.megaflow(&fields(key)));
        println!(
            "{shape:?}: {} megaflows of {} masks; with tries {} of {}",
            ours.0, ours.1, theirs.0, theirs.1
        );
    }
}
