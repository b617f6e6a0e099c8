//! `learn`: makes a flow of the packet.

use flow::Field;

use super::Subfield;

/// What a [`LearnSpec`] takes bits from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LearnSource {
    /// A field of the packet.
    Field(Subfield),
    /// A number, and how many bits it has.
    Number(u128, u16),
}

/// What a [`LearnSpec`] does with the bits in the new flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LearnDest {
    /// Match them.
    Match(Subfield),
    /// Load them into a field.
    Load(Subfield),
    /// Output to the port with that number.
    Output,
}

/// One part of the flow that [`Learn`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnSpec {
    /// From.
    pub src: LearnSource,
    /// To.
    pub dst: LearnDest,
}

/// `learn`: adds or changes a flow made of the packet's fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learn {
    /// The new flow's idle timeout.
    pub idle_timeout: u16,
    /// Its hard timeout.
    pub hard_timeout: u16,
    /// Its priority.
    pub priority: u16,
    /// Its cookie.
    pub cookie: u64,
    /// Its table.
    pub table: u8,
    /// Its idle timeout after a FIN.
    pub fin_idle_timeout: u16,
    /// Its hard timeout after a FIN.
    pub fin_hard_timeout: u16,
    /// It sends flow-removed messages.
    pub send_flow_rem: bool,
    /// Learned flows go when the last flow with this action and cookie goes.
    pub delete_learned: bool,
    /// How many flows may be learned; zero: any.
    pub limit: u32,
    /// A bit that tells whether the limit let the flow be learned.
    pub result_dst: Option<(Field, u16)>,
    /// It arrived in the newer wire form.
    pub extended: bool,
    /// The parts.
    pub specs: Vec<LearnSpec>,
}
