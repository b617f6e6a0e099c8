//! The `learn` action: a flow mod made of the packet.
//!
//! Where it sits: called by `act.rs`; the flow mod is a [`crate::Credit`], carried out by `switch`.

use flow::{FlowKey, Wildcards};
use openflow::actions::{Learn, LearnDest, LearnSource, Output, SetField};
use openflow::{Action, Bits, FlowMod, FlowModCommand, FlowModFlags, OfpPort, Subfield, field, matches};

/// Bits of a subfield, at the low end.
pub fn read(sub: Subfield, key: &FlowKey) -> Bits {
    sub.take(&field::get(sub.field, key))
}

/// Makes the bits of a subfield significant.
pub fn look_at(sub: Subfield, key: &FlowKey, wc: &mut Wildcards) {
    field::look_at(sub.field, key, &sub.mask(), wc);
}

/// The flow that `learn` makes of `key`.
pub fn flow_mod(learn: &Learn, key: &FlowKey) -> FlowMod {
    let mut fm = FlowMod {
        table_id: learn.table,
        priority: learn.priority,
        new_cookie: learn.cookie,
        idle_timeout: learn.idle_timeout,
        hard_timeout: learn.hard_timeout,
        modify_cookie: true,
        matcher: matches::any(),
        ..FlowMod::new(FlowModCommand::ModifyStrict)
    };
    if learn.send_flow_rem {
        fm.flags |= FlowModFlags::SEND_FLOW_REM;
    }
    for spec in &learn.specs {
        let value = match &spec.src {
            LearnSource::Field(sub) => read(*sub, key),
            LearnSource::Number(value, _) => value.clone(),
        };
        match spec.dst {
            LearnDest::Match(dst) => {
                dst.set_in_match(&mut fm.matcher, &value);
            }
            LearnDest::Load(dst) => fm.actions.push(SetField::load(dst, &value).into()),
            LearnDest::Output => {
                let port = OfpPort::from_of10(value.low() as u16);
                if port.is_ordinary()
                    || matches!(port, OfpPort::IN_PORT | OfpPort::FLOOD | OfpPort::LOCAL | OfpPort::ALL)
                {
                    fm.actions.push(Action::Output(Output { port, max_len: 0 }));
                }
            }
        }
    }
    if learn.fin_idle_timeout != 0 || learn.fin_hard_timeout != 0 {
        fm.actions.push(
            openflow::actions::FinTimeout { idle: learn.fin_idle_timeout, hard: learn.fin_hard_timeout }
                .into(),
        );
    }
    fm
}
