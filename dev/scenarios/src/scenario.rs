//! The notation of scenarios, and its reader.
//!
//! Where it sits: below the runner; panics on a mistake, for it is the corpus that is wrong.
//!
//! ~~~text
//! # comment
//! let NAME TEXT                     $NAME below stands for TEXT, to the file's end
//! scenario NAME                     begins one; all else belongs to it, in order
//! ports N…                          datapath ports (1, 2 and 3 unless said)
//! tunnel PORT KIND                  a tunnel's port
//! meter ID kbps|pktps BAND…         BAND: drop RATE BURST | remark PREC RATE BURST
//! bond ID PORT…                     a bond of these members
//! connections N                     so many connections are tracked at most; `connections N in ZONE` in a zone
//! deaf                              from now on nobody takes what goes up
//! flow FLOW => ACTIONS              a megaflow, as ovs-dpctl writes it; `drop(CODE)` alone is a drop for a translation's error
//! refuse FLOW => ACTIONS            one that is refused, and changes nothing
//! wait MS                           time passes
//! packet PORT: PACKET               comes in; those that follow one another come as one batch
//! execute PORT: PACKET => ACTIONS   a packet with its actions
//! out PORT [but A-B]: PACKET        leaves, except for bytes A to B; in order for each port
//! miss PORT: PACKET                 goes up for want of a flow
//! up PORT: PACKET                   goes up by an action
//! drop NAME [N]                     so many are counted, by the name of a drop reason
//! count FLOW: PACKETS BYTES         a megaflow's counters
//! each A-B: LINE                    LINE for each number from A to B, which stands where `{n}` is
//! ~~~
//!
//! What is not said does not happen: each `packet` is followed by everything that it leads to.
//! Packets are in `testkit`'s notation.

use std::path::{Path, PathBuf};

use testkit::packet;

/// One scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// The datapath's ports.
    pub ports: Vec<u32>,
    /// What happens.
    pub steps: Vec<Step>,
}

/// One thing that happens, with the line that says it.
#[derive(Clone, Debug)]
pub struct Step {
    /// Line in the file.
    pub line: usize,
    /// What happens.
    pub what: What,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum What {
    /// A tunnel's port is there.
    Tunnel(u32, String),
    /// A meter is there: its number, and its words.
    Meter(u32, Vec<String>),
    /// A bond is there.
    Bond(u32, Vec<u32>),
    /// So many connections are tracked at most, altogether or in a zone.
    Connections(u32, Option<u16>),
    /// Nobody takes what goes up any more.
    Deaf,
    /// A megaflow is put in.
    Flow(String, String),
    /// One is refused.
    Refuse(String, String),
    /// Time passes, in milliseconds.
    Wait(u64),
    /// Packets come in and lead to something.
    Packets(Vec<(u32, Vec<u8>)>, Outcome),
    /// A packet is sent with actions.
    Execute((u32, Vec<u8>), String, Outcome),
    /// A megaflow has counted so many packets and bytes.
    Count(String, u64, u64),
}

impl What {
    /// The drops that it says.
    pub fn drops(self) -> Vec<(String, u64)> {
        match self {
            What::Packets(_, outcome) | What::Execute(_, _, outcome) => outcome.drops,
            _ => Vec::new(),
        }
    }
}

/// What packets lead to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Packets that leave: port, frame, and the bytes that do not matter.
    pub out: Vec<(u32, Vec<u8>, Vec<usize>)>,
    /// Packets that go up: port, frame, and whether a flow was wanting.
    pub up: Vec<(u32, Vec<u8>, bool)>,
    /// Dropped packets by their counter's name.
    pub drops: Vec<(String, u64)>,
}

/// Every scenario of the corpus, with its file.
///
/// # Panics
/// On a mistake in it, or when it cannot be read.
pub fn corpus() -> Vec<(String, Scenario)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("the corpus").map(|e| e.expect("an entry").path()).collect();
    files.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let scenarios = parse(&name, &std::fs::read_to_string(&path).expect("text"));
        scenarios.into_iter().map(move |scenario| (name.clone(), scenario))
    };
    files.into_iter().flat_map(read).collect()
}

/// Reads a file of the corpus.
///
/// # Panics
/// On a mistake in it.
pub fn parse(file: &str, text: &str) -> Vec<Scenario> {
    let mut reader = Reader { names: Vec::new(), scenarios: Vec::new() };
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            reader.line(n + 1, line).unwrap_or_else(|| panic!("{file}:{}: no step: {line}", n + 1));
        }
    }
    reader.scenarios
}

struct Reader {
    /// Longest names first, so that none stands for the beginning of another.
    names: Vec<(String, String)>,
    scenarios: Vec<Scenario>,
}

