//! The text of a flow: `table=…,priority=…,match…,actions=…`.
//!
//! Where it sits: ovs-ofctl's commands on flows, and whoever adds flows by text. What a flow may say depends on the
//! command: deleting knows no actions, only strict commands know a priority.
//!
//! Spec: ovs-ofctl(8), "Flow Syntax".

use flow::{Match, slot};
use wire::eth;

use super::{Pairs, TextError, number, text_error, values};
use crate::actions::{self, CheckContext};
use crate::{FlowMod, FlowModCommand, FlowModFlags, Names, OfpError, OfpPort, Protocols, matches};

/// Words of statistics, which are skipped, so that dump-flows' output can be fed back.
const STATISTICS: &[&str] = &["duration", "n_packets", "n_bytes", "idle_age", "hard_age"];

/// Flags by name, with the protocols that know them.
const FLAGS: &[(&str, FlowModFlags, Protocols)] = &[
    ("send_flow_rem", FlowModFlags::SEND_FLOW_REM, Protocols::ANY),
    ("check_overlap", FlowModFlags::CHECK_OVERLAP, Protocols::ANY),
    ("reset_counts", FlowModFlags::RESET_COUNTS, Protocols::OXM_ANY),
    ("no_packet_counts", FlowModFlags::NO_PKT_COUNTS, Protocols::OF13_UP),
    ("no_byte_counts", FlowModFlags::NO_BYT_COUNTS, Protocols::OF13_UP),
];

/// What a command lets a flow say.
#[derive(Clone, Copy)]
struct Allowed {
    actions: bool,
    priority: bool,
    importance: bool,
    out_port: bool,
}

impl Allowed {
    fn by(command: FlowModCommand) -> Allowed {
        let delete = matches!(command, FlowModCommand::Delete | FlowModCommand::DeleteStrict);
        Allowed {
            actions: !delete,
            priority: command != FlowModCommand::Delete,
            importance: command == FlowModCommand::Add,
            out_port: delete,
        }
    }
}

/// Parses a flow as the ovs-ofctl command for `command` takes it; returns the protocols able to carry it. Requests for
/// statistics take what `Delete` takes.
pub fn parse(text: &str, command: FlowModCommand, names: &Names) -> Result<(FlowMod, Protocols), TextError> {
    let allowed = Allowed::by(command);
    let (fields, actions) = if allowed.actions { split_actions(text)? } else { (text, None) };
    let mut parser = Parser { fm: FlowMod::new(command), usable: Protocols::ANY, names, allowed };
    parser.fm.matcher = matches::any();
    parser.fm.new_cookie = u64::MAX;
    for (key, value) in Pairs::new(fields) {
        parser.keyword(key, value)?;
    }
    parser.usable &= usable_in_ipv6(&parser.fm.matcher);
    // Adding, and changing what turns out not to be there, needs a cookie.
    if parser.fm.cookie_mask == 0 && parser.fm.new_cookie == u64::MAX && allowed.actions {
        parser.fm.new_cookie = 0;
    }
    if let Some(text) = actions {
        parser.actions(text)?;
    }
    Ok((parser.fm, parser.usable))
}

/// Parses a line of a file of flows, where a first word `add`, `modify`, `delete`… may choose another command.
pub fn parse_line(
    text: &str,
    command: FlowModCommand,
    names: &Names,
) -> Result<(FlowMod, Protocols), TextError> {
    let text = text.trim_start_matches([',', ' ', '\t', '\r', '\n']);
    let (word, rest) = text.split_at(text.find([',', ' ', '\t', '\r', '\n']).unwrap_or(text.len()));
    let chosen = match word {
        "add" => FlowModCommand::Add,
        "modify" => FlowModCommand::Modify,
        "modify_strict" => FlowModCommand::ModifyStrict,
        "delete" => FlowModCommand::Delete,
        "delete_strict" => FlowModCommand::DeleteStrict,
        _ => return parse(text, command, names),
    };
    parse(rest, chosen, names)
}

/// Splits the actions off.
fn split_actions(text: &str) -> Result<(&str, Option<&str>), TextError> {
    let missing = || TextError::new("must specify an action");
    let (fields, rest) = text.find("action").and_then(|at| text.split_at_checked(at)).ok_or_else(missing)?;
    let (_, actions) = rest.split_once('=').ok_or_else(missing)?;
    Ok((fields, Some(actions)))
}

