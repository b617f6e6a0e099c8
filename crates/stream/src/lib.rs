//! Byte streams and sessions: unix sockets, TCP, JSON-RPC, OpenFlow connections, reconnection.
