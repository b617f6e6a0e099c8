//! What devices lose of packets is counted by its reason, and by port.

use std::sync::Arc;

use datapath::{DropCounts, FlowPut, PutMode};
use dpif::Dpif;
use netdev::{
    BufferPool, FrameBatch, Netdev, NetdevError, NetdevStats, Queues, Registry, RxDrops, RxQueue, TxDrops,
    TxQueue,
};
use odp::{Action, Ufid};
use packet::{DropReason, OdpPort};
use wire::EthAddr;

use super::{Bench, bench_of, matching};

/// A device that lost packets before it is first asked, and loses each that it is to send.
struct Lossy(String);

impl Netdev for Lossy {
    fn name(&self) -> &str {
        &self.0
    }

    fn kind(&self) -> &str {
        "lossy"
    }

    fn queues(&self) -> Option<Queues> {
        let received = RxDrops { memory: 1, truncated: 2, unknown: 3 };
        Some(Queues::pair(Lost(received), Refused))
    }

    fn mac(&self) -> Result<EthAddr, NetdevError> {
        Ok(EthAddr::ZERO)
    }

    fn mtu(&self) -> Result<u32, NetdevError> {
        Ok(1500)
    }

    fn stats(&self) -> Result<NetdevStats, NetdevError> {
        Ok(NetdevStats::default())
    }
}

/// Nothing comes in; this much was lost.
struct Lost(RxDrops);

impl RxQueue for Lost {
    fn receive(&mut self, _pool: &mut BufferPool, _out: &mut FrameBatch) -> usize {
        0
    }

    fn take_drops(&mut self) -> RxDrops {
        std::mem::take(&mut self.0)
    }
}

/// Refuses every packet, for every reason at once.
struct Refused;

impl TxQueue for Refused {
    fn transmit(&mut self, pool: &mut BufferPool, batch: &mut FrameBatch) -> TxDrops {
        let n = batch.len() as u32;
        batch.drain_bufs().for_each(|frame| pool.give(frame));
        TxDrops { mtu: n, down: 2 * n, failed: 3 * n, memory: 4 * n }
    }
}

#[test]
fn what_devices_lose_is_counted_by_reason_and_port() {
    let lossy = |registry: &mut Registry| {
        let open = |name: &str| -> Result<Arc<dyn Netdev>, NetdevError> { Ok(Arc::new(Lossy(name.into()))) };
        registry.register("lossy", Arc::new(open));
    };
    let b: Bench = bench_of(lossy);
    let port = b.dpif.add_port("x", "lossy", None).unwrap();
    b.dpif.poll_ports();
    let received =
        [(DropReason::RxTruncated, 2), (DropReason::RxUnknownOffload, 3), (DropReason::NoMemory, 1)];
    assert_eq!(counts(&b.dpif.stats().drops), received);
    assert_eq!(counts(&b.dpif.port_drops(port)), received);
    let actions = vec![Action::Output(port)];
    let mut flow =
        FlowPut { ufid: Ufid(1), matched: matching(1, None), actions, mode: PutMode::CreateOrModify };
    b.dpif.apply(datapath::Command::PutFlow(&mut flow)).unwrap();
    b.feed("p1", &[1]);
    let both = [
        (DropReason::RxTruncated, 2),
        (DropReason::RxUnknownOffload, 3),
        (DropReason::NoMemory, 1 + 4),
        (DropReason::MtuExceeded, 1),
        (DropReason::TxFailed, 3),
        (DropReason::PortDown, 2),
    ];
    assert_eq!(counts(&b.dpif.stats().drops), both);
    assert_eq!(counts(&b.dpif.port_drops(port)), both);
    assert_eq!(counts(&b.dpif.port_drops(OdpPort(1))), []);
}

/// Reasons that have counted, in their order.
fn counts(drops: &DropCounts) -> Vec<(DropReason, u64)> {
    drops.iter().filter(|(_, n)| *n != 0).collect()
}