/// Only the extended matches see transport protocols within IPv6.
pub(crate) fn usable_in_ipv6(m: &Match) -> Protocols {
    let looks = [slot::nw_proto, slot::nw_tos, slot::tp_src, slot::tp_dst].iter().any(|s| m.wc.get(*s) != 0);
    if m.key.eth_type() == eth::TYPE_IPV6 && looks { Protocols::NXM_OXM_ANY } else { Protocols::ANY }
}

/// What an error of the check says.
pub fn check_error(e: OfpError) -> TextError {
    text_error!("actions are invalid with specified match ({e})")
}

struct Parser<'a> {
    fm: FlowMod,
    usable: Protocols,
    names: &'a Names,
    allowed: Allowed,
}

impl Parser<'_> {
    fn keyword(&mut self, key: &str, value: &str) -> Result<(), TextError> {
        if matches::protocol_shorthand(key, &mut self.fm.matcher) {
            return Ok(());
        }
        if self.allowed.actions && self.flag(key) {
            return Ok(());
        }
        if key == "allow_hidden_fields" || STATISTICS.contains(&key) && !value.is_empty() {
            return Ok(());
        }
        if let Some(protocols) = matches::parse_field(key, value, &mut self.fm.matcher, self.names) {
            self.usable &= protocols?;
            return Ok(());
        }
        if value.is_empty() {
            return Err(text_error!("field {key} missing value"));
        }
        self.number(key, value)
    }

    fn flag(&mut self, key: &str) -> bool {
        let Some((_, flag, protocols)) = FLAGS.iter().find(|(name, ..)| *name == key) else { return false };
        self.fm.flags |= *flag;
        self.usable &= *protocols;
        true
    }

    fn number(&mut self, key: &str, value: &str) -> Result<(), TextError> {
        let fm = &mut self.fm;
        match key {
            "table" => {
                fm.table_id = values::table(value, self.names)
                    .ok_or_else(|| text_error!("unknown table \"{value}\""))?;
                if fm.table_id != FlowMod::ANY_TABLE {
                    self.usable &= Protocols::TID;
                }
            }
            "priority" if self.allowed.priority => fm.priority = number::u16(value, key)?,
            "idle_timeout" if self.allowed.actions => fm.idle_timeout = number::u16(value, key)?,
            "hard_timeout" if self.allowed.actions => fm.hard_timeout = number::u16(value, key)?,
            "importance" if self.allowed.importance => fm.importance = number::u16(value, key)?,
            "out_port" if self.allowed.out_port => {
                fm.out_port = values::port(value, self.names)
                    .ok_or_else(|| text_error!("{value} is not a valid OpenFlow port"))?;
            }
            "out_group" if self.allowed.out_port => {
                self.usable &= Protocols::OF11_UP;
                fm.out_group =
                    group(value).ok_or_else(|| text_error!("{value} is not a valid OpenFlow group"))?;
            }
            "cookie" => return self.cookie(value),
            _ => return Err(text_error!("unknown keyword {key}")),
        }
        Ok(())
    }

    fn cookie(&mut self, value: &str) -> Result<(), TextError> {
        let fm = &mut self.fm;
        let Some((value, mask)) = value.split_once('/') else {
            if !self.allowed.actions {
                return Err(TextError::new(
                    "cannot set cookie (to match on a cookie, specify a mask, e.g. cookie=5/-1)",
                ));
            }
            fm.new_cookie = number::u64(value)?;
            fm.modify_cookie = true;
            return Ok(());
        };
        if fm.command == FlowModCommand::Add {
            return Err(TextError::new("flow additions cannot use a cookie mask"));
        }
        fm.cookie = number::u64(value)?;
        fm.cookie_mask = number::u64(mask)?;
        // The standard's match of 1.0 has no room for it.
        self.usable &= Protocols::NXM_OXM_ANY | Protocols::OF11_STD;
        Ok(())
    }

    fn actions(&mut self, text: &str) -> Result<(), TextError> {
        let (mut list, usable) = actions::parse(text, self.names)?;
        self.usable &= usable;
        let cx = CheckContext {
            matcher: &self.fm.matcher,
            max_ports: OfpPort::MAX.0,
            table_id: self.fm.table_id,
            n_tables: 255,
        };
        self.usable = actions::check(&mut list, &cx, self.usable).map_err(check_error)?;
        if self.usable.is_empty() {
            return Err(check_error(OfpError::OFPBAC_MATCH_INCONSISTENT));
        }
        self.fm.actions = list;
        Ok(())
    }
}

