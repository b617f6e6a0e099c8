//! Meters by OpenFlow's numbers, and the flows that name them.
//!
//! Where it sits: `switch` checks and makes them, together with the datapath's; translation finds the datapath's number.

use std::sync::Arc;

use openflow::msg::MeterConfig;
use openflow::msg::meter::meter_id;
use openflow::{Action, actions};
use packet::Now;

use crate::{FlowChange, Ofproto, RemovedReason, Rule, RuleSelection, Snapshot};

/// A meter.
#[derive(Clone, Debug)]
pub struct MeterRule {
    /// What the controller made it.
    pub config: MeterConfig,
    /// The datapath's number for it.
    pub datapath_id: u32,
    /// When it was made.
    pub created: Now,
}

impl Ofproto {
    /// Adds a meter, or replaces the one of its number.
    pub fn put_meter(&mut self, meter: MeterRule) {
        self.current.meters_mut().insert(meter.config.meter_id, Arc::new(meter));
        self.touch();
    }

    /// Deletes a meter, or all. Returns the rules that went with them, and the meters.
    pub fn delete_meters(&mut self, id: u32) -> (Vec<FlowChange>, Vec<Arc<MeterRule>>) {
        let wanted = |m: &&Arc<MeterRule>| id == meter_id::ALL || m.config.meter_id == id;
        let gone: Vec<Arc<MeterRule>> = self.current.meters().filter(wanted).cloned().collect();
        let mut changes = Vec::new();
        for meter in &gone {
            for rule in self.current.rules_with_meter(meter.config.meter_id) {
                changes.push(self.remove_rule(&rule, RemovedReason::MeterDelete));
            }
            self.current.meters_mut().remove(&meter.config.meter_id);
            self.touch();
        }
        (changes, gone)
    }
}

impl Snapshot {
    /// The rules that name a meter.
    pub fn rules_with_meter(&self, id: u32) -> Vec<Arc<Rule>> {
        let names = |r: &Arc<Rule>| {
            r.spec.actions.iter().any(|a| matches!(a, Action::Meter(actions::Meter(n)) if *n == id))
        };
        let mut rules = RuleSelection::all().rules(self);
        rules.retain(names);
        rules
    }
}
