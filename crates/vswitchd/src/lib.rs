//! ovs-vswitchd: the Open_vSwitch database drives the switch.
