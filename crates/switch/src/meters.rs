//! Meters: limits that flows send packets through.
//!
//! Where it sits: METER_MOD and the questions about meters; the datapath measures, under numbers of its own.
//!
//! Spec: OpenFlow 1.5.1 sections 5.11 and 7.3.4.5.

use datapath::{Command, MAX_BANDS, MAX_METERS, MeterUnit};
use ofproto::{MeterRule, age};
use openflow::OfpError;
use openflow::msg::meter::meter_id;
use openflow::msg::{BandKind, MeterCommand, MeterConfig, MeterFeatures, MeterFlags, MeterMod, MeterStats};
use packet::Now;

use crate::core::{BridgeState, State, Switch};
use crate::requests::Asked;

/// The band type of OpenFlow that drops.
const BAND_DROP: u32 = 1 << 1;

impl Switch {
    /// What meters there can be.
    pub(crate) fn meter_features(&self) -> MeterFeatures {
        let capabilities = MeterFlags::KBPS | MeterFlags::PKTPS | MeterFlags::BURST | MeterFlags::STATS;
        MeterFeatures {
            max_meters: MAX_METERS,
            band_types: BAND_DROP,
            capabilities: capabilities.bits().into(),
            max_bands: MAX_BANDS as u8,
            max_color: 0,
        }
    }

    /// Carries out METER_MOD.
    pub(crate) fn meter_mod(
        &self,
        state: &mut State,
        mm: &MeterMod,
        asked: &Asked<'_>,
    ) -> Result<(), OfpError> {
        let used = self.meters_in_use(state);
        let bridge = state.bridges.get_mut(asked.bridge).ok_or(OfpError::OFPBRC_EPERM)?;
        let id = mm.meter.meter_id;
        match mm.command {
            MeterCommand::Delete => {
                let (changes, gone) = bridge.ofproto.delete_meters(id);
                // One that the datapath lost needs no removal.
                gone.iter().for_each(|m| drop(self.dpif.apply(Command::DelMeter(m.datapath_id))));
                bridge.tell_changes(&changes, Some(asked.cause()), asked.now);
            }
            MeterCommand::Add | MeterCommand::Modify => {
                self.check_meter(&mm.meter)?;
                let old = bridge.ofproto.current().meter(id).cloned();
                let (datapath_id, created) = match (mm.command, &old) {
                    (MeterCommand::Add, Some(_)) => return Err(OfpError::OFPMMFC_METER_EXISTS),
                    (MeterCommand::Add, None) => {
                        let free = (0..MAX_METERS).find(|n| !used.contains(n));
                        (free.ok_or(OfpError::OFPMMFC_OUT_OF_METERS)?, asked.now)
                    }
                    (_, Some(old)) => (old.datapath_id, old.created),
                    (_, None) => return Err(OfpError::OFPMMFC_UNKNOWN_METER),
                };
                let set = Command::SetMeter { id: datapath_id, config: &measured(&mm.meter) };
                self.dpif.apply(set).map_err(|_| OfpError::OFPMMFC_OUT_OF_METERS)?;
                bridge.ofproto.put_meter(MeterRule { config: mm.meter.clone(), datapath_id, created });
            }
        }
        bridge.forward_request(asked.id, &asked.request.bytes, 1);
        Ok(())
    }

    fn check_meter(&self, meter: &MeterConfig) -> Result<(), OfpError> {
        let features = self.meter_features();
        let special = matches!(meter.meter_id, meter_id::CONTROLLER | meter_id::SLOWPATH);
        if !special && !(1..=features.max_meters).contains(&meter.meter_id) {
            return Err(OfpError::OFPMMFC_INVALID_METER);
        }
        if meter.bands.len() > usize::from(features.max_bands) {
            return Err(OfpError::OFPMMFC_OUT_OF_BANDS);
        }
        if u32::from(meter.flags.bits()) & !features.capabilities != 0 {
            return Err(OfpError::OFPMMFC_BAD_FLAGS);
        }
        if meter.bands.iter().any(|b| b.kind != BandKind::Drop) {
            return Err(OfpError::OFPMMFC_BAD_BAND);
        }
        Ok(())
    }

    /// Counters of a meter, or of all.
    pub(crate) fn meter_stats(
        &self,
        bridge: &BridgeState,
        id: u32,
        now: Now,
    ) -> Result<Vec<MeterStats>, OfpError> {
        let snapshot = bridge.ofproto.current();
        let stats = |m: &MeterRule| {
            let counted = self.dpif.meter_stats(m.datapath_id).unwrap_or_default();
            let mut bands: Vec<_> = counted.bands.iter().map(|b| (b.packets, b.bytes)).collect();
            bands.resize(m.config.bands.len(), (0, 0));
            MeterStats {
                meter_id: m.config.meter_id,
                flow_count: snapshot.rules_with_meter(m.config.meter_id).len() as u32,
                packet_in_count: counted.total.packets,
                byte_in_count: counted.total.bytes,
                duration: age(now.mono.since(m.created.mono)),
                bands,
            }
        };
        Ok(bridge.meters(id)?.into_iter().map(stats).collect())
    }

    /// The datapath's meters that bridges have.
    fn meters_in_use(&self, state: &State) -> std::collections::BTreeSet<u32> {
        state.bridges.values().flat_map(|b| b.ofproto.current().meters().map(|m| m.datapath_id)).collect()
    }
}

impl BridgeState {
    /// The meters that a question names.
    fn meters(&self, id: u32) -> Result<Vec<&MeterRule>, OfpError> {
        let snapshot = self.ofproto.current();
        if id == meter_id::ALL {
            return Ok(snapshot.meters().map(|m| &**m).collect());
        }
        Ok(vec![&**snapshot.meter(id).ok_or(OfpError::OFPMMFC_UNKNOWN_METER)?])
    }

    /// What meters are.
    pub(crate) fn meter_configs(&self, id: u32) -> Result<Vec<MeterConfig>, OfpError> {
        Ok(self.meters(id)?.into_iter().map(|m| m.config.clone()).collect())
    }
}

/// A meter as the datapath has it.
fn measured(meter: &MeterConfig) -> datapath::MeterConfig {
    let unit = if meter.flags.contains(MeterFlags::PKTPS) { MeterUnit::Pktps } else { MeterUnit::Kbps };
    let burst = |b: u32| if meter.flags.contains(MeterFlags::BURST) { b } else { 0 };
    let band = |b: &openflow::msg::MeterBand| datapath::MeterBand {
        kind: datapath::BandKind::Drop,
        rate: b.rate,
        burst: burst(b.burst_size),
    };
    datapath::MeterConfig { unit, bands: meter.bands.iter().map(band).collect() }
}
