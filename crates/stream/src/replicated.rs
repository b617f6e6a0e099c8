//! A replica of a database kept over a session: the two machines, joined.
//!
//! Where it sits: `ovs-vswitchd` and `ovs-vsctl` follow and change the database through it.

use log::{error, info, warn};
use ovsdb::json::Json;
use ovsdb_idl::{Idl, Incoming, Outcome, Outgoing, State, Txn};

use crate::Clock;
use crate::jsonrpc::{Event, Message, Options, Session};

/// A database's replica and the session that feeds it.
#[derive(Debug)]
pub struct Replicated {
    session: Session,
    idl: Idl,
}

impl Replicated {
    /// Dials one of `remotes` in turn and replicates what `idl` wants, for as long as this lives.
    pub fn dial(remotes: Vec<String>, idl: Idl, options: Options, clock: &Clock) -> Replicated {
        Replicated { session: Session::dial(remotes, options, clock), idl }
    }

    /// The replica.
    pub fn idl(&self) -> &Idl {
        &self.idl
    }

    /// The session, for its state and name.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Replicates only some rows of a table from now on; see [`Idl::set_condition`].
    pub fn set_condition(&mut self, table: &str, clauses: Vec<Json>) {
        self.idl.set_condition(table, clauses);
        self.send_all();
    }

    /// Waits until something happened: a message, or a change of the connection; false when the session is over. May be
    /// cancelled.
    pub async fn next(&mut self) -> bool {
        let Some(event) = self.session.next().await else { return false };
        match event {
            Event::Connected => self.idl.connected(),
            Event::Disconnected => self.idl.disconnected(),
            Event::Message(message) => self.take_in(message),
        }
        self.send_all();
        true
    }

    fn take_in(&mut self, message: Message) {
        let incoming = match message {
            Message::Notification { method, params } => Incoming::Notification { method, params },
            Message::Reply { id, result } => Incoming::Answer { id, result: Ok(result) },
            Message::Error { id, error } => Incoming::Answer { id, result: Err(error) },
            Message::Request { id, method, .. } => {
                info!(target: "ovsdb_idl", "{}: unexpected request {method}", self.session.name());
                self.session.send(&Message::error(id, "unknown method"));
                return;
            }
        };
        if let Err(e) = self.idl.handle(incoming) {
            warn!(target: "ovsdb_idl", "{}: {e}", self.session.name());
            self.idl.disconnected();
            self.session.link_mut().force_reconnect();
        }
        match self.idl.state() {
            State::Failed(why) => error!(target: "ovsdb_idl", "{}: {why}", self.session.name()),
            State::Unfit(why) => {
                info!(target: "ovsdb_idl", "{}: {why}", self.session.name());
                self.idl.disconnected();
                self.session.link_mut().force_reconnect();
            }
            _ => {}
        }
    }

    fn send_all(&mut self) {
        while let Some(Outgoing::Request { id, method, params }) = self.idl.poll_outgoing() {
            self.session.send(&Message::request(id, method, params));
        }
    }

    /// Sends a transaction; [`Replicated::take_outcome`] gives its outcome under the returned number.
    pub fn start(&mut self, txn: Txn) -> i64 {
        let id = self.idl.commit(txn);
        self.send_all();
        id
    }

    /// The outcome of a transaction, once there is one.
    pub fn take_outcome(&mut self, id: i64) -> Option<Outcome> {
        self.idl.take_outcome(id)
    }

    /// Sends a transaction and waits for its outcome.
    pub async fn commit(&mut self, txn: Txn) -> Outcome {
        let id = self.start(txn);
        loop {
            if let Some(outcome) = self.idl.take_outcome(id) {
                return outcome;
            }
            if !self.next().await {
                return Outcome::TryAgain;
            }
        }
    }
}
