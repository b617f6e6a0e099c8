//! The host's own address: it answers ARP and echo requests, and learns its neighbours.
//!
//! Where it sits: behind the internal adapter; what it learns, `netio.rs` tells the driver. A tunnel's packets never come here:
//! the driver takes them.
//!
//! Windows would wait for a neighbour's answer; here whoever asks is told at once that there is none yet, and asks again.

use std::net::{IpAddr, Ipv4Addr};

use wire::arp::{self, Arp, ArpRef};
use wire::{EthAddr, checksum};

use crate::world::with;

/// Neighbours that are known.
const NEIGHBOURS: usize = 256;
const ETHERNET: usize = 14;

/// Who the host is on its network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stack {
    address: u32,
    prefix_len: u32,
    mac: EthAddr,
}

fn ethernet(to: EthAddr, from: EthAddr, kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&to.0[..], &from.0, &kind.to_be_bytes(), payload].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

impl Stack {
    /// The host with this address in a network of that prefix.
    pub fn new(address: Ipv4Addr, prefix_len: u32, mac: [u8; 6]) -> Stack {
        Stack { address: address.to_bits(), prefix_len, mac: EthAddr(mac) }
    }

    /// Its address and the length of its network's prefix.
    pub fn network(&self) -> (u32, u32) {
        (self.address, self.prefix_len)
    }

    /// True for an address in its network.
    pub fn is_near(&self, address: u32) -> bool {
        (address ^ self.address).leading_zeros() >= self.prefix_len
    }

    /// Asks who has an address.
    pub fn ask(&self, address: u32) -> Vec<u8> {
        let question =
            Arp { op: arp::REQUEST, sha: self.mac, spa: self.address, tha: EthAddr::ZERO, tpa: address };
        ethernet(EthAddr([0xff; 6]), self.mac, wire::eth::TYPE_ARP, &question.emit())
    }

    /// The answer to a frame, if it wants one.
    pub fn answer(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let kind = u16::from_be_bytes([*frame.get(12)?, *frame.get(13)?]);
        match kind {
            wire::eth::TYPE_ARP => {
                let question = self.hear(frame.get(ETHERNET..)?)?;
                learn(question.spa, question.sha);
                let answer = Arp {
                    op: arp::REPLY,
                    sha: self.mac,
                    spa: self.address,
                    tha: question.sha,
                    tpa: question.spa,
                };
                let reply = || ethernet(question.sha, self.mac, wire::eth::TYPE_ARP, &answer.emit());
                (question.op == arp::REQUEST).then(reply)
            }
            wire::eth::TYPE_IPV4 => self.echo(frame),
            _ => None,
        }
    }

    /// What somebody says of an address, if it is for this host.
    fn hear(&self, bytes: &[u8]) -> Option<Arp> {
        let said = ArpRef::parse(bytes).filter(ArpRef::is_ethernet_ipv4)?;
        (said.tpa() == self.address).then(|| said.into())
    }

    fn echo(&self, frame: &[u8]) -> Option<Vec<u8>> {
        const ICMP: u8 = 1;
        const REQUEST: u8 = 8;
        let ip = frame.get(ETHERNET..)?;
        let header = usize::from(ip.first()? & 15) * 4;
        let len = usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?]));
        let ours = ip.get(16..20)? == self.address.to_be_bytes() && ip.get(9) == Some(&ICMP);
        let message = ip.get(header..len).filter(|m| ours && m.len() >= 8 && m[0] == REQUEST)?;
        let mut answer = message.to_vec();
        (answer[0], answer[2], answer[3]) = (0, 0, 0);
        let sum = checksum::checksum(&answer).to_be_bytes();
        answer[2..4].copy_from_slice(&sum);
        let mut head = ip.get(..header)?.to_vec();
        let (from, to) = (head[12..16].to_vec(), head[16..20].to_vec());
        // Both addresses change places, so that the header's sum stays what it was.
        head[12..16].copy_from_slice(&to);
        head[16..20].copy_from_slice(&from);
        let sender = EthAddr(frame.get(6..12)?.try_into().ok()?);
        Some(ethernet(sender, self.mac, wire::eth::TYPE_IPV4, &[head, answer].concat()))
    }
}

fn learn(address: u32, mac: EthAddr) {
    let address = IpAddr::from(Ipv4Addr::from_bits(address));
    with(|w| {
        if w.net.neighbours.len() < NEIGHBOURS || w.net.neighbours.contains_key(&address) {
            w.net.neighbours.insert(address, mac.0);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Ipv4Addr = Ipv4Addr::new(192, 168, 9, 1);
    const PEER: EthAddr = EthAddr([2, 0, 0, 0, 9, 2]);

    fn stack() -> Stack {
        Stack::new(OWN, 24, [0, 0x15, 0x5d, 0, 0, 2])
    }

    #[test]
    fn only_its_own_network_is_near() {
        assert!(stack().is_near(OWN.to_bits() ^ 0xff) && !stack().is_near(OWN.to_bits() ^ 0x100));
        assert!(Stack::new(OWN, 32, [0; 6]).is_near(OWN.to_bits()));
    }

    #[test]
    fn an_echo_request_comes_back_with_right_checksums() {
        let mut message = vec![8, 0, 0, 0, 1, 2, 0, 7];
        message.extend_from_slice(b"payload");
        let sum = checksum::checksum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
        let mut ip = vec![0x45, 0, 0, 20 + message.len() as u8, 0, 0, 0, 0, 64, 1, 0, 0, 192, 168, 9, 2];
        ip.extend_from_slice(&OWN.octets());
        let sum = checksum::checksum(&ip).to_be_bytes();
        ip[10..12].copy_from_slice(&sum);
        let own = stack().mac;
        let answer = stack().answer(&ethernet(own, PEER, wire::eth::TYPE_IPV4, &[ip, message].concat()));
        let answer = answer.expect("it is asked");
        assert_eq!((&answer[..6], &answer[6..12]), (&PEER.0[..], &own.0[..]));
        assert_eq!((&answer[26..30], &answer[30..34]), (&OWN.octets()[..], &[192, 168, 9, 2][..]));
        assert_eq!(
            (answer[34], &answer[38..49]),
            (0, &[1, 2, 0, 7, b'p', b'a', b'y', b'l', b'o', b'a', b'd'][..])
        );
        assert_eq!((checksum::checksum(&answer[14..34]), checksum::checksum(&answer[34..49])), (0, 0));
    }

    #[test]
    fn what_is_for_others_or_broken_is_not_answered() {
        let question = stack().ask(7);
        assert_eq!(stack().answer(&question), None, "it asks for another");
        for len in 0..question.len() {
            assert_eq!(stack().answer(&question[..len]), None);
        }
        let empty = ethernet(PEER, PEER, wire::eth::TYPE_IPV4, &[0; 46]);
        assert_eq!(stack().answer(&empty), None);
    }
}
