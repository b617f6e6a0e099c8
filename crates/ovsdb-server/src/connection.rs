//! Carries one client's messages between its connection and the server.
//!
//! Where it sits: `remotes` starts one task per connection.
//!
//! I1  While much output waits for a client, nothing more is read from it; what other clients' commits add is bounded by the
//!     session's limit, past which the session cuts the client and says so in the log. A client that takes nothing for a minute is cut too.
//! I2  Ending the task, however it happens, ends the session in the server.

use std::cell::RefCell;
use std::rc::Rc;

use ovsdb_engine::Role;
use ovsdb_engine::lock::SessionId;
use stream::jsonrpc::{Event, Session};

use crate::mailbox::Mailbox;
use crate::remotes::{RemoteOptions, Standing};
use crate::requests::Unexpected;
use crate::server::Server;

/// Output that may wait before the client's requests are no longer read.
const READ_LIMIT: usize = 64 << 10;
/// How long a client may take nothing while output waits.
const STALL_MS: u64 = 60_000;

const LOG_TARGET: &str = "ovsdb_jsonrpc_server";

/// The server, as tasks share it.
pub type Shared = Rc<RefCell<Server>>;

/// A session that ends in the server when this is dropped.
struct Open {
    server: Shared,
    id: SessionId,
    mailbox: Mailbox,
    standing: Rc<Standing>,
}

impl Open {
    fn new(server: &Shared, options: &RemoteOptions, standing: &Rc<Standing>) -> Open {
        let role = Role { name: options.role.clone(), client: None };
        let (id, mailbox) = server.borrow_mut().open_session(options.access, role);
        standing.connections.set(standing.connections.get() + 1);
        standing.session.set(id);
        Open { server: server.clone(), id, mailbox, standing: standing.clone() }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let connections = &self.standing.connections;
        connections.set(connections.get().saturating_sub(1));
        self.server.borrow_mut().close_session(self.id);
    }
}

/// Serves a connection until it is over; a dialled one is dialled again. `standing` tells of it.
pub async fn serve(server: Shared, mut session: Session, options: RemoteOptions, standing: Rc<Standing>) {
    let clock = server.borrow().clock.clone();
    let mut open: Option<Open> = None;
    loop {
        let mailbox = open.as_ref().map(|open| open.mailbox.clone());
        let woken = async {
            match &mailbox {
                Some(mailbox) => mailbox.woken().await,
                None => std::future::pending().await,
            }
        };
        if session.backlog() > READ_LIMIT {
            let (before, limit) = (session.backlog(), clock.now_ms() + STALL_MS);
            let stalled = tokio::select! {
                () = session.flush() => false,
                () = woken => false,
                () = clock.sleep_until(limit) => true,
            };
            if stalled && session.backlog() >= before {
                let name = session.name();
                log::warn!(target: LOG_TARGET, "{name}: nothing read for a minute, disconnecting");
                session.link_mut().force_reconnect();
                open = None;
            }
        } else {
            tokio::select! {
                event = session.next() => match event {
                    None => break,
                    Some(Event::Connected) => open = Some(Open::new(&server, &options, &standing)),
                    Some(Event::Disconnected) => open = None,
                    Some(Event::Message(message)) => {
                        if let Some(open) = &open {
                            let mut server = server.borrow_mut();
                            if let Some(client) = session.link_mut().peer_id() {
                                server.name_session(open.id, client);
                            }
                            if let Err(Unexpected(kind)) = server.handle(open.id, message) {
                                let name = session.name();
                                log::warn!(target: LOG_TARGET, "{name}: received unexpected {kind} message");
                                open.mailbox.close();
                            }
                        }
                    }
                },
                () = woken => {}
            }
        }
        let Some(mailbox) = open.as_ref().map(|open| open.mailbox.clone()) else { continue };
        for message in mailbox.take() {
            session.send(&message);
        }
        if mailbox.is_closing() {
            if let Some(reason) = mailbox.take_reason() {
                log::info!(target: LOG_TARGET, "{}: disconnecting ({reason})", session.name());
            }
            let limit = clock.now_ms() + 1000;
            tokio::select! {
                () = session.flush() => {}
                () = clock.sleep_until(limit) => {}
            }
            session.link_mut().force_reconnect();
        }
    }
}
