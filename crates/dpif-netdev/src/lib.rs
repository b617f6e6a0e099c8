//! The Linux host of the datapath: threads that poll ports and run workers.
