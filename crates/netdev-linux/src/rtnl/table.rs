//! The table of links, and the thread that keeps it true.
//!
//! Where it sits: asked by every Linux device; receive queues compare [`Links::generation`] before each batch, which
//! is how a port notices that its device was replaced.
//!
//! The thread is a [`Watch`]. A change made through [`Links::change`] is read back at
//! once, so that whoever made it sees it.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use netdev::{NetdevError, NetdevStats};

use super::OnChange;
use super::link::{self, LinkChange, LinkEvent, LinkInfo, Which};
use super::socket::RouteSocket;
use super::watch::Watch;

/// A link with its history.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub info: LinkInfo,
    /// How often its carrier came or went since it was first seen.
    pub carrier_resets: u64,
    /// The generation in which it last changed.
    pub changed: u64,
}

#[derive(Default)]
struct Shared {
    table: Mutex<BTreeMap<u32, Link>>,
    generation: AtomicU64,
}

/// The links of this network namespace.
pub(crate) struct Links {
    shared: Arc<Shared>,
    requests: Mutex<RouteSocket>,
    _watch: Watch,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Takes a message in; true if it changed anything.
    fn apply(&self, event: LinkEvent) -> bool {
        let mut table = lock(&self.table);
        let next = self.generation.load(Ordering::Relaxed) + 1;
        match event {
            LinkEvent::Gone(index) => {
                if table.remove(&index).is_none() {
                    return false;
                }
            }
            LinkEvent::Is(info) => {
                let old = table.get(&info.index);
                if old.is_some_and(|old| old.info == info) {
                    return false;
                }
                let carrier_resets =
                    old.map_or(0, |old| old.carrier_resets + u64::from(old.info.carrier() != info.carrier()));
                // A name belongs to one link: a rename may be told before the other's end is.
                table.retain(|index, link| *index == info.index || link.info.name != info.name);
                table.insert(info.index, Link { info, carrier_resets, changed: next });
            }
        }
        self.generation.store(next, Ordering::Release);
        true
    }

    /// Makes the table equal to a dump.
    fn replace(&self, all: Vec<LinkInfo>) -> bool {
        let present: Vec<u32> = all.iter().map(|l| l.index).collect();
        let gone: Vec<u32> = lock(&self.table).keys().filter(|i| !present.contains(i)).copied().collect();
        let events = gone.into_iter().map(LinkEvent::Gone).chain(all.into_iter().map(LinkEvent::Is));
        events.fold(false, |changed, e| self.apply(e) | changed)
    }
}

fn dump(requests: &mut RouteSocket) -> io::Result<Vec<LinkInfo>> {
    let mut all = Vec::new();
    requests.request(link::dump, |m| {
        if let Some(LinkEvent::Is(info)) = link::event(m) {
            all.push(info);
        }
    })?;
    Ok(all)
}

impl Links {
    /// Reads all links and starts the thread that follows them; `on_change` is called on that thread.
    pub(crate) fn follow(on_change: OnChange) -> io::Result<Links> {
        // Notifications are on before the dump, so that nothing falls between the two.
        let notifications = RouteSocket::for_links()?;
        let mut requests = RouteSocket::for_requests()?;
        let shared = Arc::new(Shared::default());
        shared.replace(dump(&mut requests)?);
        let followed = shared.clone();
        let watch = Watch::start("links", notifications, move |notifications| {
            if catch_up(&followed, notifications) {
                on_change();
            }
        })?;
        Ok(Links { shared, requests: Mutex::new(requests), _watch: watch })
    }

    /// A number that grows whenever any link changes.
    pub(crate) fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    /// The link of a name.
    pub(crate) fn find(&self, name: &str) -> Option<Link> {
        lock(&self.shared.table).values().find(|l| l.info.name == name).cloned()
    }

    /// A link, read from the kernel now.
    pub(crate) fn refresh(&self, which: Which<'_>) -> Result<LinkInfo, NetdevError> {
        let mut found = None;
        lock(&self.requests)
            .request(|seq| link::get(seq, which), |m| found = found.take().or(link::event(m)))?;
        match found {
            Some(LinkEvent::Is(info)) => {
                self.shared.apply(LinkEvent::Is(info.clone()));
                Ok(info)
            }
            _ => Err(NetdevError::Os(libc::ENODEV)),
        }
    }

