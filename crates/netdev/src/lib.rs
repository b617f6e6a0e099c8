//! The port as hosts see it: queues, link state, statistics; dummy and null devices.
