//! packet-out, monitor and snoop: packets to a switch, and everything that it says.
//!
//! Where it sits: `monitor` and `snoop` stay, so they run as a daemon with a control socket; packet-out is one request per packet.
//!
//! ~~~text
//! switch ─ messages ─► monitor ─ text ─► standard error, or the file of ofctl/set-output-file
//!                         ▲
//!                         └─ unixctl: ofctl/send, ofctl/barrier, ofctl/packet-out, ofctl/block, ofctl/unblock, exit
//! ~~~

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::rc::Rc;

use daemon::unixctl::Call;
use daemon::{Daemon, Exit, Handle};
use openflow::msg::{
    Dialect, Message, PacketIn, PacketInFormat, PacketOut, SwitchConfig, VersionSet, header,
};
use openflow::print::{self, Verbosity};
use openflow::{Names, OfpError, OfpPort, Protocols, Version, actions, matches};

use super::vconn::{Received, Socket, Vconn, next_xid};
use super::{Context, Fatal, fatal, flows, names, show, watch};

/// packet-out
pub async fn packet_out(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let switch = &args[0];
    let (requests, usable) = if args.len() == 2 {
        flows::with_names(cx, switch, |names| parse_packet_out(&args[1], names)).await?
    } else if args.len() == 3 {
        return Err(fatal("Too many arguments (4)"));
    } else {
        flows::with_names(cx, switch, |names| parse_separate(&args[1], &args[2], &args[3..], names)).await?
    };
    let mut vconn = flows::open_for(cx, switch, usable).await?;
    for request in requests {
        let errors = vconn.transact_without_reply(&[Message::PacketOut(request)]).await?;
        if let Some(error) = errors.first() {
            return Err(flows::refused(cx, error));
        }
    }
    Ok(())
}

type PacketOuts = (Vec<PacketOut>, Protocols);

/// `IN_PORT ACTIONS PACKET...`
fn parse_separate(port: &str, text: &str, frames: &[String], names: &Names) -> Result<PacketOuts, String> {
    let port = parse_port(port, names).ok_or_else(|| format!("unknown port \"{port}\""))?;
    let (actions, usable) = actions::parse_plain(text, names).map_err(|e| e.to_string())?;
    let packet = |hex: &String| Ok(PacketOut::new(port, actions.clone(), parse_frame(hex)?));
    let packets: Result<Vec<PacketOut>, String> = frames.iter().map(packet).collect();
    Ok((packets?, usable))
}

/// `in_port=…,packet=…,actions=…`, with fields of the pipeline beside.
pub fn parse_packet_out(text: &str, names: &Names) -> Result<PacketOuts, String> {
    let Some((head, action_text)) = text.split_once("actions=") else {
        return Err("must specify an action".to_owned());
    };
    let (mut packet, mut fields) = (None, Vec::new());
    for item in head.split([',', ' ', '\t', '\n']).filter(|i| !i.is_empty()) {
        match item.split_once('=') {
            Some(("packet", hex)) => packet = Some(parse_frame(hex)?),
            _ => fields.push(item),
        }
    }
    let (metadata, _) = matches::parse(&fields.join(","), names).map_err(|e| e.to_string())?;
    let (actions, mut usable) = actions::parse_plain(action_text, names).map_err(|e| e.to_string())?;
    let packet = packet.ok_or("must specify packet")?;
    let port = if metadata.wc.in_port() == 0 { OfpPort::NONE } else { OfpPort(metadata.key.in_port()) };
    let mut request = PacketOut::new(port, actions, packet);
    let mut only_port = matches::any();
    if metadata.wc.in_port() != 0 {
        only_port.set_exact(flow::slot::in_port, u128::from(port.0));
    }
    if metadata != only_port {
        usable &= Protocols::OF15_OXM;
        request.metadata = metadata;
    }
    Ok((vec![request], usable))
}

fn parse_port(text: &str, names: &Names) -> Option<OfpPort> {
    OfpPort::from_reserved_name(text)
        .or_else(|| text.parse().ok().and_then(|n| OfpPort::from_of11(n).ok()))
        .or_else(|| names.ports.number(text).map(OfpPort))
}

/// A frame in hexadecimal.
fn parse_frame(hex: &str) -> Result<Vec<u8>, String> {
    let (bytes, rest) = hex_bytes(hex);
    if !rest.is_empty() {
        return Err("Trailing garbage in packet data".to_owned());
    }
    if bytes.len() < 14 {
        return Err("Packet data too short for Ethernet".to_owned());
    }
    Ok(bytes)
}

