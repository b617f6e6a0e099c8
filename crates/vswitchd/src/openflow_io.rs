//! OpenFlow connections of a bridge: its management socket, and its controllers.
//!
//! Where it sits: between `stream`'s connections, which carry bytes, and the switch, which understands them. A task for
//! each listener and each connection; dropping a [`Listeners`] ends them all.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use daemon::{Clock, dirs};
use openflow::Version;
use openflow::msg::VersionSet;
use packet::{Instant, Now};
use stream::name::{OPENFLOW_PORT, Passive, is_passive};
use stream::openflow::{Connection, Event};
use stream::reconnect;
use stream::{Listener, Stream};
use switch::{ConnId, ControllerKind};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_local};

use crate::config::{Bridge, Controller};
use crate::controllers::{self, SharedReach};
use crate::engine::Plane;

/// The OpenFlow versions that names in `Bridge.protocols` allow; without names all that are on by default.
pub(crate) fn versions(protocols: &[String]) -> VersionSet {
    let all = [
        ("OpenFlow10", Version::V10),
        ("OpenFlow11", Version::V11),
        ("OpenFlow12", Version::V12),
        ("OpenFlow13", Version::V13),
        ("OpenFlow14", Version::V14),
        ("OpenFlow15", Version::V15),
    ];
    let named = |(name, version): &(&str, Version)| {
        protocols.iter().any(|p| p == name).then_some(VersionSet::one(*version))
    };
    all.iter().filter_map(named).reduce(VersionSet::union).unwrap_or(VersionSet::ALL)
}

/// What every connection needs.
#[derive(Clone)]
pub(crate) struct Context {
    pub clock: Clock,
    /// Wakes connections that have something to send.
    pub wake: Rc<Notify>,
    /// Wakes the main loop; the datapath's threads do so too.
    pub wake_main: Arc<Notify>,
    /// What is known of some controller has changed since the main loop looked.
    pub status_is_new: Rc<Cell<bool>>,
}

impl Context {
    /// Has the main loop write down what became of the controllers.
    fn status_changed(&self) {
        self.status_is_new.set(true);
        self.wake_main.notify_one();
    }
}

/// A task that ends when this is dropped.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A bridge's listeners and controllers.
pub(crate) struct Listeners {
    plane: Rc<Plane>,
    management: Option<Task>,
    controllers: BTreeMap<String, (Controller, Task)>,
    /// Those that we call, by target.
    reaches: BTreeMap<String, SharedReach>,
}

impl Listeners {
    /// Opens the management socket of a bridge.
    pub fn open(plane: Rc<Plane>, bridge: &str, context: &Context) -> Listeners {
        let path = dirs::rundir().join(format!("{bridge}.mgmt"));
        let name = path.display().to_string();
        let management = match Listener::bind(&Passive::Unix(path)) {
            Ok(listener) => {
                log::info!(target: "connmgr", "{bridge}: added service controller \"punix:{name}\"");
                let accept = accept(
                    listener,
                    plane.clone(),
                    bridge.to_owned(),
                    ControllerKind::Service,
                    context.clone(),
                );
                Some(Task(spawn_local(accept).abort_handle()))
            }
            Err(error) => {
                log::error!(target: "bridge", "{bridge}: failed to open management socket ({error})");
                None
            }
        };
        Listeners { plane, management, controllers: BTreeMap::new(), reaches: BTreeMap::new() }
    }

    /// True if this belongs to `plane` and works.
    pub fn is_of(&self, plane: &Rc<Plane>) -> bool {
        Rc::ptr_eq(&self.plane, plane) && self.management.is_some()
    }

    /// The controllers that we call, by target.
    pub fn reaches(&self) -> &BTreeMap<String, SharedReach> {
        &self.reaches
    }

    /// For how many milliseconds all controllers have been out of reach, once that is too long.
    pub fn all_fail(&self, now: u64) -> Option<u64> {
        controllers::all_fail(self.reaches.values(), now)
    }

    /// True if some controller does not answer.
    pub fn some_fails(&self) -> bool {
        self.reaches.values().any(|reach| reach.get().conn.is_none())
    }

