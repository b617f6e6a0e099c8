//! Commands about flows: dump-flows, dump-aggregate, add-flow(s), mod-flows, del-flows.
//!
//! Where it sits: texts become flow mods by `openflow::text`, which also says which protocols can carry them; here one that the
//! switch speaks is chosen.

use std::cmp::Ordering;

use ::flow::Field;

use openflow::msg::{
    BundleAdd, BundleControl, BundleCtrl, BundleFlags, FlowStats, FlowStatsRequest, Message, header,
};
use openflow::print::{self, Verbosity};
use openflow::text::{TextError, flow};
use openflow::{FlowMod, FlowModCommand, Names, Protocols, Version, field};

use super::options::SortKey;
use super::vconn::{Received, Vconn, next_xid};
use super::{Context, Fatal, exit, fatal, names, say};

/// A flow mod and the protocols that can carry it.
pub type Parsed = (FlowMod, Protocols);

/// Parses with `parse`, first without names, and again with the switch's if that fails: the switch is asked only then.
pub async fn with_names<T>(
    cx: &Context,
    switch: &str,
    parse: impl Fn(&Names) -> Result<T, String>,
) -> Result<T, Fatal> {
    match parse(&Names::none()) {
        Ok(value) => Ok(value),
        Err(_) => {
            let names = names::to_accept(cx, switch).await?;
            parse(&names).map_err(fatal)
        }
    }
}

/// What the lines of a file of flows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// Flows for one command.
    Of(FlowModCommand),
    /// Flows to add, or with a first word for another command.
    Commands,
}

fn words(error: TextError) -> String {
    error.to_string()
}

/// Parses a file of flows; `-` is standard input. Errors name the file and the line.
pub async fn parse_file(
    cx: &Context,
    switch: Option<&str>,
    file: &str,
    lines_are: Lines,
) -> Result<Vec<Parsed>, Fatal> {
    let lines = read_lines(file)?;
    let parse = |names: &Names| parse_lines(&lines, file, lines_are, names);
    match switch {
        Some(switch) => with_names(cx, switch, parse).await,
        None => parse(&Names::none()).map_err(fatal),
    }
}

/// The lines of a file with their numbers: comments cut, empty lines left out.
pub fn read_lines(file: &str) -> Result<Vec<(usize, String)>, Fatal> {
    let text =
        if file == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(file) };
    let text = text.map_err(|e| fatal(format!("{file}: open failed ({})", stream::error_text(&e))))?;
    let cut = |line: &str| line.split('#').next().unwrap_or_default().trim().to_owned();
    let numbered = text.lines().enumerate().map(|(i, line)| (i + 1, cut(line)));
    Ok(numbered.filter(|(_, line)| !line.is_empty()).collect())
}

fn parse_lines(
    lines: &[(usize, String)],
    file: &str,
    lines_are: Lines,
    names: &Names,
) -> Result<Vec<Parsed>, String> {
    let parse = |(number, line): &(usize, String)| {
        let result = match lines_are {
            Lines::Commands => flow::parse_line(line, FlowModCommand::Add, names),
            Lines::Of(command) => flow::parse(line, command, names),
        };
        result.map_err(|e| format!("{file}:{number}: {e}"))
    };
    lines.iter().map(parse).collect()
}

/// Opens a connection that can carry a request which `usable` protocols can carry.
pub async fn open_for(cx: &Context, switch: &str, usable: Protocols) -> Result<Vconn, Fatal> {
    if !usable.intersects(cx.allowed) {
        return Err(fatal(format!(
            "none of the usable flow formats ({usable}) is among the allowed flow formats ({})",
            cx.allowed
        )));
    }
    let mut vconn = Vconn::open(cx, switch).await?;
    if usable.contains(vconn.dialect().protocol) && cx.allowed.contains(vconn.dialect().protocol) {
        return Ok(vconn);
    }
    for protocol in (usable & cx.allowed).iter().filter(|p| p.bits().is_power_of_two()) {
        if vconn.try_protocol(protocol).await? {
            return Ok(vconn);
        }
    }
    Err(fatal(format!("switch does not support any of the usable flow formats ({usable})")))
}

