//! The OpenFlow switch: tables, rules and their snapshots.
