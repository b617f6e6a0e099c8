//! A JSON-RPC client that asks one thing at a time and gives up when the connection fails.
//!
//! Where it sits: ovs-appctl and other one-shot tools. Long-lived clients use `Session`.

use std::io;

use ovsdb::json::Json;

use super::message::Message;
use super::session::{Event, Options, Session};
use crate::Clock;
use crate::name::{Active, OVSDB_PORT};
use crate::reconnect::Wording;
use crate::socket::Stream;

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CallError {
    /// The peer refused; its error.
    #[error("{0}")]
    Refused(Json),
    /// The connection ended before the reply.
    #[error("End of file")]
    Closed,
}

/// A connection for calls.
#[derive(Debug)]
pub struct Client {
    session: Session,
    next_id: i64,
}

impl Client {
    /// Connects to an active name.
    pub async fn connect(name: &str, clock: &Clock) -> io::Result<Client> {
        let target = Active::parse(name, OVSDB_PORT)?;
        let mut options = Options::quiet();
        options.reconnect.probe_interval = 0;
        options.reconnect.wording = Wording::Silent;
        let stream = Stream::connect(&target, name).await?;
        Ok(Client { session: Session::accepted(stream, options, clock), next_id: 0 })
    }

    /// The session below, for whoever wants its notifications.
    pub fn into_session(self) -> Session {
        self.session
    }

    /// Calls `method` and waits for the answer. Notifications in between are dropped.
    pub async fn call(&mut self, method: &str, params: Vec<Json>) -> Result<Json, CallError> {
        let id = Json::Integer(self.next_id);
        self.next_id += 1;
        self.session.send(&Message::request(id.clone(), method, params));
        loop {
            match self.session.next().await {
                Some(Event::Message(Message::Reply { id: got, result })) if got == id => return Ok(result),
                Some(Event::Message(Message::Error { id: got, error })) if got == id => {
                    return Err(CallError::Refused(error));
                }
                Some(Event::Disconnected) | None => return Err(CallError::Closed),
                Some(_) => {}
            }
        }
    }
}
