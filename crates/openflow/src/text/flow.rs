//! The text of a flow: `table=…,priority=…,match…,actions=…`.

use crate::{FlowMod, FlowModCommand, Names, Protocols, TextError};

/// Parses a flow as the ovs-ofctl command for `command` takes it; returns the protocols able to carry it.
pub fn parse(text: &str, command: FlowModCommand, names: &Names) -> Result<(FlowMod, Protocols), TextError> {
    let _ = (text, command, names);
    Err(TextError::new("unsupported"))
}

/// Parses a line of a file of flows, where a first word `add`, `modify`, `delete`… may choose another command.
pub fn parse_line(
    text: &str,
    command: FlowModCommand,
    names: &Names,
) -> Result<(FlowMod, Protocols), TextError> {
    parse(text, command, names)
}
