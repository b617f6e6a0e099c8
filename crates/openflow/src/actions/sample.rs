//! `sample`: a part of the packets to a flow collector.
//!
//! Where it sits: Nicira's extension, in four wire forms of which each says more than the one before.

use std::fmt::Write;

use super::check::Checker;
use super::text::{ParseContext, Text};
use super::wire::{Encoder, Len, Raw, header32, nicira};
use super::{Act, Action, Family, Subfield};
use crate::text::{Pairs, TextError, number, text_error, values};
use crate::{Names, OfpError, OfpPort, PutBytes};

/// A number, or a field that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleSource {
    /// A number.
    Number(u32),
    /// At most 32 bits of a field.
    Field(Subfield),
}

/// On which side of the switch a [`Sample`] is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SampleDirection {
    /// Unsaid.
    Default = 0,
    /// Coming in.
    Ingress = 1,
    /// Going out.
    Egress = 2,
}

/// `sample`: a part of the packets to a flow collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// How many of 65535 packets; not zero.
    pub probability: u16,
    /// The collectors.
    pub collector_set_id: u32,
    /// The observation domain.
    pub obs_domain: SampleSource,
    /// The observation point.
    pub obs_point: SampleSource,
    /// The port it is said to be taken at; `NONE`: unsaid.
    pub sampling_port: OfpPort,
    /// The direction.
    pub direction: SampleDirection,
    /// Which of its wire forms it arrived as, 1 to 4; it goes out as that or a newer one.
    pub form: u8,
}

/// The family's rows.
pub const FAMILY: Family = Family {
    wire: &[
        nicira(29, Len::Exact(24), |r| decode(r, 1)),
        nicira(38, Len::Exact(32), |r| decode(r, 2)),
        nicira(41, Len::Exact(32), |r| decode(r, 3)),
        nicira(51, Len::Exact(40), |r| decode(r, 4)),
    ],
    text: &[Text { name: "sample", parse }],
};

fn decode(r: &Raw, form: u8) -> Result<Action, OfpError> {
    let number = |off| Ok(SampleSource::Number(r.u32(off)));
    let source = |off| match r.u32(off) {
        0 => Ok(SampleSource::Number(r.u32(off + 4))),
        _ => {
            let (field, _) = r.subfield(off, off + 4)?;
            if field.n_bits > 32 {
                Err(OfpError::OFPBAC_BAD_ARGUMENT)
            } else {
                Ok(SampleSource::Field(field))
            }
        }
    };
    let (obs_domain, obs_point, rest) = match form {
        1..=3 => (number(16)?, number(20)?, 24),
        _ => (source(16)?, source(24)?, 32),
    };
    let direction = match (form, r.u8(rest + 2)) {
        (1 | 2, _) | (_, 0) => SampleDirection::Default,
        (_, 1) => SampleDirection::Ingress,
        (_, 2) => SampleDirection::Egress,
        _ => return Err(OfpError::OFPBAC_BAD_ARGUMENT),
    };
    if form >= 3 {
        r.zeros(rest + 3)?;
    }
    let sample = Sample {
        probability: r.u16(10),
        collector_set_id: r.u32(12),
        obs_domain,
        obs_point,
        sampling_port: if form == 1 { OfpPort::NONE } else { r.port16(rest) },
        direction,
        form,
    };
    if sample.probability == 0 { Err(OfpError::OFPBAC_BAD_ARGUMENT) } else { Ok(sample.into()) }
}

impl Sample {
    /// The fields that it reads.
    pub(super) fn fields(&self) -> Vec<Subfield> {
        let field = |source| match source {
            SampleSource::Field(field) => Some(field),
            SampleSource::Number(_) => None,
        };
        [self.obs_domain, self.obs_point].into_iter().filter_map(field).collect()
    }

    /// The smallest form that says everything, but none smaller than it arrived in.
    fn wire_form(&self) -> u8 {
        let of_field = |s: &SampleSource| matches!(s, SampleSource::Field(_));
        if of_field(&self.obs_domain) || of_field(&self.obs_point) || self.form >= 4 {
            4
        } else if self.direction != SampleDirection::Default || self.form == 3 {
            3
        } else if self.sampling_port != OfpPort::NONE || self.form == 2 {
            2
        } else {
            1
        }
    }
}