/// Prints an error reply on standard error and ends.
pub fn refused(cx: &Context, error: &Received) -> Fatal {
    eprint!("{}", print::message(&error.bytes, &Names::none(), Verbosity(cx.more + 2)));
    exit(1)
}

async fn send_flow_mods(cx: &Context, switch: &str, mods: Vec<Parsed>) -> Result<(), Fatal> {
    let usable = mods.iter().fold(Protocols::ANY, |all, (_, usable)| all & *usable);
    if cx.bundle {
        let mods = mods.into_iter().map(|(fm, _)| Message::FlowMod(fm)).collect();
        return send_bundle(cx, switch, mods, usable & Protocols::OF13_UP).await;
    }
    let mut vconn = open_for(cx, switch, usable).await?;
    for (fm, _) in mods {
        let errors = vconn.transact_without_reply(&[Message::FlowMod(fm)]).await?;
        if let Some(error) = errors.first() {
            return Err(refused(cx, error));
        }
    }
    Ok(())
}

/// Sends messages so that all take effect or none.
pub async fn send_bundle(
    cx: &Context,
    switch: &str,
    messages: Vec<Message>,
    usable: Protocols,
) -> Result<(), Fatal> {
    let mut vconn = open_for(cx, switch, usable).await?;
    bundle_over(cx, &mut vconn, messages).await
}

/// The same over a connection.
pub async fn bundle_over(cx: &Context, vconn: &mut Vconn, messages: Vec<Message>) -> Result<(), Fatal> {
    let flags = (BundleFlags::ATOMIC | BundleFlags::ORDERED).bits();
    let control = |ctrl| Message::BundleControl(BundleControl { bundle_id: 0, ctrl, flags });
    let reply = vconn.transact(&control(BundleCtrl::OpenRequest)).await?;
    check_bundle(cx, vconn, &reply)?;
    let mut sent = Vec::new();
    for message in messages {
        let xid = next_xid();
        let unsayable = |e: openflow::OfpError| fatal(e.name());
        let message = message.to_bytes(vconn.dialect(), xid).map_err(unsayable)?;
        let add = Message::BundleAdd(BundleAdd { bundle_id: 0, flags, message: message.clone() });
        let bytes = add.to_bytes(vconn.dialect(), xid).map_err(unsayable)?;
        vconn.send_bytes(&bytes).await.map_err(|e| vconn.broken("send", e))?;
        sent.push((xid, message));
    }
    let xids: Vec<u32> = sent.iter().map(|(xid, _)| *xid).collect();
    let errors = vconn.barrier(&xids).await?;
    for error in &errors {
        say_bundle_error(cx, error, &sent);
    }
    if !errors.is_empty() {
        let _ = vconn.transact(&control(BundleCtrl::DiscardRequest)).await?;
        return Err(protocol_error(vconn));
    }
    let commit = control(BundleCtrl::CommitRequest);
    let xid = vconn.send(&commit).await.map_err(|e| vconn.broken("send", e))?;
    loop {
        // What fails while committing is told of the message that failed, before the answer to the commit.
        let reply = vconn.receive().await.map_err(|e| vconn.broken("receive", e))?;
        if header::message_xid(&reply.bytes) == xid {
            return check_bundle(cx, vconn, &reply);
        }
        say_bundle_error(cx, &reply, &sent);
    }
}

fn check_bundle(cx: &Context, vconn: &Vconn, reply: &Received) -> Result<(), Fatal> {
    if matches!(reply.decode(), Ok(Message::BundleControl(_))) {
        return Ok(());
    }
    say_bundle_error(cx, reply, &[]);
    Err(protocol_error(vconn))
}

