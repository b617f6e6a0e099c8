//! OpenFlow 1.0 to 1.5 with Nicira's extensions, and the ovs-ofctl text syntax, to and from version-free requests.
