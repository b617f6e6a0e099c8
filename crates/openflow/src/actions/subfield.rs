//! Runs of bits of a field, as actions name them: `NXM_NX_REG0[0..15]`.

use flow::Field;

/// `n_bits` bits of a field, from bit `ofs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subfield {
    /// The field.
    pub field: Field,
    /// The lowest bit.
    pub ofs: u16,
    /// How many bits.
    pub n_bits: u16,
}