/// The bytes that `text` begins with, two digits each, white space between them ignored; and what follows.
pub fn hex_bytes(text: &str) -> (Vec<u8>, &str) {
    let mut bytes = Vec::new();
    let mut rest = text.trim_start();
    while let Some(byte) = rest.get(..2).and_then(|d| u8::from_str_radix(d, 16).ok()) {
        bytes.push(byte);
        rest = rest[2..].trim_start();
    }
    (bytes, rest)
}

/// What `monitor` does with what comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Resume {
    No,
    Yes,
}

/// monitor
pub async fn monitor(cx: &Context, args: &[String], stay: Stay) -> Result<(), Fatal> {
    let mut vconn = Vconn::open(cx, &args[0]).await?;
    let mut resume = Resume::No;
    let mut watched = Vec::new();
    for arg in &args[1..] {
        if arg.bytes().all(|b| b.is_ascii_digit()) && !arg.is_empty() {
            let miss_send_len = arg.parse::<u32>().unwrap_or(u32::MAX).min(65535) as u16;
            let config = show::fetch_config(&mut vconn).await?;
            set_config(cx, &mut vconn, SwitchConfig { miss_send_len, ..config }).await?;
        } else if arg == "invalid_ttl" {
            set_invalid_ttl(cx, &mut vconn).await?;
        } else if arg == "resume" {
            resume = Resume::Yes;
        } else if let Some(spec) = arg.strip_prefix("watch:") {
            let id = watched.len() as u32;
            watched.push(flows::with_names(cx, &args[0], |names| watch::parse(id, spec, names)).await?);
        } else {
            return Err(fatal(format!("{arg}: unsupported \"monitor\" argument")));
        }
    }
    set_packet_in_format(cx, &mut vconn).await?;
    let names = names::to_show(cx, &args[0]).await?;
    if !watched.is_empty() {
        let request = Message::FlowMonitorRequest(watched);
        vconn.send(&request).await.map_err(|e| vconn.broken("send", e))?;
    }
    stay.watch(cx, vconn, names, resume).await
}

async fn set_config(cx: &Context, vconn: &mut Vconn, config: SwitchConfig) -> Result<(), Fatal> {
    let errors = vconn.transact_without_reply(&[Message::SetConfig(config)]).await?;
    errors.first().map_or(Ok(()), |error| Err(flows::refused(cx, error)))
}

async fn set_invalid_ttl(cx: &Context, vconn: &mut Vconn) -> Result<(), Fatal> {
    let can: VersionSet = [Version::V10, Version::V11, Version::V12].into_iter().collect();
    if can.highest_common(cx.versions()).is_none() {
        return Err(fatal(
            "invalid_ttl requires one of the OpenFlow versions OpenFlow10, OpenFlow11, OpenFlow12 \
             but none is enabled (use -O)",
        ));
    }
    let config = show::fetch_config(vconn).await?;
    if config.invalid_ttl_to_controller {
        return Ok(());
    }
    set_config(cx, vconn, SwitchConfig { invalid_ttl_to_controller: true, ..config }).await?;
    if !show::fetch_config(vconn).await?.invalid_ttl_to_controller {
        return Err(fatal(
            "setting invalid_ttl_to_controller failed (this switch probably doesn't support this flag)",
        ));
    }
    Ok(())
}

/// Asks for the format that was named, else for the fullest that the switch has.
async fn set_packet_in_format(cx: &Context, vconn: &mut Vconn) -> Result<(), Fatal> {
    let wanted = match cx.packet_in_format {
        Some(format) => vec![format],
        None => vec![PacketInFormat::Nxt2, PacketInFormat::Nxt],
    };
    for format in &wanted {
        let errors = vconn.transact_without_reply(&[Message::SetPacketInFormat(*format)]).await?;
        if errors.is_empty() {
            return Ok(());
        }
    }
    match cx.packet_in_format {
        Some(format) => {
            Err(fatal(format!("{}: failed to set packet-in format to {}", vconn.name(), format.name())))
        }
        None => Ok(()),
    }
}

/// snoop
pub async fn snoop(cx: &Context, args: &[String], stay: Stay) -> Result<(), Fatal> {
    let vconn = Vconn::open_socket(cx, &args[0], Socket::Snoop).await?;
    stay.watch(cx, vconn, Names::none(), Resume::No).await
}

