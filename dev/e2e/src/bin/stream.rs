//! A stream of numbered datagrams at an even rate, each of which is answered: to say exactly what was lost on either way.
//!
//! Where it sits: run by tests inside machines, `stream ping ADDRESS RATE` and `stream answer ADDRESS`; `e2e::load` reads
//! what they say.
//!
//! ~~~text
//!   ping ──► 0, 1, 2, … ──► answer counts, and sends each back
//!        ◄── …, 2, 1, 0 ◄──
//!   its input ends:
//!        ──► END ─────────► answer sends END back with what it has counted
//! ~~~
//!
//! The sender catches up by a few datagrams at most: whatever holds it up, no burst follows that would fill the queues of the
//! machine itself. It prints how many were answered, every now and then, and at the end one line: how many were sent, how many came, how many
//! were answered, how many came twice on either way, and the longest silence in milliseconds.

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use rustix::time::{ClockId, clock_gettime};

/// Bytes of a datagram: its number, and what makes the frame 64 bytes.
const LEN: usize = 22;
/// The number that ends a stream.
const END: u64 = u64::MAX;
/// How often, and how many times, the end is told again while nobody answers.
const END_EVERY: Duration = Duration::from_millis(100);
const END_TRIES: u32 = 100;
/// Datagrams that make good for time in which the sender did not run, at most.
const BURST: u64 = 64;
/// Bytes that wait for a receiver: seconds of the stream.
const BUFFER: usize = 64 << 20;
/// Answers between two lines about them.
const TELL_EVERY: u64 = 500;

fn now_ns() -> u64 {
    let t = clock_gettime(ClockId::Monotonic);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

fn socket(at: &str) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind(at)?;
    if set_socket_recv_buffer_size_force(&socket, BUFFER).is_err() {
        set_socket_recv_buffer_size(&socket, BUFFER)?;
    }
    Ok(socket)
}

/// A number in a datagram.
fn number(message: &[u8], at: usize) -> u64 {
    message.get(at..at + 8).map_or(END, |bytes| u64::from_be_bytes(bytes.try_into().expect("eight bytes")))
}

/// Which datagrams have come.
#[derive(Default)]
struct Seen {
    each: Vec<bool>,
    once: u64,
    twice: u64,
}

impl Seen {
    fn note(&mut self, number: u64) {
        let at = number as usize;
        if self.each.len() <= at {
            self.each.resize(at + 1, false);
        }
        let before = std::mem::replace(&mut self.each[at], true);
        self.once += u64::from(!before);
        self.twice += u64::from(before);
    }
}

/// Sends until nobody wants more; returns how many.
fn send(socket: &UdpSocket, rate: u64, stop: &AtomicBool) -> u64 {
    let (gap, mut message) = (1_000_000_000 / rate, [0; LEN]);
    let (mut due, mut sent) = (now_ns(), 0u64);
    while !stop.load(Ordering::Relaxed) {
        while now_ns() < due {
            std::thread::sleep(Duration::from_nanos(due.saturating_sub(now_ns()).min(gap)));
        }
        message[..8].copy_from_slice(&sent.to_be_bytes());
        sent += u64::from(socket.send(&message).is_ok());
        due = (due + gap).max(now_ns().saturating_sub(BURST * gap));
    }
    sent
}

/// What came back, and what the other end says of what came to it.
struct Answers {
    seen: Seen,
    arrived: u64,
    arrived_twice: u64,
    silence_ns: u64,
}

/// Counts answers until that to the end.
fn count_answers(socket: &UdpSocket) -> std::io::Result<Answers> {
    let mut answers = Answers { seen: Seen::default(), arrived: 0, arrived_twice: 0, silence_ns: 0 };
    let (mut message, mut last) = ([0; LEN], None);
    loop {
        let n = match socket.recv(&mut message) {
            // Nobody had the port yet.
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => continue,
            received => received?,
        };
        let of = number(&message[..n], 0);
        if of == END {
            (answers.arrived, answers.arrived_twice) = (number(&message, 8), u64::from(message[16]));
            return Ok(answers);
        }
        let now = now_ns();
        answers.silence_ns = answers.silence_ns.max(now - last.replace(now).unwrap_or(now));
        answers.seen.note(of);
        if answers.seen.once.is_multiple_of(TELL_EVERY) {
            println!("{}", answers.seen.once);
        }
    }
}

fn ping(to: &str, rate: u64) -> std::io::Result<()> {
    let socket = Arc::new(socket("0.0.0.0:0")?);
    socket.connect(to)?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    std::thread::spawn(move || {
        // However it ends, it has ended.
        let _ = std::io::stdin().read(&mut [0]);
        stopped.store(true, Ordering::Relaxed);
    });
    let of_thread = socket.clone();
    let (done, answered) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(count_answers(&of_thread)));
    let sent = send(&socket, rate, &stop);
    for _ in 0..END_TRIES {
        let mut message = [0; LEN];
        message[..8].copy_from_slice(&END.to_be_bytes());
        // One that is lost is sent again.
        let _ = socket.send(&message);
        if let Ok(answers) = answered.recv_timeout(END_EVERY) {
            let Answers { seen, arrived, arrived_twice, silence_ns } = answers?;
            let (twice, silence) = (seen.twice + arrived_twice, silence_ns / 1_000_000);
            println!("end {sent} {arrived} {} {twice} {silence}", seen.once);
            return Ok(());
        }
    }
    Err(std::io::Error::other("nobody answers to the end"))
}

fn answer(at: &str) -> std::io::Result<()> {
    let socket = socket(at)?;
    println!("ready");
    std::io::stdout().flush()?;
    let mut seen = Seen::default();
    let mut message = [0; LEN];
    loop {
        let (n, from) = socket.recv_from(&mut message)?;
        let of = number(&message[..n], 0);
        if of == END {
            message[8..16].copy_from_slice(&seen.once.to_be_bytes());
            message[16] = seen.twice.min(255) as u8;
        } else {
            seen.note(of);
        }
        // An answer that cannot be sent counts as lost.
        let _ = socket.send_to(&message, from);
    }
}

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["ping", to, rate] => ping(to, rate.parse().map_err(std::io::Error::other)?),
        ["answer", at] => answer(at),
        _ => Err(std::io::Error::other("usage: stream ping ADDRESS RATE | stream answer ADDRESS")),
    }
}
