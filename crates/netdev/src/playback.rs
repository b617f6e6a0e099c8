//! A device that plays a capture file from memory, as fast as it is polled, and takes every packet.
//!
//! Where it sits: a generator of traffic for measurements and trials, beside [`crate::NullNetdev`], which only takes.
//! Poll-mode threads poll it.
//!
//! `options:rx_pcap` names the file; it is read whole when it is set. Its packets come once, or with
//! `options:infinite_rx=true` over and over (the names are those of DPDK's `net_pcap`).
//!
//! I1  A file that cannot be read, or is too large, changes nothing.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use packet::OdpPort;
use wire::EthAddr;

use crate::device::{Netdev, Options, Polling, Queues, RxQueue};
use crate::null::Sink;
use crate::{BufferPool, FrameBatch, NetdevError, NetdevStats, OpenNetdev, pcap};

/// Bytes of a file at most.
const MAX_BYTES: u64 = 256 << 20;

/// What is played.
#[derive(Default)]
struct Tape {
    frames: Vec<Box<[u8]>>,
    endless: bool,
    /// The options that it was made of.
    of: (Option<String>, bool),
}

#[derive(Default)]
struct Shared {
    tape: Mutex<Arc<Tape>>,
    /// Changes with the tape.
    version: AtomicU64,
    taken: AtomicBool,
    rx_packets: AtomicU64,
    rx_bytes: AtomicU64,
    sink: Arc<crate::null::Counters>,
}