fn protocol_error(vconn: &Vconn) -> Fatal {
    fatal(format!("talking to {} (Protocol error)", vconn.name()))
}

/// Says which of the messages of a bundle failed, and how.
fn say_bundle_error(cx: &Context, reply: &Received, sent: &[(u32, Vec<u8>)]) {
    let Ok(Message::Error(e)) = reply.decode() else { return };
    let xid = header::message_xid(&reply.bytes);
    let of = sent.iter().find(|(sent, _)| *sent == xid).map_or(&e.data, |(_, message)| message);
    let what = e.error.map_or("unknown error", |e| e.name());
    eprint!("Error {what} for: {}", print::message(of, &Names::none(), Verbosity(cx.more + 1)));
}

async fn one_flow(cx: &Context, args: &[String], command: FlowModCommand) -> Result<(), Fatal> {
    let switch = &args[0];
    let text = args.get(1).map_or("", String::as_str);
    if args.len() > 1 && text == "-" {
        return from_file(cx, switch, "-", Lines::Of(command)).await;
    }
    let parsed = with_names(cx, switch, |names| flow::parse(text, command, names).map_err(words)).await?;
    send_flow_mods(cx, switch, vec![parsed]).await
}

async fn from_file(cx: &Context, switch: &str, file: &str, lines_are: Lines) -> Result<(), Fatal> {
    let mods = parse_file(cx, Some(switch), file, lines_are).await?;
    send_flow_mods(cx, switch, mods).await
}

/// add-flow
pub async fn add_flow(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    one_flow(cx, args, FlowModCommand::Add).await
}

/// add-flows
pub async fn add_flows(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    from_file(cx, &args[0], &args[1], Lines::Commands).await
}

/// mod-flows
pub async fn mod_flows(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let command = if cx.strict { FlowModCommand::ModifyStrict } else { FlowModCommand::Modify };
    one_flow(cx, args, command).await
}

/// del-flows
pub async fn del_flows(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let command = if cx.strict { FlowModCommand::DeleteStrict } else { FlowModCommand::Delete };
    one_flow(cx, args, command).await
}

/// The request of a text such as `table=1,ip,out_port=3`, and the protocols that can carry it.
pub fn parse_request(text: &str, names: &Names) -> Result<(FlowStatsRequest, Protocols), String> {
    let keyword = |key: &str| text.split([',', ' ']).any(|item| item.trim().starts_with(key));
    for refused in ["actions=", "priority="] {
        if keyword(refused) {
            return Err(format!("unknown keyword {}", refused.trim_end_matches('=')));
        }
    }
    let (fm, usable) = flow::parse(text, FlowModCommand::Delete, names).map_err(words)?;
    let request = FlowStatsRequest {
        matcher: fm.matcher,
        table_id: fm.table_id,
        out_port: fm.out_port,
        out_group: fm.out_group,
        cookie: fm.cookie,
        cookie_mask: fm.cookie_mask,
    };
    Ok((request, usable))
}

/// Protocols to dump flows in, best first.
const DUMP_PROTOCOLS: [Protocols; 7] = [
    Protocols::OF15_OXM,
    Protocols::OF14_OXM,
    Protocols::OF13_OXM,
    Protocols::OF12_OXM,
    Protocols::OF11_STD,
    Protocols::OF10_NXM,
    Protocols::OF10_STD,
];

/// A connection that shows flows as fully as the switch can.
pub async fn open_for_dump(cx: &Context, switch: &str, usable: Protocols) -> Result<Vconn, Fatal> {
    let mut vconn = Vconn::open(cx, switch).await?;
    for protocol in DUMP_PROTOCOLS {
        // A dump names its table apart, so that it does not matter whether flow mods do.
        let with_ids = match protocol {
            Protocols::OF10_NXM => Protocols::OF10_NXM_ANY,
            Protocols::OF10_STD => Protocols::OF10_STD_ANY,
            other => other,
        };
        if cx.allowed.intersects(with_ids)
            && usable.intersects(with_ids)
            && vconn.try_protocol(protocol).await?
        {
            return Ok(vconn);
        }
    }
    if !usable.intersects(cx.allowed) {
        return Err(fatal(format!(
            "none of the usable flow formats ({usable}) is among the allowed flow formats ({})",
            cx.allowed
        )));
    }
    Err(fatal(format!("switch does not support any of the usable flow formats ({usable})")))
}

