//! Translations interrupted in the middle of a list of actions, and going on with what remained.
//!
//! Where it sits: groups that choose by the datapath's hash, `controller(pause)` and `debug_recirc` interrupt; [`crate::Frozen`] keeps
//! what remains, the packet comes back under its id, or in a controller's NXT_RESUME.
//!
//! ~~~text
//! interrupt ─► each list of actions, innermost first, notes its rest ─► finish_interruption: commit, hash, recirc
//! resume    ◄─ the lists, in the same order, each as a part of the rule that it was of
//! ~~~

use odp::cookie::{Controller as ControllerCookie, Cookie};
use odp::{Action as OdpAction, HashAlg, Userspace};
use openflow::actions::Controller;
use openflow::msg::RemainingActions;
use openflow::{Action, actions};

use crate::NodeKind;
use crate::freeze::{Frozen, FrozenTable};
use crate::translate::{SideEffects, Xlate};

/// Why a translation is interrupted.
#[derive(Clone, Debug)]
pub(crate) enum Why {
    /// A group wants the datapath's hash; its action is carried out once more when that is there.
    Hash(HashAlg, u32),
    /// A controller wants to look at the packet.
    Pause(Box<Controller>),
    /// The action is about what lies under a popped label; it is carried out once more when that is known.
    UnderLabel,
    /// What lies under a popped header is to be known.
    Decap,
    /// The rules say so.
    Asked,
}

/// An interruption under way.
#[derive(Debug)]
pub(crate) struct Interruption {
    why: Why,
    remaining: Vec<RemainingActions>,
    /// The action that interrupted is the first of what remains.
    again: bool,
}

impl Xlate<'_> {
    /// Stops carrying out actions: what follows is to be done when the packet is back.
    pub(crate) fn interrupt(&mut self, why: Why) {
        let again = matches!(why, Why::Hash(..) | Why::UnderLabel);
        self.interruption = Some(Interruption { why, remaining: Vec::new(), again });
        self.exit = true;
    }

    /// Notes the rest of a list whose action `at` is the next one or, if it interrupted, the current one.
    pub(crate) fn note_remaining(&mut self, list: &[Action], at: usize) {
        let (table_id, cookie) = (self.table, self.cookie);
        let Some(interruption) = &mut self.interruption else { return };
        let from = if std::mem::take(&mut interruption.again) { at } else { at + 1 };
        if let Some(rest) = list.get(from..).filter(|rest| !rest.is_empty()) {
            let actions = rest.to_vec();
            interruption.remaining.push(RemainingActions { table_id, cookie, actions });
        }
    }

    /// Sends the packet on its way with a name for what remains.
    pub(crate) fn finish_interruption(&mut self) {
        let Some(Interruption { why, remaining, .. }) = self.interruption.take() else { return };
        if self.out.error.is_some() {
            return;
        }
        self.commit();
        let mut state = Frozen { frames: remaining, ..self.frozen(FrozenTable::Actions) };
        match why {
            Why::Hash(alg, basis) => {
                let Some(id) = self.freeze(state) else { return };
                self.out.actions.push(OdpAction::Hash { alg, basis });
                self.out.actions.push(OdpAction::Recirc(id));
            }
            Why::UnderLabel | Why::Decap | Why::Asked => {
                let Some(id) = self.freeze(state) else { return };
                self.out.actions.push(OdpAction::Recirc(id));
            }
            // A trace has no packet to show.
            Why::Pause(_) if self.effects == SideEffects::Suppressed => {}
            Why::Pause(action) => {
                state.userdata.clone_from(&action.userdata);
                let rule_cookie = self.cookie;
                if let Some(recirc_id) = self.freeze(state) {
                    self.send_to_user_space(&action, recirc_id, rule_cookie);
                }
            }
        }
    }

    /// Has the datapath hand the packet up for a controller.
    pub(crate) fn send_to_user_space(&mut self, action: &Controller, recirc_id: u32, rule_cookie: u64) {
        let cookie = Cookie::Controller(ControllerCookie {
            reason: action.reason as u8,
            dont_send: self.effects == SideEffects::Suppressed,
            continuation: action.pause,
            recirc_id,
            rule_cookie,
            controller_id: action.controller_id,
            max_len: action.max_len,
        });
        self.out.actions.push(OdpAction::Userspace(Box::new(Userspace {
            pid: 0,
            userdata: cookie.encode(),
            tunnel_out_port: None,
            actions: false,
        })));
    }

    /// Carries out what remained, innermost list first.
    pub(crate) fn run_remaining(&mut self, frames: &[RemainingActions]) {
        for (i, frame) in frames.iter().enumerate() {
            (self.table, self.cookie) = (frame.table_id, frame.cookie);
            if self.exit {
                if let Some(interruption) = &mut self.interruption {
                    interruption.remaining.push(frame.clone());
                }
                continue;
            }
            if frame.actions.iter().any(tells_its_rule) {
                let (table, cookie) = (frame.table_id, frame.cookie);
                self.note(NodeKind::Action, || unrolled(table, cookie));
                self.note(NodeKind::Thaw, || {
                    format!("restored state: table={table}, cookie={}", crate::act::hex(&cookie.into()))
                });
            }
            self.actions(&frame.actions, i + 1 == frames.len());
        }
    }

    /// The actions of frames as a trace shows them when they are restored.
    pub(crate) fn remaining_text(&self, frames: &[RemainingActions]) -> String {
        let names = &self.bridge.names;
        let frame = |f: &RemainingActions| {
            let (before, after) =
                f.actions.split_at(f.actions.iter().position(tells_its_rule).unwrap_or(f.actions.len()));
            let text = |list: &[Action]| (!list.is_empty()).then(|| actions::format(list, names));
            let unroll = (!after.is_empty()).then(|| unrolled(f.table_id, f.cookie));
            text(before).into_iter().chain(unroll).chain(text(after)).collect::<Vec<_>>().join(",")
        };
        frames.iter().map(frame).collect::<Vec<_>>().join(",")
    }
}

fn unrolled(table: u8, cookie: u64) -> String {
    format!("unroll_xlate(table={table}, cookie={})", crate::act::hex(&cookie.into()))
}

/// True for actions that may lead to a message, which names the table and the cookie of the rule.
fn tells_its_rule(action: &Action) -> bool {
    matches!(
        action,
        Action::Output(_)
            | Action::OutputReg(_)
            | Action::OutputTrunc(_)
            | Action::Group(_)
            | Action::Controller(_)
            | Action::DecTtl(_)
            | Action::DecMplsTtl(_)
            | Action::DecNshTtl(_)
            | Action::Resubmit(_)
            | Action::GotoTable(_)
            | Action::Learn(_)
            | Action::FinTimeout(_)
    )
}
