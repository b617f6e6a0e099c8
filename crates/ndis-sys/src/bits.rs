//! Bit fields that C declares in structures of eight bytes.
//!
//! Where it sits: the values travel in `NET_BUFFER_LIST::NetBufferListInfo`.

/// The switch's word on a packet: where it came from, and what may be done with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForwardingDetail(pub u64);

impl ForwardingDetail {
    /// Room for destinations that can be added without growing the array.
    pub const fn available_destinations(self) -> u16 {
        self.0 as u16
    }

    /// The port that the packet came from.
    pub const fn source_port(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// The adapter at that port.
    pub const fn source_nic(self) -> u8 {
        (self.0 >> 32) as u8
    }

    /// The switch forwards it by itself (NVGRE); extensions pass it on untouched.
    pub const fn native_forwarding(self) -> bool {
        self.0 >> 40 & 1 != 0
    }

    /// No part of the data lies in memory that a guest can write.
    pub const fn data_is_safe(self) -> bool {
        self.0 >> 42 & 1 != 0
    }

    /// Bytes from the frame's start that no guest can write, if not all are.
    pub const fn safe_size(self) -> u16 {
        (self.0 >> 43) as u16 & 0xfff
    }

    /// The same with the data marked as safe.
    pub const fn with_data_safe(self) -> ForwardingDetail {
        ForwardingDetail(self.0 | 1 << 42)
    }

    /// The same with so many bytes from the frame's start marked as safe, of 4095 at most, and no more.
    pub const fn with_safe_size(self, size: u16) -> ForwardingDetail {
        let size = if size > 0xfff { 0xfff } else { size };
        ForwardingDetail(self.0 & !(1 << 42 | 0xfff << 43) | (size as u64) << 43)
    }
}
