//! The counters of a device.
//!
//! Where it sits: devices fill it, `Interface.statistics` and OpenFlow's port statistics read it. A counter that a
//! device does not keep is absent, not zero.

macro_rules! stats {
    ($($(#[$doc:meta])+ $field:ident;)+) => {
        /// The counters of a device; `None` where it does not keep one.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct NetdevStats {
            $($(#[$doc])+ pub $field: Option<u64>,)+
            /// Counters that only this kind of device has.
            pub custom: Vec<(String, u64)>,
        }

        impl NetdevStats {
            /// Every counter that is kept, under its name in `Interface.statistics`.
            pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
                [$((stringify!($field), self.$field),)+]
                    .into_iter()
                    .filter_map(|(name, n)| Some((name, n?)))
                    .chain(self.custom.iter().map(|(name, n)| (name.as_str(), *n)))
            }
        }
    };
}

stats! {
    /// Packets that came in.
    rx_packets;
    /// Packets that went out.
    tx_packets;
    /// Bytes that came in.
    rx_bytes;
    /// Bytes that went out.
    tx_bytes;
    /// Packets dropped at receive.
    rx_dropped;
    /// Packets dropped at transmit.
    tx_dropped;
    /// Bad packets that came in.
    rx_errors;
    /// Packets that could not be sent.
    tx_errors;
    /// Frame alignment errors.
    rx_frame_err;
    /// Packets lost by an overrun.
    rx_over_err;
    /// Checksum errors of frames.
    rx_crc_err;
    /// Packets that the receiver missed.
    rx_missed_errors;
    /// Collisions.
    collisions;
    /// Multicast packets that came in.
    rx_multicast_packets;
}

impl NetdevStats {
    /// The counters as seen from the other end of the device: what it received was sent.
    #[must_use]
    pub fn swapped(mut self) -> NetdevStats {
        use std::mem::swap;
        swap(&mut self.rx_packets, &mut self.tx_packets);
        swap(&mut self.rx_bytes, &mut self.tx_bytes);
        swap(&mut self.rx_dropped, &mut self.tx_dropped);
        swap(&mut self.rx_errors, &mut self.tx_errors);
        self
    }
}
