//! Which thread polls which receive queue: pure.
//!
//! Where it sits: `pmd` asks it whenever ports, threads or settings change.
//!
//! Queues that the user pinned come first, and isolate their cores. The others go to a thread of their device's memory
//! node: in turn there and back (`cycles`, the dearest first), in turn (`roundrobin`), or to the least loaded (`group`,
//! the dearest first). A node without threads of its own borrows another's.
//!
//! Spec: ovs-vswitchd.conf.db(5), `pmd-rxq-assign`; the texts are those of Open vSwitch's log.

use log::Level;

/// How queues are given to threads (`pmd-rxq-assign`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Algorithm {
    #[default]
    Cycles,
    RoundRobin,
    Group,
}

impl Algorithm {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Algorithm::Cycles => "cycles",
            Algorithm::RoundRobin => "roundrobin",
            Algorithm::Group => "group",
        }
    }
}

/// A receive queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    pub port: String,
    pub number: u32,
    pub node: u32,
    /// What it cost lately.
    pub cycles: u64,
    pub pinned: Option<u32>,
}

/// A thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread {
    pub core: u32,
    pub node: u32,
}

/// The answer.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The thread of each queue, by index; `None` if nobody polls it.
    pub thread_of: Vec<Option<usize>>,
    /// Threads that only poll what is pinned to them.
    pub isolated: Vec<bool>,
    pub log: Vec<(Level, String)>,
    /// A queue went to another node's thread.
    pub crosses_nodes: bool,
}

/// The threads of one node, and where the next turn is.
struct Node {
    id: u32,
    threads: Vec<usize>,
    next: usize,
    backwards: bool,
}

struct Planner<'a> {
    algorithm: Algorithm,
    threads: &'a [Thread],
    queues: &'a [Queue],
    nodes: Vec<Node>,
    load: Vec<(u64, usize)>,
    /// The node that was last borrowed from.
    lender: usize,
    plan: Plan,
}

/// Gives every queue to a thread. Threads are in the order of their cores; with `isolate` a pinned queue keeps others
/// off its thread.
pub(crate) fn plan(algorithm: Algorithm, isolate: Isolate, threads: &[Thread], queues: &[Queue]) -> Plan {
    let mut nodes: Vec<Node> = Vec::new();
    for (index, thread) in threads.iter().enumerate() {
        match nodes.iter_mut().find(|node| node.id == thread.node) {
            Some(node) => node.threads.push(index),
            None => nodes.push(Node { id: thread.node, threads: vec![index], next: 0, backwards: false }),
        }
    }
    let plan =
        Plan { thread_of: vec![None; queues.len()], isolated: vec![false; threads.len()], ..Plan::default() };
    let load = vec![(0, 0); threads.len()];
    let mut planner = Planner { algorithm, threads, queues, nodes, load, lender: 0, plan };
    planner.pin(isolate);
    planner.assign();
    planner.plan
}

/// Whether a pinned queue keeps others off its thread (`pmd-rxq-isolate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolate {
    Yes,
    No,
}

