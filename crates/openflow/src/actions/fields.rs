//! Actions on any field: set_field and load, move, the stack, delete_field.

use flow::Field;

use super::Subfield;

/// Which of its texts and wire forms a [`SetField`] came as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetFieldForm {
    /// `set_field:value/mask->field`.
    SetField,
    /// `load:value->field[bits]`.
    Load,
    /// The second Nicira form of `load`, which carries whole fields and masks.
    Load2,
}

/// `set_field` and `load`: stores bits in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetField {
    /// The field.
    pub field: Field,
    /// The bits to store, at their place in the field; zero outside of `mask`.
    pub value: u128,
    /// Which bits to store.
    pub mask: u128,
    /// How it is written.
    pub form: SetFieldForm,
    /// The flow is known to match a VLAN tag, or to have pushed one.
    pub flow_has_vlan: bool,
}

/// `move`: copies bits from a field to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// From.
    pub src: Subfield,
    /// To; as wide as `src`.
    pub dst: Subfield,
    /// It arrived as, and goes out as, OpenFlow 1.3's experimenter form.
    pub onf: bool,
}

/// `push`: copies bits onto the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackPush(
    /// What to push.
    pub Subfield,
);

/// `pop`: takes the top of the stack into bits of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackPop(
    /// Where it goes.
    pub Subfield,
);
