//! OpenFlow connections as bytes: messages are cut by the length in their header and not looked into.
//!
//! Where it sits: the switch's controllers and management listeners, and ovs-ofctl. Versions, hello and echo are the owner's: on
//! `Event::Probe` it sends an echo request of the version it negotiated.
//!
//! ~~~text
//!   0         1         2           4            8
//!   | version |  type   |  length   |    xid     |  body: length - 8 bytes        (OpenFlow 1.5.1, 7.1.1)
//! ~~~

use crate::Clock;
use crate::link::{Codec, Link};
use crate::name::OPENFLOW_PORT;
use crate::reconnect::{Config, Wording};
use crate::socket::Stream;

/// Bytes of a message's header.
const HEADER_LEN: usize = 8;

/// A kept OpenFlow connection; messages are whole, header included.
pub type Connection = Link<OpenFlowCodec>;

/// What happened to a connection.
pub type Event = crate::link::Event<Vec<u8>>;

impl Connection {
    /// Dials a controller or switch, again whenever the connection is lost.
    pub fn dial_openflow(name: &str, mut config: Config, clock: &Clock) -> Connection {
        config.wording = Wording::Rconn;
        Link::dial(vec![name.to_owned()], OPENFLOW_PORT, OpenFlowCodec::default(), config, clock)
    }

    /// Serves a connection that a listener accepted, until it is lost.
    pub fn accepted_openflow(stream: Stream, mut config: Config, clock: &Clock) -> Connection {
        config.wording = Wording::Rconn;
        Link::accepted(stream, OpenFlowCodec::default(), config, clock)
    }
}

/// Cuts a stream into OpenFlow messages.
#[derive(Debug, Default)]
pub struct OpenFlowCodec {
    message: Vec<u8>,
}

impl Codec for OpenFlowCodec {
    type Item = Vec<u8>;
    const LOG_TARGET: &'static str = "vconn_stream@600/10";

    fn reset(&mut self) {
        self.message.clear();
    }

    fn decode(&mut self, input: &[u8]) -> Result<(usize, Option<Vec<u8>>), String> {
        let mut taken = 0;
        loop {
            let wanted = match *self.message.as_slice() {
                [_, _, high, low, _, _, _, _, ..] => {
                    let length = usize::from(u16::from_be_bytes([high, low]));
                    if length < HEADER_LEN {
                        return Err(format!("received too-short ofp_header ({length} bytes)"));
                    }
                    length
                }
                _ => HEADER_LEN,
            };
            let count = (wanted - self.message.len()).min(input.len() - taken);
            self.message.extend_from_slice(&input[taken..taken + count]);
            taken += count;
            if self.message.len() < wanted {
                return Ok((taken, None));
            }
            // A header alone is complete only if it says so itself.
            if wanted > HEADER_LEN || self.message[2..4] == [0, HEADER_LEN as u8] {
                return Ok((taken, Some(std::mem::take(&mut self.message))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_all(codec: &mut OpenFlowCodec, mut input: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let mut messages = Vec::new();
        while !input.is_empty() {
            let (taken, message) = codec.decode(input)?;
            messages.extend(message);
            input = &input[taken..];
        }
        Ok(messages)
    }

    #[test]
    fn a_length_below_the_header_is_refused() {
        let error = decode_all(&mut OpenFlowCodec::default(), &[4, 0, 0, 7, 0, 0, 0, 0, 0]).unwrap_err();
        assert_eq!(error, "received too-short ofp_header (7 bytes)");
    }

    proptest! {
        #[test]
        fn any_split_of_a_stream_gives_the_same_messages(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            step in 1usize..50,
        ) {
            let messages: Vec<Vec<u8>> = bodies
                .into_iter()
                .map(|body| [&[4, 0, 0, 8 + body.len() as u8, 1, 2, 3, 4][..], &body].concat())
                .collect();
            let mut codec = OpenFlowCodec::default();
            let mut got = Vec::new();
            for chunk in messages.concat().chunks(step) {
                got.extend(decode_all(&mut codec, chunk).unwrap());
            }
            prop_assert_eq!(got, messages);
        }
    }
}