/// Commands of the control socket that the loop carries out.
enum Order {
    Send(Vec<Vec<u8>>, Call),
    Barrier(Call),
    PacketOut(String, Call),
}

/// What control commands and the loop share.
struct Shared {
    orders: VecDeque<Order>,
    blocked: bool,
    output: File,
}

/// A command that stays: the process's daemon side, and where its output goes.
pub struct Stay {
    handle: Handle,
    output: File,
}

/// Runs `monitor` or `snoop` to its end. Forks here if that was asked for.
pub fn run(cx: &Context, command: &str, args: &[String]) -> Result<(), Fatal> {
    use std::os::fd::AsFd;
    // The daemon's own standard error goes nowhere once it is in the background; the output does not.
    let output = std::io::stderr().as_fd().try_clone_to_owned();
    let output = File::from(output.map_err(|e| fatal(stream::error_text(&e)))?);
    let daemon = Daemon::start(&cx.daemon).map_err(|e| fatal(e.to_string()))?;
    let (cx, command, args) = (cx.clone(), command.to_owned(), args.to_vec());
    daemon.run(async move |handle| {
        let timeout = (cx.timeout_secs > 0).then(|| handle.clock().now_ms() + cx.timeout_secs * 1000);
        let clock = handle.clock().clone();
        let stay = Stay { handle, output };
        let work = async {
            match command.as_str() {
                "monitor" => monitor(&cx, &args, stay).await,
                _ => snoop(&cx, &args, stay).await,
            }
        };
        tokio::select! {
            result = work => result,
            () = clock.sleep_until_some(timeout) => Err(alarm()),
        }
    })
}

/// The end by the alarm signal that `--timeout` promises.
fn alarm() -> Fatal {
    log::warn!(target: "fatal_signal", "terminating with signal 14 (Alarm clock)");
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::ALARM);
    fatal("terminating with signal 14 (Alarm clock)")
}

impl Stay {
    async fn watch(self, cx: &Context, mut vconn: Vconn, names: Names, resume: Resume) -> Result<(), Fatal> {
        let shared =
            Rc::new(RefCell::new(Shared { orders: VecDeque::new(), blocked: false, output: self.output }));
        let wake = Rc::new(tokio::sync::Notify::new());
        register(&self.handle, &shared, &wake);
        let exit = Exit::register(self.handle.commands());
        self.handle.ready();
        let mut barriers: Vec<(u32, Call)> = Vec::new();
        loop {
            let order = shared.borrow_mut().orders.pop_front();
            if let Some(order) = order {
                obey(order, &mut vconn, &names, &shared, &mut barriers).await?;
                continue;
            }
            let blocked = shared.borrow().blocked;
            tokio::select! {
                () = exit.requested() => {
                    exit.reply();
                    return Ok(());
                }
                () = wake.notified() => {}
                received = vconn.receive(), if !blocked => {
                    let received = received.map_err(|e| vconn.broken("receive", e))?;
                    show_received(cx, &received, &names, &shared);
                    let xid = header::message_xid(&received.bytes);
                    if let Some(at) = barriers.iter().position(|(b, _)| *b == xid) {
                        barriers.swap_remove(at).1.reply("");
                    }
                    if resume == Resume::Yes {
                        resume_packet(&mut vconn, &received).await?;
                    }
                }
            }
        }
    }
}

async fn resume_packet(vconn: &mut Vconn, received: &Received) -> Result<(), Fatal> {
    if let Ok(Message::PacketIn(pin)) = received.decode()
        && !pin.continuation.is_empty()
    {
        let back = Message::Resume(PacketIn { userdata: Vec::new(), ..pin });
        vconn.send(&back).await.map_err(|e| vconn.broken("send", e))?;
    }
    Ok(())
}

fn show_received(cx: &Context, received: &Received, names: &Names, shared: &Rc<RefCell<Shared>>) {
    let mut text = String::new();
    if cx.timestamp {
        text.push_str(&timestamp());
    }
    text.push_str(&print::message(&received.bytes, names, Verbosity(cx.more + 2)));
    let _ = shared.borrow_mut().output.write_all(text.as_bytes());
}