async fn prepare(cx: &Context, args: &[String]) -> Result<(FlowStatsRequest, Vconn), Fatal> {
    let text = args.get(1).map_or("", String::as_str);
    let (request, usable) = with_names(cx, &args[0], |names| parse_request(text, names)).await?;
    let vconn = open_for_dump(cx, &args[0], usable).await?;
    Ok((request, vconn))
}

/// All flows of a switch that a request asks for.
pub async fn collect(
    cx: &Context,
    vconn: &mut Vconn,
    request: FlowStatsRequest,
) -> Result<Vec<FlowStats>, Fatal> {
    let mut flows = Vec::new();
    for part in vconn.transact_parts(&Message::FlowStatsRequest(request)).await? {
        match part.decode() {
            Ok(Message::FlowStatsReply(mut part)) => {
                // Ages are for the printed reply of 1.0 alone.
                if vconn.version() == Version::V10 {
                    part.iter_mut().for_each(|f| (f.idle_age, f.hard_age) = (None, None));
                }
                flows.extend(part);
            }
            _ => return Err(refused(cx, &part)),
        }
    }
    Ok(flows)
}

/// dump-flows
pub async fn dump_flows(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let show = names::to_show(cx, &args[0]).await?;
    let (request, mut vconn) = prepare(cx, args).await?;
    if cx.sort.is_empty() && !cx.no_stats && !cx.show_names() {
        return print_parts(cx, &mut vconn, &Message::FlowStatsRequest(request), &show).await;
    }
    let mut flows = collect(cx, &mut vconn, request).await?;
    if !cx.sort.is_empty() {
        flows.sort_by(|a, b| compare(&cx.sort, a, b));
    }
    for flow in &flows {
        let text = if cx.no_stats {
            print::flow_stats_without_counters(flow, &show)
        } else {
            print::flow_stats(flow, &show)
        };
        say(&format!(" {text}\n"));
    }
    Ok(())
}

/// Sends a request and prints all parts of the reply.
pub async fn print_parts(
    cx: &Context,
    vconn: &mut Vconn,
    request: &Message,
    names: &Names,
) -> Result<(), Fatal> {
    for part in vconn.transact_parts(request).await? {
        say(&print::message(&part.bytes, names, Verbosity(cx.more + 1)));
    }
    Ok(())
}

fn compare(keys: &[SortKey], a: &FlowStats, b: &FlowStats) -> Ordering {
    for key in keys {
        let order = match key.field {
            None => a.priority.cmp(&b.priority),
            Some(field) => compare_field(field, a, b),
        };
        let order = if key.descending { order.reverse() } else { order };
        if order != Ordering::Equal {
            return order;
        }
    }
    a.table_id.cmp(&b.table_id)
}

/// Flows that match the field come before those that do not, whichever the direction would be; by value among themselves.
fn compare_field(field: Field, a: &FlowStats, b: &FlowStats) -> Ordering {
    let has = |f: &FlowStats| !field::is_wild(field, &f.matcher);
    let value = |f: &FlowStats| field::get(field, &f.matcher.key);
    has(a).cmp(&has(b)).then_with(|| value(a).cmp(&value(b)))
}

/// dump-aggregate
pub async fn dump_aggregate(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let (request, mut vconn) = prepare(cx, args).await?;
    print_parts(cx, &mut vconn, &Message::AggregateRequest(request), &Names::none()).await
}
