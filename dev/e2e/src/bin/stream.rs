//! A stream of datagrams at an even rate, and who counts what arrives: to say exactly what was lost.
//!
//! Where it sits: run by tests inside machines, `stream send ADDRESS RATE SECONDS` and `stream receive ADDRESS`.
//!
//! The sender catches up by a few datagrams at most: whatever holds it up, no burst follows that would fill the queues of the machine itself. Each
//! side prints one line when it is done: how many were sent; how many came, how many came twice, and the longest silence in
//! milliseconds.

use std::net::UdpSocket;
use std::time::Duration;

use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use rustix::time::{ClockId, clock_gettime};

/// Bytes of a datagram: its number, and what makes the frame 64 bytes.
const LEN: usize = 22;
/// The number that ends a stream.
const END: u64 = u64::MAX;
/// Silence after which a receiver gives up.
const PATIENCE: Duration = Duration::from_secs(5);
/// Datagrams that make good for time in which the sender did not run, at most.
const BURST: u64 = 32;
/// Bytes that wait for the receiver: seconds of the stream.
const BUFFER: usize = 64 << 20;

fn now_ns() -> u64 {
    let t = clock_gettime(ClockId::Monotonic);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

fn send(to: &str, rate: u64, seconds: u64) -> std::io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(to)?;
    let (gap, mut message) = (1_000_000_000 / rate, [0; LEN]);
    let (start, mut sent) = (now_ns(), 0u64);
    let mut due = start;
    while due < start + seconds * 1_000_000_000 {
        while now_ns() < due {
            std::thread::sleep(Duration::from_nanos(due.saturating_sub(now_ns()).min(gap)));
        }
        message[..8].copy_from_slice(&sent.to_be_bytes());
        sent += u64::from(socket.send(&message).is_ok());
        due = (due + gap).max(now_ns().saturating_sub(BURST * gap));
    }
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(100));
        message[..8].copy_from_slice(&END.to_be_bytes());
        // The receiver may have ended with the first of these.
        let _ = socket.send(&message);
    }
    println!("{sent}");
    Ok(())
}

fn receive(at: &str) -> std::io::Result<()> {
    let socket = UdpSocket::bind(at)?;
    if set_socket_recv_buffer_size_force(&socket, BUFFER).is_err() {
        set_socket_recv_buffer_size(&socket, BUFFER)?;
    }
    println!("ready");
    let (mut got, mut twice, mut silence, mut last) = (Vec::new(), 0u64, 0, None);
    let mut message = [0; LEN];
    loop {
        let n = socket.recv(&mut message)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let number = message[..n].first_chunk().map_or(END, |bytes| u64::from_be_bytes(*bytes));
        if number == END {
            break;
        }
        let now = now_ns();
        silence = silence.max(now - last.replace(now).unwrap_or(now));
        let at = number as usize;
        if got.len() <= at {
            got.resize(at + 1, false);
        }
        twice += u64::from(std::mem::replace(&mut got[at], true));
    }
    println!("{} {twice} {}", got.iter().filter(|g| **g).count(), silence / 1_000_000);
    Ok(())
}

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().map_err(std::io::Error::other);
    match words.as_slice() {
        ["send", to, rate, seconds] => send(to, number(rate)?, number(seconds)?),
        ["receive", at] => receive(at),
        _ => Err(std::io::Error::other("usage: stream send ADDRESS RATE SECONDS | stream receive ADDRESS")),
    }
}