impl Reader {
    fn line(&mut self, line: usize, text: &str) -> Option<()> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = self.substituted(rest.trim());
        match word {
            "each" => {
                let (range, step) = rest.split_once(": ")?;
                let (from, to) = range.split_once('-')?;
                let mut range = from.parse::<u32>().ok()?..=to.parse().ok()?;
                return range.try_for_each(|n| self.line(line, &step.replace("{n}", &n.to_string())));
            }
            "let" => {
                let (name, text) = rest.split_once(' ')?;
                self.names.push((format!("${name}"), text.trim().to_owned()));
                self.names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
                return Some(());
            }
            "scenario" => {
                self.scenarios.push(Scenario { name: rest, ports: vec![1, 2, 3], steps: Vec::new() });
                return Some(());
            }
            _ => {}
        }
        let scenario = self.scenarios.last_mut()?;
        let what = match word {
            "ports" => {
                scenario.ports = numbers(&rest)?;
                return Some(());
            }
            "tunnel" => {
                let (port, kind) = rest.split_once(' ')?;
                What::Tunnel(port.parse().ok()?, kind.to_owned())
            }
            "meter" => {
                let (id, words) = rest.split_once(' ')?;
                What::Meter(id.parse().ok()?, words.split_whitespace().map(str::to_owned).collect())
            }
            "bond" => {
                let (id, members) = rest.split_once(' ')?;
                What::Bond(id.parse().ok()?, numbers(members)?)
            }
            "connections" => {
                let (most, zone) =
                    rest.split_once(" in ").map_or((rest.as_str(), None), |(n, z)| (n, Some(z)));
                What::Connections(most.parse().ok()?, zone.map(str::parse).transpose().ok()?)
            }
            "deaf" => What::Deaf,
            "flow" | "refuse" => {
                let (flow, actions) = rest.split_once("=>")?;
                let (flow, actions) = (flow.trim().to_owned(), actions.trim().to_owned());
                if word == "flow" { What::Flow(flow, actions) } else { What::Refuse(flow, actions) }
            }
            "wait" => What::Wait(rest.parse().ok()?),
            "packet" => {
                let (port, _, frame) = framed(&rest)?;
                if let Some(Step { what: What::Packets(list, outcome), .. }) = scenario.steps.last_mut()
                    && *outcome == Outcome::default()
                {
                    list.push((port, frame));
                    return Some(());
                }
                What::Packets(vec![(port, frame)], Outcome::default())
            }
            "execute" => {
                let (packet, actions) = rest.split_once("=>")?;
                let (port, _, frame) = framed(packet)?;
                What::Execute((port, frame), actions.trim().to_owned(), Outcome::default())
            }
            "count" => {
                let (flow, numbers) = rest.rsplit_once(": ")?;
                let (packets, bytes) = numbers.trim().split_once(' ')?;
                What::Count(flow.to_owned(), packets.parse().ok()?, bytes.parse().ok()?)
            }
            _ => {
                let step = scenario.steps.last_mut()?;
                let (What::Packets(_, outcome) | What::Execute(_, _, outcome)) = &mut step.what else {
                    return None;
                };
                return outcome.line(word, &rest);
            }
        };
        scenario.steps.push(Step { line, what });
        Some(())
    }

    fn substituted(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }
}

impl Outcome {
    fn line(&mut self, word: &str, rest: &str) -> Option<()> {
        match word {
            "out" => self.out.push(framed(rest).map(|(port, free, frame)| (port, frame, free))?),
            "miss" | "up" => {
                self.up.push(framed(rest).map(|(port, _, frame)| (port, frame, word == "miss"))?)
            }
            "drop" => {
                let (name, n) = rest.split_once(' ').unwrap_or((rest, "1"));
                self.drops.push((name.to_owned(), n.parse().ok()?));
            }
            _ => return None,
        }
        Some(())
    }
}

fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split_whitespace().map(|word| word.parse().ok()).collect()
}

/// `PORT [but A-B]: PACKET`.
fn framed(text: &str) -> Option<(u32, Vec<usize>, Vec<u8>)> {
    let (head, frame) = text.split_once(": ")?;
    let (port, free) = match head.split_once(" but ") {
        Some((port, range)) => {
            let (from, to) = range.split_once('-')?;
            (port, (from.parse().ok()?..=to.parse().ok()?).collect())
        }
        None => (head, Vec::new()),
    };
    Some((port.trim().parse().ok()?, free, packet(frame)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read() {
        let text = "let eth eth 02:00:00:00:00:01 > 02:00:00:00:00:02\n\nscenario a\n  ports 1 2\n  flow in_port(1) => 2\n\
                    packet 1: $eth type 5 / hex 01\npacket 2: $eth type 5\nout 2 but 0-1: $eth type 5\ndrop x 3\n\
                    packet 1: $eth type 6\nmiss 1: $eth type 6\ncount in_port(1): 5 6\n";
        let [s] = parse("t", text).try_into().unwrap();
        assert_eq!((s.name.as_str(), s.ports.as_slice(), s.steps.len()), ("a", &[1, 2][..], 4));
        let What::Packets(list, outcome) = &s.steps[1].what else { panic!("{:?}", s.steps) };
        assert_eq!((list.len(), list[0].1.len(), outcome.out[0].2.as_slice()), (2, 15, &[0, 1][..]));
        assert_eq!(outcome.drops, [("x".to_owned(), 3)]);
        assert!(matches!(&s.steps[3].what, What::Count(flow, 5, 6) if flow == "in_port(1)"));
    }

    #[test]
    fn a_line_for_each_number() {
        let text = "scenario a\neach 4-6: packet {n}: eth 02:00:00:00:00:01 > 02:00:00:00:00:02 type {n}\neach 1-2: drop x{n} {n}\n";
        let [s] = parse("t", text).try_into().unwrap();
        let [Step { what: What::Packets(packets, outcome), .. }] = &s.steps[..] else {
            panic!("{:?}", s.steps)
        };
        assert_eq!(
            packets.iter().map(|(port, frame)| (*port, frame[13])).collect::<Vec<_>>(),
            [(4, 4), (5, 5), (6, 6)]
        );
        assert_eq!(outcome.drops, [("x1".to_owned(), 1), ("x2".to_owned(), 2)]);
    }

    #[test]
    #[should_panic(expected = "t:2: no step: frob 1")]
    fn a_mistake_is_named() {
        parse("t", "scenario a\nfrob 1\n");
    }
}
