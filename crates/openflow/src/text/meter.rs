//! The text of a meter: `meter=1,kbps,burst,bands=type=drop,rate=1000,burst_size=100`.
//!
//! Where it sits: the commands of ovs-ofctl about meters.
//!
//! Spec: ovs-ofctl(8), "Meter Syntax".

use super::{Pairs, TextError, number, text_error};
use crate::msg::meter::meter_id;
use crate::msg::{BandKind, MeterBand, MeterCommand, MeterConfig, MeterFlags, MeterMod};

/// Parses a meter to add or to change.
pub fn parse(text: &str, command: MeterCommand) -> Result<MeterMod, TextError> {
    let (fields, bands) = match text.split_once("band") {
        None => return Err(TextError::new("must specify bands")),
        Some((fields, rest)) => {
            let bands = rest.split_once('=').ok_or_else(|| TextError::new("must specify bands"))?.1;
            (fields, bands)
        }
    };
    let mut meter = parse_fields(fields, Knows::Flags)?;
    if !meter.flags.intersects(MeterFlags::KBPS | MeterFlags::PKTPS) {
        return Err(TextError::new("meter must specify either 'kbps' or 'pktps'"));
    }
    meter.bands = parse_bands(bands, meter.flags)?;
    Ok(MeterMod { command, meter })
}

/// The number in a text such as `meter=1`, of a command that asks for or deletes meters; empty: all.
pub fn parse_number(text: &str) -> Result<u32, TextError> {
    if text.is_empty() {
        return Ok(meter_id::ALL);
    }
    parse_fields(text, Knows::Number).map(|m| m.meter_id)
}

/// What may be said beside the number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Knows {
    Number,
    Flags,
}

fn parse_fields(text: &str, knows: Knows) -> Result<MeterConfig, TextError> {
    let mut meter = MeterConfig::default();
    for (key, value) in Pairs::new(text) {
        let flag = match key {
            "kbps" => MeterFlags::KBPS,
            "pktps" => MeterFlags::PKTPS,
            "burst" => MeterFlags::BURST,
            "stats" => MeterFlags::STATS,
            _ => MeterFlags::empty(),
        };
        if !flag.is_empty() && knows == Knows::Flags {
            meter.flags |= flag;
            continue;
        }
        if value.is_empty() {
            return Err(text_error!("field {key} missing value"));
        }
        match key {
            "meter" => meter.meter_id = parse_id(value)?,
            _ => return Err(text_error!("unknown keyword {key}")),
        }
    }
    if meter.meter_id == 0 {
        return Err(TextError::new("must specify 'meter'"));
    }
    Ok(meter)
}

fn parse_id(text: &str) -> Result<u32, TextError> {
    match text {
        "all" => Ok(meter_id::ALL),
        "controller" => Ok(meter_id::CONTROLLER),
        "slowpath" => Ok(meter_id::SLOWPATH),
        _ => match number::u32(text)? {
            id if id == 0 || id > meter_id::MAX => Err(TextError::new("invalid value for meter")),
            id => Ok(id),
        },
    }
}

/// A band under way.
#[derive(Default)]
struct Band {
    kind: Option<&'static str>,
    rate: Option<u32>,
    burst_size: Option<u32>,
    prec_level: Option<u8>,
}

fn parse_bands(text: &str, flags: MeterFlags) -> Result<Vec<MeterBand>, TextError> {
    let mut bands: Vec<Band> = Vec::new();
    for (key, value) in Pairs::new(text) {
        if value.is_empty() {
            return Err(text_error!("field {key} missing value"));
        }
        if key == "type" {
            let kind = match value {
                "drop" => "drop",
                "dscp_remark" => "dscp_remark",
                _ => return Err(text_error!("field type unknown value {value}")),
            };
            bands.push(Band { kind: Some(kind), ..Band::default() });
            continue;
        }
        let Some(band) = bands.last_mut() else {
            return Err(TextError::new("band must start with the 'type' keyword"));
        };
        match key {
            "rate" => band.rate = Some(number::u32(value)?),
            "burst_size" => band.burst_size = Some(number::u32(value)?),
            "prec_level" => band.prec_level = Some(number::u8(value, key)?),
            _ => return Err(text_error!("unknown keyword {key}")),
        }
    }
    if bands.is_empty() {
        return Err(TextError::new("meter must have bands"));
    }
    bands.iter().map(|band| finish_band(band, flags)).collect()
}

fn finish_band(band: &Band, flags: MeterFlags) -> Result<MeterBand, TextError> {
    let rate = band.rate.ok_or_else(|| TextError::new("band must have 'rate'"))?;
    if rate == 0 {
        return Err(TextError::new("band must have 'rate'"));
    }
    let burst = flags.contains(MeterFlags::BURST);
    if burst && band.burst_size.is_none() {
        return Err(TextError::new("band must have 'burst_size' when 'burst' flag is set"));
    }
    if !burst && band.burst_size.is_some() {
        return Err(TextError::new("band may have 'burst_size' only when 'burst' flag is set"));
    }
    let kind = match (band.kind, band.prec_level) {
        (Some("dscp_remark"), None) => {
            return Err(TextError::new("'dscp_remark' band must have 'prec_level'"));
        }
        (Some("dscp_remark"), Some(level)) => BandKind::DscpRemark(level),
        (_, Some(_)) => return Err(TextError::new("Only 'dscp_remark' band may have 'prec_level'")),
        (_, None) => BandKind::Drop,
    };
    Ok(MeterBand { kind, rate, burst_size: band.burst_size.unwrap_or(0) })
}
