//! Processor cores and the memory nodes that they belong to.
//!
//! Where it sits: found once when a daemon starts, or given by `--dummy-numa`; asked by `pmd` and `schedule`.

use std::collections::BTreeMap;

/// Cores by number, each with its node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cores {
    nodes: BTreeMap<u32, u32>,
    pretended: bool,
}

impl Cores {
    /// What `--dummy-numa` pretends: the node of each core, in order. What is no number ends the list.
    pub fn pretended(list: &str) -> Cores {
        let nodes = list.split(',').map_while(|n| n.trim().parse().ok());
        Cores { nodes: (0..).zip(nodes).collect(), pretended: true }
    }

    /// The cores of this machine.
    pub fn of_system() -> Cores {
        let mut nodes = BTreeMap::new();
        let all = std::fs::read_dir("/sys/devices/system/node").into_iter().flatten().flatten();
        for entry in all {
            let name = entry.file_name();
            let node = name.to_str().and_then(|n| n.strip_prefix("node")).and_then(|n| n.parse().ok());
            let Some(node) = node else { continue };
            let list = std::fs::read_to_string(entry.path().join("cpulist")).unwrap_or_default();
            nodes.extend(ranges(&list).map(|core| (core, node)));
        }
        if nodes.is_empty() {
            let n = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
            nodes.extend((0..n).map(|core| (core, 0)));
        }
        Cores { nodes, pretended: false }
    }

    /// True if threads cannot be bound to these cores.
    pub(crate) fn are_pretended(&self) -> bool {
        self.pretended
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// The node of a core.
    pub(crate) fn node_of(&self, core: u32) -> Option<u32> {
        self.nodes.get(&core).copied()
    }

    /// The first core of each node.
    pub(crate) fn first_of_each(&self) -> BTreeMap<u32, u32> {
        let mut first = BTreeMap::new();
        for (core, node) in &self.nodes {
            first.entry(*node).or_insert(*core);
        }
        first.into_iter().map(|(node, core)| (core, node)).collect()
    }

    /// The cores in a mask of hexadecimal digits, with their nodes; or what is wrong with it.
    pub(crate) fn masked(&self, mask: &str) -> Result<BTreeMap<u32, u32>, String> {
        let digits = mask.strip_prefix("0x").or_else(|| mask.strip_prefix("0X")).unwrap_or(mask);
        let mut chosen = BTreeMap::new();
        for (at, digit) in (0u32..).zip(digits.chars().rev()) {
            let bits = digit.to_digit(16).ok_or_else(|| format!("Invalid cpu mask: {digit}"))?;
            let cores = (0..4).filter(|bit| bits & 1 << bit != 0).map(|bit| at * 4 + bit);
            chosen.extend(cores.filter_map(|core| Some((core, self.node_of(core)?))));
        }
        Ok(chosen)
    }

    /// Says in the log what there is.
    pub fn log(&self) {
        let mut by_node: BTreeMap<u32, usize> = BTreeMap::new();
        self.nodes.values().for_each(|node| *by_node.entry(*node).or_default() += 1);
        for (node, n) in &by_node {
            log::info!(target: "ovs_numa", "Discovered {n} CPU cores on NUMA node {node}");
        }
        let (nodes, cores) = (by_node.len(), self.nodes.len());
        log::info!(target: "ovs_numa", "Discovered {nodes} NUMA nodes and {cores} CPU cores");
    }
}

/// The numbers of a list like `0-3,8`.
fn ranges(list: &str) -> impl Iterator<Item = u32> + '_ {
    list.trim()
        .split(',')
        .filter_map(|part| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            Some(from.parse::<u32>().ok()?..=to.parse().ok()?)
        })
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_pretended_masked_and_read() {
        let cores = Cores::pretended("0,0,0,1,1");
        assert_eq!(cores.count(), 5);
        assert_eq!(cores.first_of_each(), [(0, 0), (3, 1)].into());
        assert_eq!(cores.masked("1a").unwrap(), [(1, 0), (3, 1), (4, 1)].into());
        assert_eq!(cores.masked("0x80").unwrap(), BTreeMap::new());
        assert_eq!(cores.masked("zz").unwrap_err(), "Invalid cpu mask: z");
        assert_eq!(ranges("0-2,5\n").collect::<Vec<_>>(), [0, 1, 2, 5]);
        assert!(Cores::of_system().count() > 0);
    }
}