    /// Starts and stops controllers as the configuration says.
    pub fn set_controllers(&mut self, wanted: &Bridge, context: &Context) {
        let bridge = &wanted.name;
        self.controllers.retain(|target, (old, _)| {
            let stays = wanted.controllers.get(target) == Some(old);
            if !stays {
                log::info!(target: "connmgr", "{bridge}: removed {} controller \"{target}\"", kind_of(target));
            }
            stays
        });
        self.reaches.retain(|target, _| self.controllers.contains_key(target));
        for (target, controller) in &wanted.controllers {
            if self.controllers.contains_key(target) {
                continue;
            }
            let (plane, bridge) = (self.plane.clone(), wanted.name.clone());
            let task = if is_passive(target) {
                match Passive::parse(target, OPENFLOW_PORT)
                    .map_err(|e| e.to_string())
                    .and_then(|passive| Listener::bind(&passive).map_err(|e| e.to_string()))
                {
                    Ok(listener) => {
                        let kind = ControllerKind::Service;
                        spawn_local(accept(listener, plane, bridge, kind, context.clone())).abort_handle()
                    }
                    Err(error) => {
                        log::error!(target: "connmgr", "failed to listen on {target} ({error})");
                        continue;
                    }
                }
            } else {
                let config = config(controller);
                let reach = SharedReach::new(context.clock.now_ms(), config.probe_interval);
                self.reaches.insert(target.clone(), reach.clone());
                let mut connection = Connection::dial_openflow(target, config, &context.clock);
                connection.set_prefix(&format!("{bridge}<->"));
                let (observed, told) = (reach.clone(), context.clone());
                connection.observe(Box::new(move |machine| {
                    if observed.follow(machine) {
                        told.status_changed();
                    }
                }));
                let kind = ControllerKind::Primary;
                spawn_local(serve(connection, plane, bridge, (kind, Some(reach)), context.clone()))
                    .abort_handle()
            };
            log::info!(
                target: "connmgr",
                "{}: added {} controller \"{target}\"",
                wanted.name,
                kind_of(target)
            );
            self.controllers.insert(target.clone(), (controller.clone(), Task(task)));
        }
    }
}

/// What logs call a controller: one that we call is primary, one that calls us is served.
fn kind_of(target: &str) -> &'static str {
    if is_passive(target) { "service" } else { "primary" }
}

fn config(controller: &Controller) -> reconnect::Config {
    let ms = |value: Option<i64>| value.and_then(|ms| u64::try_from(ms).ok());
    reconnect::Config {
        max_backoff: ms(controller.max_backoff).unwrap_or(8000).max(1000),
        probe_interval: ms(controller.inactivity_probe).unwrap_or(5000),
        ..reconnect::Config::default()
    }
}

async fn accept(
    listener: Listener,
    plane: Rc<Plane>,
    bridge: String,
    kind: ControllerKind,
    context: Context,
) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let serve = serve_stream(stream, plane.clone(), bridge.clone(), kind, context.clone());
                spawn_local(serve);
            }
            Err(error) => {
                log::warn!(target: "bridge", "{bridge}: accept failed ({error})");
                context.clock.sleep_until(context.clock.now_ms() + 1000).await;
            }
        }
    }
}

async fn serve_stream(
    stream: Stream,
    plane: Rc<Plane>,
    bridge: String,
    kind: ControllerKind,
    context: Context,
) {
    let quiet = reconnect::Config { info_level: log::Level::Debug, ..reconnect::Config::default() };
    let connection = Connection::accepted_openflow(stream, quiet, &context.clock);
    serve(connection, plane, bridge, (kind, None), context).await;
}

/// The switch's side of a connection; it goes when this is dropped.
struct Session {
    plane: Rc<Plane>,
    id: Option<ConnId>,
}

impl Session {
    fn end(&mut self) {
        if let Some(id) = self.id.take() {
            self.plane.switch.disconnect(id);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

/// Carries messages between a peer and the switch until the connection is over.
async fn serve(
    mut connection: Connection,
    plane: Rc<Plane>,
    bridge: String,
    (kind, reach): (ControllerKind, Option<SharedReach>),
    context: Context,
) {
    let mut session = Session { plane, id: None };
    loop {
        let agreed = session.id.filter(|id| session.plane.switch.version(*id).is_some());
        if reach.as_ref().is_some_and(|reach| reach.speaks(agreed, context.clock.now_ms())) {
            context.status_changed();
        }
        if let Some(id) = session.id {
            let output = session.plane.switch.take_output(id);
            if !output.is_empty() {
                connection.send(&output);
            }
            if session.plane.switch.is_broken(id) {
                connection.flush().await;
                session.end();
                connection.force_reconnect();
                if connection.machine().config().tries == Some(0) {
                    return;
                }
            }
        }
        let event = tokio::select! {
            event = connection.next() => event,
            () = context.wake.notified() => continue,
        };
        match event {
            None => return,
            Some(Event::Connected) => session.id = session.plane.switch.connect(&bridge, kind),
            Some(Event::Disconnected) => session.end(),
            Some(Event::Probe) => session.id.into_iter().for_each(|id| session.plane.switch.probe(id)),
            Some(Event::Message(message)) => {
                if let Some(id) = session.id {
                    session.plane.switch.handle_message(id, &message, now(&context.clock));
                    context.wake.notify_waiters();
                    // Rules with timeouts may be new.
                    context.wake_main.notify_one();
                }
            }
        }
    }
}

/// The clock's time as the core wants it.
pub(crate) fn now(clock: &Clock) -> Now {
    Now { mono: Instant(clock.now_ns()), wall_ms: clock.coarse_wall_ms() }
}
