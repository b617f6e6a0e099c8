//! The two machines' own programs: one answers, the other asks and measures.
//!
//! Where it sits: `mod` runs this same program again inside each machine's namespace (`bench veth-end=…`); a figure is
//! printed on one line.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

/// Where the answering machine listens.
const ADDRESS: &str = "10.0.0.2";
const ECHO: u16 = 7007;
const TRANSACTIONS: u16 = 7008;
const SINK: u16 = 7009;
/// Seconds that a figure is measured for.
const SECONDS: f64 = 2.0;
/// Connections side by side at most.
const SIDE_BY_SIDE: usize = 16;
/// Payload of the flood's packets, whose frames have 64 bytes with the checksum of the wire.
const SMALL: [u8; 18] = [0x5a; 18];
const REQUEST: [u8; 64] = [0x5a; 64];
const PATIENCE: Duration = Duration::from_secs(1);

/// Does what `what` says, in the namespace where this runs.
pub(super) fn run(what: &str) -> Result<()> {
    match what {
        "answer" => answer(),
        "round-trips" => round_trips(),
        "flood" => flood(),
        other => match other.strip_prefix("transactions-").and_then(|n| n.parse().ok()) {
            Some(n) => transactions(n),
            None => bail!("no end is called '{other}'"),
        },
    }
}

/// Answers until it is killed.
fn answer() -> Result<()> {
    let echo = UdpSocket::bind((ADDRESS, ECHO))?;
    let listener = TcpListener::bind((ADDRESS, TRANSACTIONS))?;
    // Nobody reads it: packets that arrive are counted by the device.
    let _sink = UdpSocket::bind((ADDRESS, SINK))?;
    for _ in 0..SIDE_BY_SIDE {
        let listener = listener.try_clone()?;
        std::thread::spawn(move || {
            loop {
                // A client that gave up is no reason to stop.
                let _ = listener.accept().and_then(|(mut stream, _)| {
                    let mut request = [0; REQUEST.len()];
                    stream.read_exact(&mut request)?;
                    stream.write_all(&request)
                });
            }
        });
    }
    println!("ready");
    let mut packet = [0; 2048];
    loop {
        let (n, from) = echo.recv_from(&mut packet)?;
        echo.send_to(packet.get(..n).unwrap_or_default(), from)?;
    }
}

/// Microseconds that half, and 99 of 100, round trips of a small UDP packet stay under.
fn round_trips() -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect((ADDRESS, ECHO))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut trips = Vec::new();
    let (start, mut answer, mut lost) = (Instant::now(), [0; 64], 0);
    while start.elapsed().as_secs_f64() < SECONDS && lost < 3 {
        let sent = Instant::now();
        socket.send(&SMALL)?;
        match socket.recv(&mut answer) {
            Ok(_) => trips.push(sent.elapsed().as_secs_f64() * 1e6),
            Err(_) => lost += 1,
        }
    }
    ensure!(!trips.is_empty(), "no packet was answered");
    trips.sort_by(f64::total_cmp);
    let at = |part: usize| trips.get(trips.len() * part / 100).copied().unwrap_or(f64::NAN);
    println!("{} {}", at(50), at(99));
    Ok(())
}

/// Connections a second that were made, asked, answered and closed, with `n` at a time.
fn transactions(n: usize) -> Result<()> {
    let done = AtomicU64::new(0);
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(SECONDS);
    let to = std::net::SocketAddr::new(ADDRESS.parse()?, TRANSACTIONS);
    let one = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&REQUEST)?;
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply)?;
        Ok(())
    };
    std::thread::scope(|scope| {
        for _ in 0..n.clamp(1, SIDE_BY_SIDE) {
            scope.spawn(|| {
                while Instant::now() < end {
                    if one().is_ok() {
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    println!("{}", done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

/// Sends small packets as fast as they go.
fn flood() -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect((ADDRESS, SINK))?;
    let start = Instant::now();
    let mut sent = 0u64;
    while start.elapsed().as_secs_f64() < SECONDS {
        for _ in 0..64 {
            // A full queue is part of the measurement.
            sent += u64::from(socket.send(&SMALL).is_ok());
        }
    }
    println!("{sent}");
    Ok(())
}
