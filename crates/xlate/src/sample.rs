//! `sample`: some of the packets to flow collectors.
//!
//! Where it sits: called by `act.rs`. Which collector sets there are is the bridge's ([`crate::Sampling`]).
//!
//! ~~~text
//! IPFIX          sample(PROBABILITY, userspace(flow_sample(…)))      for any set, where the bridge has one with IPFIX
//! local group    sample(PROBABILITY, psample(GROUP, COOKIE))         for sets with a group, where the datapath has psample
//! ~~~
//!
//! What is to be done always stands without `sample` around it.
//!
//! Spec: ovs-actions(7), `sample`; ovs-vswitchd.conf.db(5), Flow_Sample_Collector_Set.

use odp::cookie::{Cookie, FlowSample, SampleSide};
use odp::{Action as OdpAction, Psample, Userspace};
use openflow::OfpPort;
use openflow::actions::{Sample, SampleDirection, SampleSource};
use packet::OdpPort;

use crate::NodeKind;
use crate::learn::{look_at, read};
use crate::translate::Xlate;

impl Xlate<'_> {
    /// Carries out a `sample` action.
    pub(crate) fn sample(&mut self, a: &Sample) {
        let bridge = self.bridge;
        let local = self.network.samples_locally.then_some(&bridge.sampling.local);
        let group = local.and_then(|groups| groups.get(&a.collector_set_id));
        if !bridge.sampling.ipfix && group.is_none() {
            return;
        }
        let (domain, point) = (self.source(a.obs_domain), self.source(a.obs_point));
        let mut samplers = Vec::new();
        if let Some(group) = group {
            let cookie = [domain.to_be_bytes(), point.to_be_bytes()].concat();
            samplers.push(OdpAction::Psample(Box::new(Psample { group: *group, cookie })));
        }
        if bridge.sampling.ipfix {
            let Some(port) = self.sampled_at(a) else {
                let port = a.sampling_port.to_of10();
                return self.note(NodeKind::Error, || {
                    format!("can't use unknown port {port} in flow sample action")
                });
            };
            samplers.push(OdpAction::Userspace(Box::new(Userspace {
                userdata: Cookie::FlowSample(flow_sample(a, domain, point, port.odp)).encode(),
                tunnel_out_port: port.is_tunnel.then_some(port.odp),
                ..Userspace::default()
            })));
        }
        self.commit();
        match a.probability {
            u16::MAX => self.out.actions.extend(samplers),
            // In the same proportion of all that the number can be.
            part => self.out.actions.push(OdpAction::Sample {
                probability: u32::from(part) << 16 | u32::from(part),
                actions: samplers,
            }),
        }
    }

    /// The value of a number or field.
    fn source(&mut self, source: SampleSource) -> u32 {
        match source {
            SampleSource::Number(n) => n,
            SampleSource::Field(field) => {
                look_at(field, &self.flow, &mut self.out.wc);
                read(field, &self.flow).low() as u32
            }
        }
    }

    /// The port that a sample is said to be taken at, which collectors are told if it is not where the packet came in;
    /// `None` if the datapath has no such port.
    fn sampled_at(&mut self, a: &Sample) -> Option<SampledAt> {
        let port = a.sampling_port;
        if port == OfpPort::NONE || port.0 == self.flow.in_port() {
            return Some(SampledAt { odp: OdpPort::NONE, is_tunnel: false });
        }
        let bridge = self.bridge;
        let port = bridge.ports.get(&port)?;
        let told = bridge.sampling.tunnels.contains(&a.collector_set_id);
        let tunnel = port.tunnel.as_ref().filter(|_| told);
        if let Some(tunnel) = tunnel {
            self.look_at_inherited(tunnel);
        }
        Some(SampledAt { odp: port.odp?, is_tunnel: tunnel.is_some() })
    }

    /// Says that a packet which is sampled at the end goes nowhere else, if that is to be said.
    pub(crate) fn end_in_drop_if_sampled(&mut self) {
        if self.network.explicit_sampled_drops && self.out.actions.last().is_some_and(samples) {
            self.out.actions.push(OdpAction::Drop(0));
        }
    }
}

/// A port as collectors are told it.
struct SampledAt {
    odp: OdpPort,
    /// They are told of its tunnel as well.
    is_tunnel: bool,
}

fn flow_sample(a: &Sample, domain: u32, point: u32, port: OdpPort) -> FlowSample {
    FlowSample {
        probability: a.probability,
        collector_set_id: a.collector_set_id,
        obs_domain_id: domain,
        obs_point_id: point,
        output_port: port,
        side: match a.direction {
            SampleDirection::Default => SampleSide::Unsaid,
            SampleDirection::Ingress => SampleSide::Ingress,
            SampleDirection::Egress => SampleSide::Egress,
        },
    }
}

/// True for actions that do nothing but sample.
fn samples(action: &OdpAction) -> bool {
    match action {
        OdpAction::Sample { .. } | OdpAction::Psample(_) => true,
        OdpAction::Userspace(u) => matches!(Cookie::decode(&u.userdata), Some(Cookie::FlowSample(_))),
        _ => false,
    }
}
