//! Runs of bits of a field, as actions name them: `NXM_NX_REG0[0..15]`.
//!
//! Where it sits: below every action that reads or writes fields.

use std::fmt;

use flow::{Field, Match};

use crate::text::{TextError, number, text_error, values};
use crate::{Bits, OfpError, field};

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

/// How many bits of a field actions see.
pub fn width(field: Field) -> u16 {
    match field {
        // The bit that says that there is a tag belongs to the field.
        Field::VlanVid | Field::DlVlan => 12,
        _ => field.def().bits,
    }
}

impl Subfield {
    /// All of a field.
    pub fn whole(field: Field) -> Subfield {
        Subfield { field, ofs: 0, n_bits: width(field) }
    }

    /// The number `(ofs << 6) | (n_bits - 1)` that stands for the run.
    pub fn ofs_nbits(self) -> u16 {
        self.ofs << 6 | self.n_bits.saturating_sub(1)
    }

    /// Ones at the run's place in the field.
    pub fn mask(self) -> Bits {
        &Bits::ones(self.n_bits) << self.ofs
    }

    /// The low bits of `bits` at the run's place in the field.
    pub fn place(self, bits: &Bits) -> Bits {
        &(bits & &Bits::ones(self.n_bits)) << self.ofs
    }

    /// The run's bits of a field's value.
    pub fn take(self, value: &Bits) -> Bits {
        &(value >> self.ofs) & &Bits::ones(self.n_bits)
    }

    /// Requires the low bits of `value` in the run, beside what the match requires of the field already.
    pub fn set_in_match(self, m: &mut Match, value: &Bits) -> bool {
        let (old, mask) = field::get_masked(self.field, m);
        let value = old.with(&self.place(value), &self.mask());
        field::set_match(self.field, m, value, &mask | &self.mask())
    }

    /// A number for the run, as a text says it.
    pub fn parse_number(self, text: &str) -> Result<Bits, BadNumber> {
        let number = number::bits(text, self.field.def().bytes).map_err(|_| BadNumber::Unreadable)?;
        if number.len() > self.n_bits { Err(BadNumber::TooWide(number)) } else { Ok(number) }
    }

    /// The run, unless it lies beyond its field.
    pub fn checked(self) -> Result<Subfield, OfpError> {
        let width = width(self.field);
        if self.n_bits == 0 || self.ofs >= width || self.n_bits > width - self.ofs {
            Err(OfpError::OFPBAC_BAD_SET_LEN)
        } else {
            Ok(self)
        }
    }

    /// Checks that the match has what the field needs.
    pub fn check_src(self, m: &Match) -> Result<(), OfpError> {
        self.checked()?;
        if field::prereqs_ok(self.field, m) { Ok(()) } else { Err(OfpError::OFPBAC_MATCH_INCONSISTENT) }
    }

    /// The same of a field to be written.
    pub fn check_dst(self, m: &Match) -> Result<(), OfpError> {
        self.check_src(m)?;
        if self.field.def().writable { Ok(()) } else { Err(OfpError::OFPBAC_BAD_SET_ARGUMENT) }
    }

    /// Parses a run that takes up the whole of `text`.
    pub fn parse(text: &str) -> Result<Subfield, TextError> {
        let (subfield, rest) = Subfield::parse_prefix(text)?;
        if rest.is_empty() {
            Ok(subfield)
        } else {
            Err(text_error!("{text}: syntax error expecting [] or [<bit>] or [<start>..<end>]"))
        }
    }

    /// Parses a run at the start of `text`; what follows is returned, too.
    pub fn parse_prefix(text: &str) -> Result<(Subfield, &str), TextError> {
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let field =
            values::field_by_name(name).ok_or_else(|| text_error!("{text}: unknown field `{name}'"))?;
        let width = width(field);
        let Some(brackets) = rest.strip_prefix('[') else { return Ok((Subfield::whole(field), rest)) };
        let syntax = || text_error!("{text}: syntax error expecting [] or [<bit>] or [<start>..<end>]");
        let (inside, rest) = brackets.split_once(']').ok_or_else(syntax)?;
        let number = |n: &str| {
            let digits = !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
            n.parse::<u32>().ok().filter(|_| digits).ok_or_else(syntax)
        };
        let (start, end) = match inside.split_once("..") {
            _ if inside.is_empty() => return Ok((Subfield::whole(field), rest)),
            None => (number(inside)?, number(inside)?),
            Some((start, end)) => (number(start)?, number(end)?),
        };
        if start > end {
            return Err(text_error!("{text}: starting bit {start} is after ending bit {end}"));
        }
        let beyond = |which: &str, bit: u32| {
            text_error!("{text}: {which} bit {bit} is not valid because field is only {width} bits wide")
        };
        if start >= width.into() {
            return Err(beyond("starting", start));
        }
        if end >= width.into() {
            return Err(beyond("ending", end));
        }
        Ok((Subfield { field, ofs: start as u16, n_bits: (end - start + 1) as u16 }, rest))
    }
}

/// Why a text is no number for a run of bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadNumber {
    /// It is none that the field takes.
    Unreadable,
    /// It has more bits than the run.
    TooWide(Bits),
}

/// The name of a field as subfields show it: that of its first number.
pub fn wire_name(field: Field) -> &'static str {
    field.def().headers.first().map_or(field.def().name, |h| h.name)
}

impl fmt::Display for Subfield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(wire_name(self.field))?;
        match (self.ofs, self.n_bits) {
            (0, n) if n == width(self.field) => f.write_str("[]"),
            (ofs, 1) => write!(f, "[{ofs}]"),
            (ofs, n) => write!(f, "[{ofs}..{}]", ofs + n - 1),
        }
    }
}

/// Parses `source->destination`, of the same width.
pub fn parse_move(text: &str) -> Result<(Subfield, Subfield), TextError> {
    let (src, rest) = Subfield::parse_prefix(text)?;
    let rest = rest.strip_prefix("->").ok_or_else(|| text_error!("{text}: missing `->' following source"))?;
    let dst = Subfield::parse(rest)?;
    if src.n_bits == dst.n_bits {
        return Ok((src, dst));
    }
    Err(text_error!(
        "{text}: source field is {} bits wide but destination is {} bits wide",
        src.n_bits,
        dst.n_bits
    ))
}
