//! probe, ping, benchmark: is a peer there, and how fast does it answer?
//!
//! Where it sits: echo requests over a connection.

use openflow::msg::Message;

use super::vconn::Vconn;
use super::{Context, Fatal, fatal, say};

/// probe
pub async fn probe(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let mut vconn = Vconn::open(cx, &args[0]).await?;
    let reply = vconn.transact(&Message::EchoRequest(Vec::new())).await?;
    match reply.decode() {
        Ok(Message::EchoReply(data)) if data.is_empty() => Ok(()),
        _ => Err(fatal("reply does not match request")),
    }
}

/// A payload that a reply can be told by.
fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + 1) as u8).collect()
}

fn length(text: &str, most: usize) -> Result<usize, Fatal> {
    text.parse()
        .ok()
        .filter(|n| *n <= most)
        .ok_or_else(|| fatal(format!("payload must be between 0 and {most} bytes")))
}

/// ping
pub async fn ping(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let size = length(args.get(1).map_or("64", String::as_str), 65535 - 8)?;
    let mut vconn = Vconn::open(cx, &args[0]).await?;
    for _ in 0..10 {
        let data = payload(size);
        let start = std::time::Instant::now();
        let xid =
            vconn.send(&Message::EchoRequest(data.clone())).await.map_err(|e| vconn.broken("send", e))?;
        let reply = vconn.receive_reply(xid).await.map_err(|e| vconn.broken("receive", e))?;
        let ms = start.elapsed().as_secs_f64() * 1000.0;
        if !matches!(reply.decode(), Ok(Message::EchoReply(back)) if back == data) {
            say("Reply does not match request:\n");
        }
        say(&format!("{size} bytes from {}: xid={xid:08x} time={ms:.1} ms\n", args[0]));
    }
    Ok(())
}

/// benchmark
pub async fn benchmark(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let size = length(&args[1], 65535 - 8)?;
    let count: usize = args[2].parse().map_err(|_| fatal(format!("{}: invalid argument", args[2])))?;
    let message = size + 8;
    say(&format!(
        "Sending {count} packets * {message} bytes (with header) = {} bytes total\n",
        count * message
    ));
    let mut vconn = Vconn::open(cx, &args[0]).await?;
    let start = std::time::Instant::now();
    for _ in 0..count {
        vconn.transact(&Message::EchoRequest(payload(size))).await?;
    }
    let seconds = start.elapsed().as_secs_f64().max(1e-9);
    say(&format!(
        "Finished in {:.1} ms ({:.0} packets/s) ({:.0} bytes/s)\n",
        seconds * 1000.0,
        count as f64 / seconds,
        (count * message) as f64 / seconds
    ));
    Ok(())
}
