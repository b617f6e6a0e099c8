//! Which rules a request means: by table, match, priority, cookie, output.
//!
//! Where it sits: shared by modify, delete, statistics and monitors.

use std::sync::Arc;

use flow::Match;
use openflow::{FlowMod, FlowModCommand, OfpPort};

use crate::{Rule, Snapshot, Table};

/// How a selection's match is compared with a rule's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// The same match, and this priority.
    Strict {
        /// The priority.
        priority: u16,
    },
    /// Rules at least as narrow.
    Loose,
}

/// Which rules are meant.
#[derive(Clone, Debug)]
pub struct RuleSelection {
    /// The table; 255 is all that controllers see.
    pub table: u8,
    /// The match.
    pub matcher: Match,
    /// How it is compared.
    pub strictness: Strictness,
    /// Rules whose cookie agrees in `cookie_mask`.
    pub cookie: u64,
    /// See `cookie`.
    pub cookie_mask: u64,
    /// Rules that send to this port.
    pub out_port: Option<OfpPort>,
    /// Rules that name this group.
    pub out_group: Option<u32>,
}

impl RuleSelection {
    /// Every rule that controllers see.
    pub fn all() -> RuleSelection {
        RuleSelection {
            table: 255,
            matcher: Match::ANY,
            strictness: Strictness::Loose,
            cookie: 0,
            cookie_mask: 0,
            out_port: None,
            out_group: None,
        }
    }

    /// The rules that a modification or deletion means.
    pub fn of_flow_mod(fm: &FlowMod) -> RuleSelection {
        let strict = matches!(fm.command, FlowModCommand::ModifyStrict | FlowModCommand::DeleteStrict);
        let deletes = matches!(fm.command, FlowModCommand::Delete | FlowModCommand::DeleteStrict);
        RuleSelection {
            table: fm.table_id,
            matcher: fm.matcher,
            strictness: if strict { Strictness::Strict { priority: fm.priority } } else { Strictness::Loose },
            cookie: fm.cookie,
            cookie_mask: fm.cookie_mask,
            out_port: (deletes && fm.out_port != OfpPort::NONE).then_some(fm.out_port),
            out_group: (deletes && fm.out_group != FlowMod::ANY_GROUP).then_some(fm.out_group),
        }
    }

    /// True if `rule`, of a table that is meant, is meant.
    pub fn accepts(&self, rule: &Rule) -> bool {
        self.accepts_match(rule)
            && (rule.spec.cookie ^ self.cookie) & self.cookie_mask == 0
            && !rule.is_hidden()
            && rule.outputs_to(self.out_port)
            && rule.uses_group(self.out_group)
    }

    fn accepts_match(&self, rule: &Rule) -> bool {
        let spec = &rule.spec;
        match self.strictness {
            Strictness::Strict { priority } => {
                spec.priority == u32::from(priority) && spec.matcher == self.matcher
            }
            Strictness::Loose => {
                spec.matcher.wc.covers(&self.matcher.wc) && self.matcher.matches(&spec.matcher.key)
            }
        }
    }

    /// The rules of `table` that are meant, in the order in which they are shown.
    fn in_table(&self, table: &Table, out: &mut Vec<Arc<Rule>>) {
        let from = out.len();
        match self.strictness {
            Strictness::Strict { priority } => {
                let found = table.rules.find(&self.matcher, u32::from(priority));
                out.extend(found.filter(|r| self.accepts(r)).cloned());
            }
            Strictness::Loose => out.extend(table.rules.values().filter(|r| self.accepts(r)).cloned()),
        }
        if let Some(new) = out.get_mut(from..) {
            new.sort_by_key(|r| (std::cmp::Reverse(r.spec.priority), r.id));
        }
    }

    /// The rules of `snapshot` that are meant: by table, falling priority, age.
    pub fn rules(&self, snapshot: &Snapshot) -> Vec<Arc<Rule>> {
        let mut out = Vec::new();
        for (id, table) in snapshot.tables() {
            if self.table == id || self.table == 255 && id < crate::N_VISIBLE_TABLES {
                self.in_table(table, &mut out);
            }
        }
        out
    }
}
