//! What goes on between machines `a` and `b` while a test does something to the switch: datagrams that are counted one by
//! one, and TCP.
//!
//! Where it sits: tests hold a [`Stream`] and perhaps a [`Tcp`], and ask both to go on before, during and after the event.
//! A test that sent nothing, or too little, fails: [`Stream::goes_on`] waits for so many answers.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use testkit::SwitchUnderTest;

use crate::system;

/// Datagrams in a second, each way.
pub const RATE: u64 = 10_000;
/// How long so many answers may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that TCP must have moved, each way, to count as going on.
const TCP_BYTES: u64 = 4 << 20;
/// What TCP may have under way. Its rate is whatever this allows: without it, it would fill the queues of the ports until they
/// overflow, as it looks for the limit, and take datagrams with it.
const TCP_WINDOW: &str = "256K";

/// Starts a program in a machine, whose output is ours.
///
/// # Panics
/// When it cannot be started.
pub fn within(machine: &str, program: &str, words: &str) -> Child {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", machine, program]).args(words.split_whitespace());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ip runs")
}

/// What became of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Datagrams that `a` sent.
    pub sent: u64,
    /// Those that came to `b`.
    pub arrived: u64,
    /// Those whose answer came back.
    pub answered: u64,
    /// Those that came twice, either way.
    pub twice: u64,
    /// The longest time without an answer.
    pub silence_ms: u64,
}

impl Counted {
    /// True if every datagram was sent, came, and was answered, once.
    pub fn is_whole(&self) -> bool {
        (self.arrived, self.answered, self.twice) == (self.sent, self.sent, 0)
    }

    /// Datagrams and answers that were lost.
    pub fn lost(&self) -> u64 {
        (self.sent - self.arrived) + (self.arrived - self.answered)
    }
}

/// A stream of datagrams from `a` to `b` and back.
#[derive(Debug)]
pub struct Stream {
    pinger: Child,
    answerer: Child,
    lines: Receiver<String>,
    answered: u64,
}

impl Stream {
    /// Starts it from `a`; `program` is this package's `stream`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(program: &str) -> Stream {
        let pinger = |words: &str| within("a", program, words);
        Stream::from(program, pinger)
    }

    /// The same from this machine instead of `a`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_here(program: &str) -> Stream {
        let pinger = |words: &str| {
            let mut command = Command::new(program);
            command.args(words.split_whitespace()).stdin(Stdio::piped()).stdout(Stdio::piped());
            command.spawn().expect("it runs")
        };
        Stream::from(program, pinger)
    }

    fn from(program: &str, pinger: impl Fn(&str) -> Child) -> Stream {
        let mut answerer = within("b", program, "answer 10.0.0.2:7000");
        let mut ready = String::new();
        let out = answerer.stdout.as_mut().expect("a pipe");
        BufReader::new(out).read_line(&mut ready).expect("it says that it is ready");
        let mut pinger = pinger(&format!("ping 10.0.0.2:7000 {RATE}"));
        let out = BufReader::new(pinger.stdout.take().expect("a pipe"));
        let (send, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Stream { pinger, answerer, lines, answered: 0 }
    }

    /// Waits until `n` datagrams more have been answered.
    ///
    /// # Panics
    /// When that takes too long.
    #[track_caller]
    pub fn goes_on(&mut self, n: u64) {
        let number = |line: String| line.parse().expect("a number");
        self.answered = self.lines.try_iter().last().map_or(self.answered, number);
        let (wanted, end) = (self.answered + n, Instant::now() + PATIENCE);
        while self.answered < wanted {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|e| panic!("{} of {wanted} answers: {e}", self.answered));
            self.answered = number(line);
        }
    }

    /// Ends it.
    ///
    /// # Panics
    /// When the end is not answered.
    pub fn end(mut self) -> Counted {
        drop(self.pinger.stdin.take());
        let line = self.lines.iter().find(|line| line.starts_with("end ")).expect("its last line");
        let n: Vec<u64> = line.split(' ').skip(1).map(|n| n.parse().expect("a number")).collect();
        assert!(self.pinger.wait().expect("our child").success(), "the sender failed");
        let counted = Counted { sent: n[0], arrived: n[1], answered: n[2], twice: n[3], silence_ms: n[4] };
        println!("{counted:?}");
        counted
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        for child in [&mut self.pinger, &mut self.answerer] {
            // One that has ended need not be ended.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// iperf3 between `a` and `b`, both ways at once.
#[derive(Debug)]
pub struct Tcp {
    client: Child,
    server: Child,
}

impl Tcp {
    /// True if there is an iperf3 here.
    pub fn is_there() -> bool {
        Command::new("iperf3").arg("--version").output().is_ok()
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(pair: &SwitchUnderTest) -> Tcp {
        let server = within("b", "iperf3", "-s -1 -B 10.0.0.2");
        pair.await_true("iperf3 listens", || system("ip netns exec b ss -tln").contains(":5201"));
        let client = within("a", "iperf3", &format!("-c 10.0.0.2 -t 600 --bidir -w {TCP_WINDOW} -J"));
        Tcp { client, server }
    }

    /// Waits until so much more went either way that it cannot have been under way already.
    ///
    /// # Panics
    /// When that takes too long.
    #[track_caller]
    pub fn goes_on(&self, pair: &SwitchUnderTest) {
        let before = moved();
        pair.await_true("TCP goes on, both ways", || {
            let now = moved();
            now.0 > before.0 + TCP_BYTES && now.1 > before.1 + TCP_BYTES
        });
    }

    /// Ends it.
    ///
    /// # Panics
    /// When anything but this ended it.
    pub fn end(mut self) {
        let pid = rustix::process::Pid::from_child(&self.client);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("our child");
        let mut said = String::new();
        let mut out = self.client.stdout.take().expect("a pipe");
        std::io::Read::read_to_string(&mut out, &mut said).expect("it tells what it did");
        let error = said.lines().find(|line| line.contains("\"error\":")).unwrap_or_default();
        assert!(said.contains("\"end\":"), "{said}");
        assert!(error.is_empty() || error.contains("interrupt"), "{error}");
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        for child in [&mut self.client, &mut self.server] {
            // One that has ended need not be ended.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Bytes that went from `a` to `b` by TCP, and back.
fn moved() -> (u64, u64) {
    let sockets = system("ip netns exec a ss -tin dst 10.0.0.2:5201");
    let sum = |name: &str| {
        let values = sockets.split_whitespace().filter_map(|word| word.strip_prefix(name));
        values.map(|n| n.parse::<u64>().expect("a number")).sum()
    };
    (sum("bytes_acked:"), sum("bytes_received:"))
}