/// A group by number or name.
fn group(text: &str) -> Option<u32> {
    match text {
        _ if text.eq_ignore_ascii_case("any") => Some(FlowMod::ANY_GROUP),
        _ if text.eq_ignore_ascii_case("all") => Some(0xffff_fffc),
        _ => number::whole(text).and_then(|n| u32::try_from(n).ok()).filter(|n| *n <= 0xffff_ff00),
    }
}

/// The part of a flow that dump-flows shows after the statistics: `priority=…,match… actions=…`.
pub fn format_rule(m: &Match, priority: u16, actions: &[actions::Action], names: &Names) -> String {
    let mut out = matches::format(m, priority, names);
    if !out.is_empty() {
        out.push(' ');
    }
    out.push_str("actions=");
    out.push_str(&actions::format(actions, names));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str, command: FlowModCommand) -> String {
        parse(text, command, &Names::none()).expect_err(text).to_string()
    }

    fn flow(text: &str, command: FlowModCommand) -> FlowMod {
        parse(text, command, &Names::none()).unwrap_or_else(|e| panic!("{text}: {e}")).0
    }

    #[test]
    fn deleting_knows_less() {
        use FlowModCommand::{Delete, DeleteStrict};
        for key in ["priority", "actions", "idle_timeout", "hard_timeout", "importance"] {
            assert_eq!(error(&format!("{key}=5"), Delete), format!("unknown keyword {key}"));
        }
        assert_eq!(flow("priority=5", DeleteStrict).priority, 5);
        assert_eq!(error("out_port=foo", Delete), "foo is not a valid OpenFlow port");
        assert_eq!(error("out_group=x", Delete), "x is not a valid OpenFlow group");
        assert_eq!(error("send_flow_rem", Delete), "field send_flow_rem missing value");
        assert_eq!(
            error("cookie=5", Delete),
            "cannot set cookie (to match on a cookie, specify a mask, e.g. cookie=5/-1)"
        );
        let fm = flow("cookie=5/-1,table=4,out_port=LOCAL,n_packets=4", Delete);
        assert_eq!((fm.cookie, fm.cookie_mask, fm.table_id, fm.out_port), (5, u64::MAX, 4, OfpPort::LOCAL));
        assert_eq!(flow("", Delete).matcher, matches::any());
    }

    #[test]
    fn changing_matches_or_sets_cookies() {
        use FlowModCommand::Modify;
        assert_eq!(error("in_port=1", Modify), "must specify an action");
        assert_eq!(error("importance=4,actions=1", Modify), "unknown keyword importance");
        assert_eq!(error("out_port=4,actions=1", Modify), "unknown keyword out_port");
        let fm = flow("cookie=5,cookie=6/3,actions=1", Modify);
        assert_eq!((fm.cookie, fm.cookie_mask, fm.new_cookie, fm.modify_cookie), (6, 3, 5, true));
        assert_eq!(flow("actions=1", Modify).new_cookie, 0);
        assert_eq!(flow("cookie=1/1,actions=1", Modify).new_cookie, u64::MAX);
    }

    #[test]
    fn lines_of_files_choose_commands() {
        let command = |text: &str| {
            parse_line(text, FlowModCommand::Add, &Names::none())
                .map(|(fm, _)| fm.command)
                .map_err(|e| e.to_string())
        };
        assert_eq!(command("in_port=1,actions=2"), Ok(FlowModCommand::Add));
        assert_eq!(command("add in_port=1,actions=2"), Ok(FlowModCommand::Add));
        assert_eq!(command("modify_strict priority=4,actions=2"), Ok(FlowModCommand::ModifyStrict));
        assert_eq!(command("  delete in_port=1"), Ok(FlowModCommand::Delete));
        assert_eq!(command("delete"), Ok(FlowModCommand::Delete));
        assert_eq!(command("delete priority=5"), Err("unknown keyword priority".into()));
        assert_eq!(command("adds actions=5"), Err("field adds missing value".into()));
    }

    #[test]
    fn names_of_ports_are_read_and_shown() {
        let mut names = Names::none();
        names.ports.insert(1, "p1");
        names.ports.insert(2, "p-2");
        let (fm, _) =
            parse("in_port=\"p1\",actions=p-2,resubmit(p1,3)", FlowModCommand::Add, &names).unwrap();
        let shown = format_rule(&fm.matcher, fm.priority, &fm.actions, &names);
        assert_eq!(shown, "in_port=p1 actions=output:\"p-2\",resubmit(p1,3)");
        assert_eq!(
            format_rule(&fm.matcher, 5, &fm.actions, &Names::none()),
            "priority=5,in_port=1 actions=output:2,resubmit(1,3)"
        );
    }
}
