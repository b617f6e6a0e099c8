//! `sample`: a part of the packets to a flow collector.

use super::Subfield;
use crate::OfpPort;

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
