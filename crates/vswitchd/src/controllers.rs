//! What is known of a bridge's controllers: whether each can be reached, since when, and what it says of itself.
//!
//! Where it sits: the task of each connection writes it; the main loop reads it to fill the Controller rows and to decide
//! whether a standalone bridge must do without.
//!
//! Spec: ovs-vswitchd.conf.db(5), Bridge `fail_mode`, Controller `status`.

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use stream::reconnect::{Reconnect, State};
use switch::ConnId;

/// How many probe intervals a standalone bridge waits for a controller.
const PATIENCE: u64 = 3;

/// The state of one connection. Times are the clock's milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    pub state: State,
    pub last_connected: Option<u64>,
    pub last_disconnected: Option<u64>,
    pub last_error: Option<String>,
    /// The connection on which OpenFlow is spoken.
    pub conn: Option<ConnId>,
    /// Since when the controller is out of reach; `None` while it answers.
    failing_since: Option<u64>,
    probe_interval: u64,
}

/// A shared [`Reach`].
#[derive(Clone, Debug)]
pub(crate) struct SharedReach(Rc<RefCell<Reach>>);

impl SharedReach {
    /// A controller that was never reached.
    pub fn new(now: u64, probe_interval: u64) -> SharedReach {
        SharedReach(Rc::new(RefCell::new(Reach {
            state: State::Void,
            last_connected: None,
            last_disconnected: None,
            last_error: None,
            conn: None,
            failing_since: Some(now),
            probe_interval,
        })))
    }

    /// The state as it is.
    pub fn get(&self) -> Ref<'_, Reach> {
        self.0.borrow()
    }

    /// Notes what has become of the connection; true if its state is another.
    pub fn follow(&self, machine: &Reconnect) -> bool {
        let mut reach = self.0.borrow_mut();
        let stats = machine.stats();
        reach.last_connected = stats.last_connected;
        reach.last_disconnected = stats.last_disconnected;
        reach.last_error = machine.last_error().map(str::to_owned);
        std::mem::replace(&mut reach.state, machine.state()) != machine.state()
    }

    /// Notes on which connection OpenFlow is spoken: one whose version is agreed on. True if it is another.
    pub fn speaks(&self, conn: Option<ConnId>, now: u64) -> bool {
        let mut reach = self.0.borrow_mut();
        match conn {
            Some(_) => reach.failing_since = None,
            None => reach.failing_since = reach.failing_since.or(Some(now)),
        }
        std::mem::replace(&mut reach.conn, conn) != conn
    }
}

/// True once none of a bridge's controllers has answered for three times the longest probe interval.
pub(crate) fn all_fail<'a>(reaches: impl Iterator<Item = &'a SharedReach>, now: u64) -> Option<u64> {
    let mut failing_for = None;
    let mut longest_probe = 0;
    for reach in reaches {
        let reach = reach.get();
        let silence = now.saturating_sub(reach.failing_since?);
        failing_for = Some(failing_for.map_or(silence, |least: u64| least.min(silence)));
        longest_probe = longest_probe.max(reach.probe_interval);
    }
    failing_for.filter(|silence| *silence >= PATIENCE * longest_probe)
}

impl Reach {
    /// `Controller.status`: what does not apply is left out.
    pub fn status(&self, now: u64) -> BTreeMap<String, String> {
        let seconds = |then: Option<u64>| then.map(|then| (now.saturating_sub(then) / 1000).to_string());
        let entries = [
            ("last_error", self.last_error.clone()),
            ("state", Some(self.state.to_string())),
            ("sec_since_connect", seconds(self.last_connected)),
            ("sec_since_disconnect", seconds(self.last_disconnected)),
        ];
        entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use stream::reconnect::{Cause, Config};

    use super::*;

    #[test]
    fn a_bridge_is_left_alone_when_all_have_been_silent_for_three_probes() {
        let (a, b) = (SharedReach::new(0, 5000), SharedReach::new(1000, 2000));
        let fail = |now| all_fail([&a, &b].into_iter(), now);
        assert_eq!(fail(15_999), None, "the younger one has not failed for 15 s");
        assert_eq!(fail(16_000), Some(15_000));
        let mut machine = Reconnect::new("tcp:1.2.3.4", Config::default(), 0);
        machine.enable(0);
        machine.connecting(0);
        machine.connected(20_000);
        assert!(b.follow(&machine) && b.speaks(Some(ConnId(1)), 20_000));
        assert_eq!(fail(100_000), None, "one answers");
        assert_eq!(b.get().status(25_000)["sec_since_connect"], "5");
        machine.disconnected(30_000, &Cause::Error("Connection reset by peer".into()));
        assert!(b.follow(&machine) && b.speaks(None, 30_000));
        assert_eq!(fail(44_999), None);
        assert_eq!(fail(45_000), Some(15_000));
        assert_eq!(b.get().status(45_000)["last_error"], "Connection reset by peer");
        assert_eq!(b.get().status(45_000)["state"], "BACKOFF");
    }

    #[test]
    fn a_bridge_without_controllers_is_not_left_alone() {
        assert_eq!(all_fail(std::iter::empty(), 1 << 40), None);
    }
}