/// `2026-01-02 03:04:05.678: `, UTC.
fn timestamp() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (days, secs) = (since.as_secs() / 86400, since.as_secs() % 86400);
    // Days since 0000-03-01, so that leap days end years.
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (h, m, s) = (secs / 3600, secs / 60 % 60, secs % 60);
    format!("{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02}.{:03}: ", since.subsec_millis())
}

fn register(handle: &Handle, shared: &Rc<RefCell<Shared>>, wake: &Rc<tokio::sync::Notify>) {
    let commands = handle.commands();
    let (s, w) = (shared.clone(), wake.clone());
    commands.register("ofctl/send", "OFMSG...", 1..=usize::MAX, move |call| {
        let mut messages = Vec::new();
        for i in 0.. {
            let Some(text) = call.arg(i) else { break };
            match hex_bytes(text) {
                (bytes, "") => messages.push(bytes),
                _ => return call.error("Trailing garbage in hex data"),
            }
        }
        s.borrow_mut().orders.push_back(Order::Send(messages, call));
        w.notify_one();
    });
    let (s, w) = (shared.clone(), wake.clone());
    commands.register("ofctl/barrier", "", 0..=0, move |call| {
        s.borrow_mut().orders.push_back(Order::Barrier(call));
        w.notify_one();
    });
    let (s, w) = (shared.clone(), wake.clone());
    let usage = "\"in_port=<port> packet=<hex data> actions=...\"";
    commands.register("ofctl/packet-out", usage, 1..=usize::MAX, move |call| {
        let text = call.arg(0).unwrap_or_default().to_owned();
        s.borrow_mut().orders.push_back(Order::PacketOut(text, call));
        w.notify_one();
    });
    let s = shared.clone();
    commands.register("ofctl/set-output-file", "FILE", 1..=1, move |call| {
        let path = call.arg(0).unwrap_or_default().to_owned();
        match File::options().create(true).write(true).truncate(true).open(&path) {
            Ok(file) => {
                s.borrow_mut().output = file;
                call.reply("");
            }
            Err(e) => call.error(stream::error_text(&e)),
        }
    });
    for (name, blocked, already) in
        [("ofctl/block", true, "already blocking"), ("ofctl/unblock", false, "already unblocked")]
    {
        let (s, w) = (shared.clone(), wake.clone());
        commands.register(name, "", 0..=0, move |call| {
            if s.borrow().blocked == blocked {
                return call.error(already);
            }
            s.borrow_mut().blocked = blocked;
            w.notify_one();
            call.reply("");
        });
    }
}

async fn obey(
    order: Order,
    vconn: &mut Vconn,
    names: &Names,
    shared: &Rc<RefCell<Shared>>,
    barriers: &mut Vec<(u32, Call)>,
) -> Result<(), Fatal> {
    match order {
        Order::Send(messages, call) => {
            let mut answers = Vec::new();
            for message in messages {
                let text = format!("send: {}", print::message(&message, names, Verbosity(2)));
                let _ = shared.borrow_mut().output.write_all(text.as_bytes());
                vconn.send_bytes(&message).await.map_err(|e| vconn.broken("send", e))?;
                answers.push("sent\n");
            }
            call.reply(answers.concat());
        }
        Order::Barrier(call) => {
            let xid = vconn.send(&Message::BarrierRequest).await.map_err(|e| vconn.broken("send", e))?;
            barriers.push((xid, call));
        }
        Order::PacketOut(text, call) => match packet_out_bytes(&text, vconn.dialect(), names) {
            Ok(bytes) => {
                let text = format!("send: {}", print::message(&bytes, names, Verbosity(2)));
                let _ = shared.borrow_mut().output.write_all(text.as_bytes());
                vconn.send_bytes(&bytes).await.map_err(|e| vconn.broken("send", e))?;
                call.reply("sent\n");
            }
            Err(words) => call.error(words),
        },
    }
    Ok(())
}

fn packet_out_bytes(text: &str, dialect: Dialect, names: &Names) -> Result<Vec<u8>, String> {
    let (requests, usable) = parse_packet_out(text, names)?;
    if !usable.intersects(Protocols::of_version(dialect.version())) {
        return Err(format!("usable protocols: {usable}"));
    }
    let bytes = requests.into_iter().map(|po| Message::PacketOut(po).to_bytes(dialect, next_xid()));
    bytes.collect::<Result<Vec<_>, OfpError>>().map(|all| all.concat()).map_err(|e| e.name().to_owned())
}
