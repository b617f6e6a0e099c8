//! Real traffic between the machines of the demonstration: ICMP echo, TCP with data, UDP question and answer.
//!
//! Where it sits: hidden sub-commands of `oxvs`, run inside the machines' namespaces, so that no other program is
//! needed there. Exit status 0 means an answer came, 1 that none did.
//!
//! ~~~text
//! oxvs answer                       answers on the TCP and UDP ports below until it is ended
//! oxvs probe ping ADDR
//! oxvs probe tcp ADDR PORT          connects, sends a line, reads it back
//! oxvs probe hold ADDR PORT         the same, then keeps the connection and says "held"
//! oxvs probe udp ADDR PORT
//! oxvs probe unasked ADDR           a UDP packet from port 53 that nobody asked for; exit 0 if it arrived
//! oxvs probe watch                  waits for that packet
//! ~~~

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, ipproto};

/// Ports that the machines answer on.
pub const TCP_PORTS: [u16; 2] = [22, 80];
/// Likewise for UDP.
pub const UDP_PORTS: [u16; 2] = [53, 69];
/// Where [`watch`] listens.
pub const UNASKED_PORT: u16 = 40_000;

/// How long an answer may take; what is dropped takes this long to be noticed.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Answers until it is ended.
pub fn answer() -> Result<ExitCode> {
    for port in TCP_PORTS {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).context("cannot listen")?;
        std::thread::spawn(move || {
            listener.incoming().flatten().for_each(|peer| drop(std::thread::spawn(|| echo(peer))))
        });
    }
    for port in UDP_PORTS {
        let socket = shared_udp(port).context("cannot bind")?;
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(buffer.get(..length).unwrap_or_default(), peer);
            }
        });
    }
    println!("ready");
    loop {
        std::thread::park();
    }
}

fn echo(mut peer: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = peer.read(&mut buffer) {
        if peer.write_all(buffer.get(..length).unwrap_or_default()).is_err() {
            break;
        }
    }
}

/// Runs one probe.
pub fn run(words: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let answered = match words.as_slice() {
        ["ping", to] => ping(to.parse()?)?,
        ["tcp", to, port] => tcp(address(to, port)?).is_ok(),
        ["hold", to, port] => hold(address(to, port)?)?,
        ["udp", to, port] => udp(address(to, port)?)?,
        ["unasked", to] => unasked(to.parse()?)?,
        ["watch"] => watch()?,
        _ => bail!("unknown probe {words:?}"),
    };
    Ok(ExitCode::from(u8::from(!answered)))
}

fn address(to: &str, port: &str) -> Result<SocketAddr> {
    Ok(SocketAddr::new(to.parse::<IpAddr>()?, port.parse()?))
}

fn tcp(to: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    talk(&mut stream)?;
    Ok(stream)
}

fn talk(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(b"are you there?\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    if line == "are you there?\n" { Ok(()) } else { bail!("answered {line:?}") }
}

fn hold(to: SocketAddr) -> Result<bool> {
    let mut stream = tcp(to)?;
    for _ in 0..20 {
        talk(&mut stream)?;
    }
    println!("held");
    loop {
        std::thread::park();
    }
}

fn udp(to: SocketAddr) -> Result<bool> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(b"question", to)?;
    let mut buffer = [0; 64];
    Ok(socket
        .recv_from(&mut buffer)
        .is_ok_and(|(length, peer)| peer == to && buffer.get(..length) == Some(b"question")))
}

/// A socket on a port that the answering program and [`unasked`] both send from.
fn shared_udp(port: u16) -> Result<UdpSocket> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?;
    Ok(UdpSocket::from(socket))
}

fn unasked(to: Ipv4Addr) -> Result<bool> {
    let socket = shared_udp(53)?;
    socket.send_to(b"an answer to no question", (to, UNASKED_PORT))?;
    Ok(true)
}

fn watch() -> Result<bool> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, UNASKED_PORT))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    println!("ready");
    let mut buffer = [0; 64];
    Ok(socket.recv_from(&mut buffer).is_ok())
}

/// One echo request and its reply, by a raw socket: root in the namespace may have one.
fn ping(to: Ipv4Addr) -> Result<bool> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP))?;
    let timeout = Some(Duration::from_millis(100));
    rustix::net::sockopt::set_socket_timeout(&socket, rustix::net::sockopt::Timeout::Recv, timeout)?;
    let id = (std::process::id() as u16).to_be_bytes();
    let request = echo_request(id);
    rustix::net::sendto(&socket, &request, SendFlags::empty(), &SocketAddr::from((to, 0)))?;
    let end = Instant::now() + PATIENCE;
    let mut buffer = [0; 2048];
    while Instant::now() < end {
        let Ok((length, _, peer)) = rustix::net::recvfrom(&socket, &mut buffer[..], RecvFlags::empty())
        else {
            continue;
        };
        let from_there =
            peer.and_then(|peer| SocketAddr::try_from(peer).ok()).is_some_and(|peer| peer.ip() == to);
        // a raw socket sees the IP header too: 20 bytes, as nobody sends options here
        let reply = buffer.get(20..length).unwrap_or_default();
        if from_there && reply.first() == Some(&0) && reply.get(4..6) == Some(&id) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn echo_request(id: [u8; 2]) -> [u8; 40] {
    let mut packet = [b'.'; 40];
    packet[..8].copy_from_slice(&[8, 0, 0, 0, id[0], id[1], 0, 1]);
    let sum: u32 = packet.chunks_exact(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    packet[2..4].copy_from_slice(&(!folded as u16).to_be_bytes());
    packet
}
