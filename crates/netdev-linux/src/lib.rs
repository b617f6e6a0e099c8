//! Linux ports: AF_PACKET and TAP, with offloads; links by rtnetlink.