impl Planner<'_> {
    fn say(&mut self, level: Level, text: String) {
        self.plan.log.push((level, text));
    }

    fn cost(&self, queue: &Queue) -> String {
        match self.algorithm {
            Algorithm::RoundRobin => String::new(),
            _ => format!(" (measured processing cycles {})", queue.cycles),
        }
    }

    fn give(&mut self, at: usize, thread: usize) {
        self.plan.thread_of[at] = Some(thread);
        self.load[thread].0 += self.queues[at].cycles;
        self.load[thread].1 += 1;
    }

    fn pin(&mut self, isolate: Isolate) {
        for (at, queue) in self.queues.iter().enumerate() {
            let Some(core) = queue.pinned else { continue };
            let what = format!("port '{}' rx queue {}", queue.port, queue.number);
            match self.threads.iter().position(|thread| thread.core == core) {
                None => self.say(
                    Level::Warn,
                    format!(
                        "Core {core:>2} cannot be pinned with {what}. Use pmd-cpu-mask to enable a pmd on core \
                         {core}. An alternative core will be assigned."
                    ),
                ),
                Some(thread) => {
                    self.give(at, thread);
                    self.plan.isolated[thread] = isolate == Isolate::Yes;
                    let (node, cost) = (self.threads[thread].node, self.cost(queue));
                    let text = format!("Core {core:>2} on numa node {node} is pinned with {what}{cost}");
                    self.say(Level::Info, text);
                }
            }
        }
    }

    fn assign(&mut self) {
        let mut rest: Vec<usize> =
            (0..self.queues.len()).filter(|at| self.plan.thread_of[*at].is_none()).collect();
        if rest.is_empty() {
            return;
        }
        let name = self.algorithm.name();
        self.say(Level::Info, format!("Performing pmd to rx queue assignment using {name} algorithm."));
        if self.algorithm != Algorithm::RoundRobin {
            rest.sort_by_key(|at| std::cmp::Reverse(self.queues[*at].cycles));
        }
        for at in rest {
            let queue = &self.queues[at];
            let (what, cost) = (format!("port '{}' rx queue {}", queue.port, queue.number), self.cost(queue));
            let Some(node) = self.node_for(queue) else {
                let text = format!(
                    "No non-isolated pmd on any numa available for {what}{cost}. This rx queue will not be polled."
                );
                self.say(Level::Warn, text);
                continue;
            };
            let thread = self.pick(node);
            self.give(at, thread);
            let Thread { core, node } = self.threads[thread];
            self.say(Level::Info, format!("Core {core:>2} on numa node {node} assigned {what}{cost}."));
        }
    }

    fn has_room(&self, node: usize) -> bool {
        self.nodes[node].threads.iter().any(|thread| !self.plan.isolated[*thread])
    }

    /// The node whose thread is to poll `queue`.
    fn node_for(&mut self, queue: &Queue) -> Option<usize> {
        let own = self.nodes.iter().position(|node| node.id == queue.node);
        if own.is_some_and(|own| self.has_room(own)) {
            return own;
        }
        let n = self.nodes.len();
        let lender = (0..n).map(|i| (self.lender + i) % n).find(|node| self.has_room(*node))?;
        self.lender = (lender + 1) % n;
        self.plan.crosses_nodes = true;
        let (from, to) = (queue.node, self.nodes[lender].id);
        let text = format!(
            "There's no available (non-isolated) pmd thread on numa node {from}. Port '{}' rx queue {} will be assigned \
             to a pmd on numa node {to}. This may lead to reduced performance.",
            queue.port, queue.number
        );
        self.say(Level::Info, text);
        Some(lender)
    }

    /// The next thread of a node that has one to give.
    fn pick(&mut self, node: usize) -> usize {
        let isolated = &self.plan.isolated;
        let node = &mut self.nodes[node];
        if self.algorithm == Algorithm::Group {
            let free = node.threads.iter().filter(|thread| !isolated[**thread]);
            return *free.min_by_key(|thread| self.load[**thread]).expect("the node has room");
        }
        loop {
            let thread = node.threads[node.next];
            let last = node.threads.len() - 1;
            match (self.algorithm, node.backwards) {
                (Algorithm::RoundRobin, _) => node.next = if node.next == last { 0 } else { node.next + 1 },
                (_, false) if node.next == last => node.backwards = true,
                (_, false) => node.next += 1,
                (_, true) if node.next == 0 => node.backwards = false,
                (_, true) => node.next -= 1,
            }
            if !isolated[thread] {
                return thread;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREADS: [Thread; 5] = [
        Thread { core: 0, node: 0 },
        Thread { core: 1, node: 0 },
        Thread { core: 2, node: 0 },
        Thread { core: 3, node: 1 },
        Thread { core: 4, node: 1 },
    ];

    fn queues(pins: &[Option<u32>]) -> Vec<Queue> {
        let mut all: Vec<Queue> = (0..4)
            .map(|n| Queue { port: "p0".into(), number: n, node: 1, ..Queue::default() })
            .chain((0..2).map(|n| Queue { port: "p1".into(), number: n, node: 0, ..Queue::default() }))
            .collect();
        all.iter_mut().zip(pins).for_each(|(q, pin)| q.pinned = *pin);
        all
    }

    fn cores(plan: &Plan) -> Vec<Option<u32>> {
        plan.thread_of.iter().map(|t| t.map(|t| THREADS[t].core)).collect()
    }

    /// What Open vSwitch 3.1 does with the same queues and cores.
    #[test]
    fn queues_go_where_open_vswitch_puts_them() {
        let all = |list: [u32; 6]| list.map(Some).to_vec();
        let go = |algorithm, isolate, pins: &[Option<u32>]| {
            cores(&plan(algorithm, isolate, &THREADS, &queues(pins)))
        };
        assert_eq!(go(Algorithm::Cycles, Isolate::Yes, &[]), all([3, 4, 4, 3, 0, 1]));
        assert_eq!(go(Algorithm::RoundRobin, Isolate::Yes, &[]), all([3, 4, 3, 4, 0, 1]));
        assert_eq!(go(Algorithm::Group, Isolate::Yes, &[]), all([3, 4, 3, 4, 0, 1]));
        let pins = [Some(0), Some(1)];
        assert_eq!(go(Algorithm::Group, Isolate::No, &pins), all([0, 1, 3, 4, 2, 0]));
        assert_eq!(go(Algorithm::Cycles, Isolate::Yes, &pins), all([0, 1, 3, 4, 2, 2]));
    }

    #[test]
    fn what_nobody_may_poll_is_said() {
        let one = [Thread { core: 1, node: 0 }];
        let plan = plan(Algorithm::Cycles, Isolate::Yes, &one, &queues(&[Some(0), Some(1)]));
        assert_eq!(plan.thread_of, [None, Some(0), None, None, None, None]);
        let texts: Vec<&str> = plan.log.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(
            texts[..4],
            [
                "Core  0 cannot be pinned with port 'p0' rx queue 0. Use pmd-cpu-mask to enable a pmd on core 0. An \
                 alternative core will be assigned.",
                "Core  1 on numa node 0 is pinned with port 'p0' rx queue 1 (measured processing cycles 0)",
                "Performing pmd to rx queue assignment using cycles algorithm.",
                "No non-isolated pmd on any numa available for port 'p0' rx queue 0 (measured processing cycles 0). \
                 This rx queue will not be polled.",
            ]
        );
    }

    #[test]
    fn a_node_without_threads_borrows() {
        let two = [Thread { core: 0, node: 0 }, Thread { core: 1, node: 0 }];
        let plan = plan(Algorithm::Cycles, Isolate::Yes, &two, &queues(&[])[..3]);
        assert_eq!(plan.thread_of, [Some(0), Some(1), Some(1)]);
        assert!(plan.crosses_nodes && plan.log[1].1.starts_with("There's no available (non-isolated) pmd thread on numa node 1. Port 'p0' rx queue 0 will be assigned to a pmd on numa node 0."));
    }

    #[test]
    fn dear_queues_come_first() {
        let mut all = queues(&[]);
        all[2].cycles = 90;
        all[3].cycles = 10;
        let plan = plan(Algorithm::Group, Isolate::Yes, &THREADS, &all);
        assert_eq!(cores(&plan)[..4], [Some(4), Some(4), Some(3), Some(4)]);
    }
}
