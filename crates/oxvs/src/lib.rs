//! oxvs: the demonstration, and the switch in one command.