impl Shared {
    fn tape(&self) -> Arc<Tape> {
        self.tape.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A device that plays a capture file.
pub struct PcapNetdev {
    name: String,
    shared: Arc<Shared>,
}

impl PcapNetdev {
    /// A device that plays nothing yet.
    pub fn new(name: &str) -> PcapNetdev {
        PcapNetdev { name: name.to_owned(), shared: Arc::default() }
    }

    /// Opens devices of this type.
    pub fn opener() -> Arc<dyn OpenNetdev> {
        Arc::new(|name: &str| -> Result<Arc<dyn Netdev>, NetdevError> { Ok(Arc::new(PcapNetdev::new(name))) })
    }
}

fn read(path: &str) -> Result<Vec<Box<[u8]>>, NetdevError> {
    let refuse = |why: String| NetdevError::Options(format!("{path}: {why}"));
    let size = fs::metadata(path).map_err(|e| refuse(NetdevError::from(e).to_string()))?.len();
    if size > MAX_BYTES {
        return Err(refuse(format!("capture file is larger than {MAX_BYTES} bytes")));
    }
    let bytes = fs::read(path).map_err(|e| refuse(NetdevError::from(e).to_string()))?;
    let frames = pcap::read(&bytes).map_err(|e| refuse(e.to_string()))?;
    Ok(frames.into_iter().map(Box::from).collect())
}

impl Netdev for PcapNetdev {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &str {
        "pcap"
    }

    fn queues(&self) -> Option<Queues> {
        if self.shared.taken.swap(true, Ordering::Relaxed) {
            return None;
        }
        let rx = Rx { shared: self.shared.clone(), tape: self.shared.tape(), version: 0, next: 0 };
        Some(Queues::pair(rx, Sink(self.shared.sink.clone())))
    }

    fn polling(&self) -> Polling {
        Polling::Dedicated
    }

    fn config(&self) -> Options {
        let (file, endless) = self.shared.tape().of.clone();
        let file = file.map(|file| ("rx_pcap".to_owned(), file));
        file.into_iter().chain([("infinite_rx".to_owned(), endless.to_string())]).collect()
    }

    fn mac(&self) -> Result<EthAddr, NetdevError> {
        Ok(EthAddr::ZERO)
    }

    fn mtu(&self) -> Result<u32, NetdevError> {
        Ok(65_535)
    }

    fn stats(&self) -> Result<NetdevStats, NetdevError> {
        Ok(NetdevStats {
            rx_packets: Some(self.shared.rx_packets.load(Ordering::Relaxed)),
            rx_bytes: Some(self.shared.rx_bytes.load(Ordering::Relaxed)),
            ..self.shared.sink.stats()
        })
    }

    fn set_options(&self, options: &Options) -> Result<(), NetdevError> {
        let endless = options.get("infinite_rx").is_some_and(|v| v == "true");
        let of = (options.get("rx_pcap").cloned(), endless);
        if self.shared.tape().of == of {
            return Ok(());
        }
        let frames = of.0.as_deref().map(read).transpose()?.unwrap_or_default();
        let tape = Arc::new(Tape { frames, endless, of });
        *self.shared.tape.lock().unwrap_or_else(PoisonError::into_inner) = tape;
        self.shared.version.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

struct Rx {
    shared: Arc<Shared>,
    tape: Arc<Tape>,
    version: u64,
    next: usize,
}

impl Drop for Rx {
    fn drop(&mut self) {
        self.shared.taken.store(false, Ordering::Relaxed);
    }
}

impl RxQueue for Rx {
    fn receive(&mut self, pool: &mut BufferPool, out: &mut FrameBatch) -> usize {
        let version = self.shared.version.load(Ordering::Acquire);
        if version != self.version {
            (self.tape, self.version, self.next) = (self.shared.tape(), version, 0);
        }
        let (mut packets, mut bytes) = (0, 0);
        while !out.is_full() {
            if self.next == self.tape.frames.len() && self.tape.endless {
                self.next = 0;
            }
            let Some(frame) = self.tape.frames.get(self.next) else { break };
            let Some(copy) = pool.copy_of(frame) else { break };
            self.next += 1;
            if out.push_from(OdpPort::NONE, copy).is_ok() {
                packets += 1;
                bytes += frame.len() as u64;
            }
        }
        if packets != 0 {
            // This queue alone changes them.
            let add =
                |total: &AtomicU64, n| total.store(total.load(Ordering::Relaxed) + n, Ordering::Relaxed);
            add(&self.shared.rx_packets, packets);
            add(&self.shared.rx_bytes, bytes);
        }
        packets as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(list: &[(&str, &str)]) -> Options {
        list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn receive(rx: &mut dyn RxQueue, pool: &mut BufferPool) -> Vec<usize> {
        let mut batch = FrameBatch::default();
        rx.receive(pool, &mut batch);
        let frames: Vec<_> = batch.drain_bufs().collect();
        let lens = frames.iter().map(|f| f.frame().len()).collect();
        frames.into_iter().for_each(|f| pool.give(f));
        lens
    }

    #[test]
    fn a_file_comes_once_or_over_and_over() {
        let path = std::env::temp_dir().join(format!("playback-{}.pcap", std::process::id()));
        let path = path.to_str().unwrap();
        let mut file = pcap::PcapWriter::new(Vec::new()).unwrap();
        file.write(1, &[0; 60]).unwrap();
        file.write(2, &[0; 70]).unwrap();
        fs::write(path, file.into_inner()).unwrap();
        let device = PcapNetdev::new("p");
        let mut queues = device.queues().unwrap();
        assert!(device.queues().is_none());
        let (mut rx, mut pool) = (queues.rx.remove(0), BufferPool::new());
        assert_eq!(receive(&mut *rx, &mut pool), []);
        device.set_options(&options(&[("rx_pcap", path)])).unwrap();
        assert_eq!(receive(&mut *rx, &mut pool), [60, 70]);
        assert_eq!(receive(&mut *rx, &mut pool), []);
        device.set_options(&options(&[("rx_pcap", path), ("infinite_rx", "true")])).unwrap();
        assert_eq!(receive(&mut *rx, &mut pool).len(), packet::BATCH);
        assert_eq!(device.stats().unwrap().rx_packets, Some(2 + 32));
        let refused = device.set_options(&options(&[("rx_pcap", "/no/such/file")])).unwrap_err();
        assert_eq!(refused.to_string(), "/no/such/file: No such file or directory");
        assert_eq!(receive(&mut *rx, &mut pool).len(), packet::BATCH, "nothing changed");
        fs::remove_file(path).unwrap();
        drop(rx);
        assert!(device.queues().is_some());
    }
}
