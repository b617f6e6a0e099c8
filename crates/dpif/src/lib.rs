//! The datapath as the switch sees it: typed commands, upcalls, statistics.
