//! ovsdb-server: the Open vSwitch database server.