/// A source as the fourth form holds it.
fn put_source(source: SampleSource, b: &mut Vec<u8>) -> Result<(), OfpError> {
    match source {
        SampleSource::Number(n) => {
            b.put_u32(0);
            b.put_u32(n);
        }
        SampleSource::Field(field) => {
            b.put_u32(header32(field.field)?);
            b.put_u16(field.ofs_nbits());
            b.put_u16(0);
        }
    }
    Ok(())
}

fn number_of(source: SampleSource) -> u32 {
    match source {
        SampleSource::Number(n) => n,
        SampleSource::Field(_) => 0,
    }
}

impl Act for Sample {
    fn name(&self) -> &'static str {
        "sample"
    }

    fn encode(&self, e: &mut Encoder) -> Result<(), OfpError> {
        let form = self.wire_form();
        let mut sources = Vec::new();
        if form == 4 {
            put_source(self.obs_domain, &mut sources)?;
            put_source(self.obs_point, &mut sources)?;
        } else {
            sources.put_u32(number_of(self.obs_domain));
            sources.put_u32(number_of(self.obs_point));
        }
        let subtype = match form {
            1 => 29,
            2 => 38,
            3 => 41,
            _ => 51,
        };
        e.nicira(subtype, |b| {
            b.put_u16(self.probability);
            b.put_u32(self.collector_set_id);
            b.extend_from_slice(&sources);
            if form > 1 {
                b.put_u16(self.sampling_port.to_of10());
                b.put_u8(self.direction as u8);
                b.put_zeros(5);
            }
        });
        Ok(())
    }

    fn print(&self, out: &mut String, names: &Names) {
        let source = |s: SampleSource| match s {
            SampleSource::Number(n) => n.to_string(),
            SampleSource::Field(field) => field.to_string(),
        };
        let _ = write!(
            out,
            "sample(probability={},collector_set_id={},obs_domain_id={},obs_point_id={}",
            self.probability,
            self.collector_set_id,
            source(self.obs_domain),
            source(self.obs_point)
        );
        if self.sampling_port != OfpPort::NONE {
            let _ = write!(out, ",sampling_port={}", names.port(self.sampling_port));
        }
        out.push_str(match self.direction {
            SampleDirection::Default => ")",
            SampleDirection::Ingress => ",ingress)",
            SampleDirection::Egress => ",egress)",
        });
    }

    fn check(&mut self, cx: &mut Checker) -> Result<(), OfpError> {
        self.fields().iter().try_for_each(|field| field.check_src(&cx.m))
    }
}

fn parse_source(text: &str) -> Result<SampleSource, TextError> {
    if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        return number::u32(text).map(SampleSource::Number);
    }
    let field = Subfield::parse(text)?;
    if field.n_bits > 32 {
        return Err(text_error!("size of observation field ({}) exceeds maximum size (32)", field.n_bits));
    }
    Ok(SampleSource::Field(field))
}

fn parse(arg: &str, cx: &mut ParseContext) -> Result<(), TextError> {
    let mut sample = Sample {
        probability: 0,
        collector_set_id: 0,
        obs_domain: SampleSource::Number(0),
        obs_point: SampleSource::Number(0),
        sampling_port: OfpPort::NONE,
        direction: SampleDirection::Default,
        form: 1,
    };
    for (key, value) in Pairs::new(arg) {
        match key {
            "probability" => {
                sample.probability = number::u16(value, key)?;
                if sample.probability == 0 {
                    return Err(text_error!("invalid probability value \"{value}\""));
                }
            }
            "collector_set_id" => sample.collector_set_id = number::u32(value)?,
            "obs_domain_id" => sample.obs_domain = parse_source(value)?,
            "obs_point_id" => sample.obs_point = parse_source(value)?,
            "sampling_port" => {
                sample.sampling_port =
                    values::port(value, cx.names).ok_or_else(|| text_error!("{value}: unknown port"))?;
            }
            "ingress" => sample.direction = SampleDirection::Ingress,
            "egress" => sample.direction = SampleDirection::Egress,
            _ => return Err(text_error!("invalid key \"{key}\" in \"sample\" argument")),
        }
    }
    if sample.probability == 0 {
        return Err(TextError::new("non-zero \"probability\" must be specified on sample"));
    }
    cx.push(sample);
    Ok(())
}
