//! Commands about groups.
//!
//! Where it sits: texts become group mods by `openflow::text::group`; what a switch says is printed by `openflow::print`.

use openflow::msg::{GroupCommand, GroupMod, Message, group::ALL_GROUPS};
use openflow::print::{self, Verbosity};
use openflow::text::group;
use openflow::{Names, Protocols, Version};

use super::vconn::{Vconn, next_xid};
use super::{Context, Fatal, fatal, flows, names, say};

type Parsed = (GroupMod, Protocols);

/// parse-group
pub async fn parse_group(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let (gm, usable) =
        group::parse(&args[0], GroupCommand::Add, &Names::none()).map_err(|e| fatal(e.to_string()))?;
    say(&format!("usable protocols: {usable}\n"));
    let both = usable & cx.allowed;
    let Some(protocol) = both.iter().find(|p| p.bits().is_power_of_two()) else {
        return Err(fatal("no usable protocol"));
    };
    let dialect = openflow::msg::Dialect::of_protocol(protocol);
    say(&format!("chosen version: {}\n", dialect.version().name()));
    let bytes = Message::GroupMod(gm).to_bytes(dialect, next_xid()).map_err(|e| fatal(e.name()))?;
    say(&print::message(&bytes, &Names::none(), Verbosity(cx.more + 1)));
    Ok(())
}

async fn send(cx: &Context, switch: &str, groups: Vec<Parsed>) -> Result<(), Fatal> {
    let usable = groups.iter().fold(Protocols::ANY, |all, (_, usable)| all & *usable);
    let messages: Vec<Message> = groups.into_iter().map(|(gm, _)| Message::GroupMod(gm)).collect();
    if cx.bundle {
        return flows::send_bundle(cx, switch, messages, usable & Protocols::OF13_UP).await;
    }
    let mut vconn = flows::open_for(cx, switch, usable).await?;
    for message in messages {
        check_version(&message, vconn.version())?;
        let errors = vconn.transact_without_reply(&[message]).await?;
        if let Some(error) = errors.first() {
            return Err(flows::refused(cx, error));
        }
    }
    Ok(())
}

/// Changes of buckets exist in 1.5, and in 1.0 with Nicira's extension.
fn check_version(message: &Message, version: Version) -> Result<(), Fatal> {
    let Message::GroupMod(gm) = message else { return Ok(()) };
    let word = match gm.command {
        GroupCommand::InsertBucket => "insert-bucket",
        GroupCommand::RemoveBucket => "remove-bucket",
        _ => return Ok(()),
    };
    if matches!(version, Version::V10 | Version::V15) {
        return Ok(());
    }
    Err(fatal(format!("{word} needs OpenFlow 1.5 or later ('-O OpenFlow15')")))
}

async fn one(cx: &Context, args: &[String], command: GroupCommand) -> Result<(), Fatal> {
    let (switch, text) = (&args[0], args.get(1).map_or("", String::as_str));
    if text == "-" {
        return from_file(cx, switch, "-", command).await;
    }
    let parse = |names: &Names| group::parse(text, command, names).map_err(|e| e.to_string());
    let parsed = flows::with_names(cx, switch, parse).await?;
    send(cx, switch, vec![parsed]).await
}

async fn from_file(cx: &Context, switch: &str, file: &str, command: GroupCommand) -> Result<(), Fatal> {
    let lines = flows::read_lines(file)?;
    let parse = |names: &Names| {
        let one = |(number, line): &(usize, String)| {
            group::parse_line(line, command, names).map_err(|e| format!("{file}:{number}: {e}"))
        };
        lines.iter().map(one).collect::<Result<Vec<Parsed>, String>>()
    };
    let parsed = flows::with_names(cx, switch, parse).await?;
    send(cx, switch, parsed).await
}

/// add-group
pub async fn add_group(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    one(cx, args, GroupCommand::Add).await
}

/// add-groups
pub async fn add_groups(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    from_file(cx, &args[0], &args[1], GroupCommand::Add).await
}

/// mod-group
pub async fn mod_group(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let command = if cx.may_create { GroupCommand::AddOrModify } else { GroupCommand::Modify };
    one(cx, args, command).await
}

/// del-groups
pub async fn del_groups(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    one(cx, args, GroupCommand::Delete).await
}

/// insert-buckets
pub async fn insert_buckets(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    one(cx, args, GroupCommand::InsertBucket).await
}

/// remove-buckets
pub async fn remove_buckets(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    one(cx, args, GroupCommand::RemoveBucket).await
}

/// dump-groups
pub async fn dump_groups(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let show = names::to_show(cx, &args[0]).await?;
    let group = match args.get(1) {
        None => ALL_GROUPS,
        Some(text) => parse_number(text).unwrap_or_else(|| {
            log::warn!(target: "ofp_group",
                "{text} is not a valid group ID.  (Valid group IDs are 32-bit nonnegative integers or the keywords ANY \
                 or ALL.)");
            ALL_GROUPS
        }),
    };
    let mut vconn = Vconn::open(cx, &args[0]).await?;
    flows::print_parts(cx, &mut vconn, &Message::GroupDescRequest(group), &show).await
}

fn parse_number(text: &str) -> Option<u32> {
    match text {
        _ if text.eq_ignore_ascii_case("any") => Some(openflow::msg::group::ANY_GROUP),
        _ if text.eq_ignore_ascii_case("all") => Some(ALL_GROUPS),
        _ => text.parse().ok(),
    }
}

/// dump-group-stats
pub async fn dump_group_stats(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let text = args.get(1).map_or("", String::as_str);
    let parse = |names: &Names| group::parse(text, GroupCommand::Delete, names).map_err(|e| e.to_string());
    let (gm, _) = flows::with_names(cx, &args[0], parse).await?;
    let mut vconn = Vconn::open(cx, &args[0]).await?;
    flows::print_parts(cx, &mut vconn, &Message::GroupStatsRequest(gm.group_id), &Names::none()).await
}

/// dump-group-features
pub async fn dump_group_features(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let mut vconn = Vconn::open(cx, &args[0]).await?;
    flows::print_parts(cx, &mut vconn, &Message::GroupFeaturesRequest, &Names::none()).await
}
