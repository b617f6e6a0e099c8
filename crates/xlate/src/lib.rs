//! Translation: a packet and a snapshot of the rules become datapath actions and wildcards.
