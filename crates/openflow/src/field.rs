//! Fields as OpenFlow carries them: values between a flow key and the wire, prerequisites.
//!
//! Where it sits: above the registry in `flow`; below matches and actions, and used by translation to carry out
//! `set_field`, `move` and the stack.
//!
//! The wire's form of a field differs from the key's slot in a few cases: `in_port` has 16 bits in one of its two
//! fields, `nw_tos` leaves the ECN bits out, `arp_op` has 16 bits, `dl_vlan` sets the presence bit.

use flow::{Field, FlowKey};

/// The value of `field` in `key`.
pub fn get(field: Field, key: &FlowKey) -> u128 {
    key.get(field.def().slot)
}
