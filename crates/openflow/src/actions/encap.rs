//! `encap` and `decap`: header stacks that are not Ethernet, and NSH.

/// A property of the header to be pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncapProperty {
    /// NSH's metadata type.
    NshMdType(u8),
    /// A TLV of NSH's metadata type 2.
    NshTlv {
        /// Its class.
        class: u16,
        /// Its type.
        kind: u8,
        /// Its data.
        data: Vec<u8>,
    },
}

/// `encap`: pushes a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encap {
    /// The packet type of the new header: namespace and type.
    pub packet_type: u32,
    /// Its size, where it matters; zero: unspecified.
    pub hdr_size: u16,
    /// More about it.
    pub properties: Vec<EncapProperty>,
}

/// `decap`: pops the outermost header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decap(
    /// The packet type of what is below; 0xfffe: what the header says.
    pub u32,
);