    /// The counters of the link of a name, as seen from the device.
    pub(crate) fn stats(&self, name: &str) -> Result<NetdevStats, NetdevError> {
        let mut found = None;
        lock(&self.requests)
            .request(|seq| link::get(seq, Which::Name(name)), |m| found = found.take().or(link::stats(m)))?;
        found.ok_or(NetdevError::Os(libc::ENODEV))
    }

    /// Changes the link of a name.
    pub(crate) fn change(&self, name: &str, change: LinkChange) -> Result<(), NetdevError> {
        let index = self.find(name).ok_or(NetdevError::Os(libc::ENODEV))?.info.index;
        lock(&self.requests).request(|seq| link::set(seq, index, change), |_| {})?;
        self.refresh(Which::Name(name)).map(drop)
    }

    /// Makes a pair of veth devices; a `%d` in the peer's name becomes a free number. Returns the peer.
    pub(crate) fn make_veth(&self, name: &str, peer: &str) -> Result<LinkInfo, NetdevError> {
        lock(&self.requests).request(|seq| link::new_veth(seq, name, peer), |_| {})?;
        let made = self.refresh(Which::Name(name))?;
        self.refresh(Which::Index(made.peer))
    }

    /// Removes a link.
    pub(crate) fn remove(&self, index: u32) -> Result<(), NetdevError> {
        Ok(lock(&self.requests).request(|seq| link::delete(seq, index), |_| {})?)
    }
}

/// Takes in every waiting notification; true if anything changed.
fn catch_up(shared: &Shared, notifications: &mut RouteSocket) -> bool {
    let mut changed = false;
    loop {
        let read = notifications.read(|m| {
            if let Some(event) = link::event(m) {
                changed |= shared.apply(event);
            }
        });
        match read.map_err(|e| e.raw_os_error()) {
            Ok(()) => {}
            Err(Some(libc::ENOBUFS)) => {
                // Notifications were lost: only the whole tells what is.
                let all = RouteSocket::for_requests().and_then(|mut requests| dump(&mut requests));
                changed |= all.is_ok_and(|all| shared.replace(all));
            }
            Err(_) => return changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(index: u32, name: &str, flags: u32) -> LinkInfo {
        LinkInfo { index, name: name.to_owned(), flags, mtu: 1500, ..LinkInfo::default() }
    }

    fn names(s: &Shared) -> Vec<(u32, String, u64)> {
        lock(&s.table).values().map(|l| (l.info.index, l.info.name.clone(), l.carrier_resets)).collect()
    }

    #[test]
    fn only_changes_move_the_generation() {
        let s = Shared::default();
        assert!(s.apply(LinkEvent::Is(info(1, "a", 0))));
        assert!(!s.apply(LinkEvent::Is(info(1, "a", 0))));
        assert!(s.apply(LinkEvent::Is(info(1, "a", 0x41))));
        assert!(s.apply(LinkEvent::Is(info(1, "a", 1))));
        assert_eq!(names(&s), [(1, "a".to_owned(), 2)]);
        assert!(!s.apply(LinkEvent::Gone(9)));
        assert_eq!(s.generation.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_name_is_one_link_and_a_dump_is_the_whole() {
        let s = Shared::default();
        s.apply(LinkEvent::Is(info(1, "a", 0)));
        s.apply(LinkEvent::Is(info(2, "b", 0)));
        s.apply(LinkEvent::Is(info(3, "a", 0)));
        assert_eq!(names(&s), [(2, "b".to_owned(), 0), (3, "a".to_owned(), 0)]);
        assert!(s.replace(vec![info(2, "b", 0), info(4, "c", 0)]));
        assert_eq!(names(&s), [(2, "b".to_owned(), 0), (4, "c".to_owned(), 0)]);
        assert!(!s.replace(vec![info(2, "b", 0), info(4, "c", 0)]));
    }
}
