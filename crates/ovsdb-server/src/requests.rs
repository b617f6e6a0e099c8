//! The methods of the protocol.
//!
//! Where it sits: called for every message of a client; answers go into the client's mailbox.
//!
//! Spec: RFC 7047 section 4.1, ovsdb-server(7) section 4.1.

use ovsdb::json::Json;
use ovsdb::members::is_id;
use ovsdb::{DbSchema, Error, Uuid};
use ovsdb_engine::lock::{Granted, SessionId};
use ovsdb_engine::monitor::Version;
use ovsdb_engine::{Access, Monitor};
use stream::jsonrpc::Message;

use crate::served::Role as ServedRole;
use crate::server::{SERVER_DB, Server, Watching, bad_params, notification};
use crate::source::Forwarded;

/// What a method answers.
enum Answer {
    Result(Json),
    /// An error that is only a word.
    Word(&'static str),
    Error(Error),
    /// The reply comes, or came, by another way.
    Elsewhere,
}

impl From<Error> for Answer {
    fn from(error: Error) -> Answer {
        Answer::Error(error)
    }
}

type Outcome = Result<Answer, Error>;

/// A message of a kind that ends its session.
pub struct Unexpected(pub &'static str);

impl Server {
    /// Serves one message. An answer is refused: nothing was asked.
    pub fn handle(&mut self, session: SessionId, message: Message) -> Result<(), Unexpected> {
        match message {
            Message::Request { id, method, params } => {
                let answer = self.request(session, &id, &method, params).unwrap_or_else(Answer::Error);
                let reply = match answer {
                    Answer::Result(result) => Message::reply(id, result),
                    Answer::Word(word) => Message::error(id, word),
                    Answer::Error(error) => Message::error(id, error.to_json()),
                    Answer::Elsewhere => return Ok(()),
                };
                self.tell(session, reply);
            }
            Message::Notification { method, params } if method == "cancel" => {
                if let Some(id) = params.first() {
                    self.cancel(session, id);
                }
            }
            Message::Notification { .. } => {}
            Message::Error { .. } => return Err(Unexpected("error")),
            Message::Reply { .. } => return Err(Unexpected("reply")),
        }
        Ok(())
    }

    fn request(&mut self, session: SessionId, id: &Json, method: &str, params: Vec<Json>) -> Outcome {
        let params_slice = params.as_slice();
        match method {
            "monitor_cond" | "monitor_cond_since" | "monitor_cond_change" if self.old_monitors_only => {
                Ok(Answer::Word("unknown method"))
            }
            "list_dbs" => Ok(Answer::Result(Json::array(self.databases.keys().map(String::as_str)))),
            "get_schema" => {
                let name = self.database_name(method, params_slice)?;
                Ok(Answer::Result(self.databases[&name].db.schema.to_json()))
            }
            "get_server_id" => Ok(Answer::Result(Json::string(self.id.to_string()))),
            "transact" => self.transact_request(session, id, params),
            "monitor" => self.monitor(session, Version::V1, params_slice),
            "monitor_cond" => self.monitor(session, Version::V2, params_slice),
            "monitor_cond_since" => self.monitor(session, Version::V3, params_slice),
            "monitor_cond_change" => self.monitor_cond_change(session, params_slice),
            "monitor_cancel" => Ok(self.monitor_cancel(session, params_slice)),
            "lock" | "steal" | "unlock" => self.lock_request(session, method, params_slice),
            "set_db_change_aware" => self.set_db_change_aware(session, params_slice),
            "convert" => self.convert_request(session, id, params_slice),
            _ => Ok(Answer::Word("unknown method")),
        }
    }

    /// The database that the first parameter names.
    fn database_name(&self, method: &str, params: &[Json]) -> Result<String, Error> {
        let Some(name) = params.first().and_then(Json::as_str) else {
            return Err(bad_params(params, format!("{method} request params must begin with <db-name>")));
        };
        match self.databases.get(name) {
            None => {
                let details = format!("{method} request specifies unknown database {name}");
                Err(Error::tagged_syntax("unknown database", &Json::Array(params.to_vec()), details))
            }
            Some(served) if !served.is_known() => {
                let details = format!(
                    "{method} request specifies database {name} which is not yet available because it has not completed \
                     joining its cluster"
                );
                Err(Error::new("database not available", details))
            }
            Some(_) => Ok(name.to_owned()),
        }
    }

    fn transact_request(&mut self, session: SessionId, id: &Json, mut params: Vec<Json>) -> Outcome {
        let name = self.database_name("transact", &params)?;
        if self.waiting.iter().any(|request| request.session == session && request.id == *id) {
            return Err(bad_params(&params, "transact: duplicate request ID"));
        }
        params.remove(0);
        self.transact(session, id.clone(), &name, params);
        Ok(Answer::Elsewhere)
    }

    fn cancel(&mut self, session: SessionId, id: &Json) {
        let is_it = |r: &crate::server::WaitingRequest| r.session == session && r.id == *id;
        if let Some(at) = self.waiting.iter().position(is_it) {
            let request = self.waiting.remove(at);
            self.tell(session, Message::error(request.id, "canceled"));
        }
    }

    fn monitor(&mut self, session: SessionId, version: Version, params: &[Json]) -> Outcome {
        let method = match version {
            Version::V1 => "monitor",
            Version::V2 => "monitor_cond",
            Version::V3 => "monitor_cond_since",
        };
        let name = self.database_name(method, params)?;
        let well_formed = match version {
            // More is nobody's concern, as in Open vSwitch.
            Version::V1 => params.len() >= 3,
            Version::V2 => params.len() == 3,
            Version::V3 => params.len() == 4,
        };
        if !well_formed {
            return Err(bad_params(params, "invalid parameters"));
        }
        // Names of monitors are shared by all databases and kinds of monitors.
        let key = params[1].to_string();
        if self.sessions.get(&session).is_some_and(|state| state.monitors.contains_key(&key)) {
            return Err(Error::syntax(&params[1], "duplicate monitor ID"));
        }
        let mut last = Uuid::ZERO;
        if let Some(json) = params.get(3).filter(|_| version == Version::V3) {
            let text = json.as_str().ok_or_else(|| Error::syntax(json, "last-txn-id must be string"))?;
            last =
                Uuid::parse(text).ok_or_else(|| Error::syntax(json, "last-txn-id must be UUID format."))?;
        }
        let served = &self.databases[&name];
        let monitor = Monitor::new(&served.db, &params[2], version)?;
        let missed = served.history.since(last).filter(|_| version == Version::V3);
        let found = missed.is_some();
        let updates = match missed {
            Some(changes) => monitor.update(&served.db, &changes).unwrap_or(Json::Object(Default::default())),
            None => monitor.initial(&served.db),
        };
        let newest = served.history.last();
        self.put_monitor(session, Watching { name: params[1].clone(), database: name, monitor });
        Ok(Answer::Result(match version {
            Version::V3 => Json::Array(vec![Json::Bool(found), Json::string(newest.to_string()), updates]),
            _ => updates,
        }))
    }

    fn monitor_cond_change(&mut self, session: SessionId, params: &[Json]) -> Outcome {
        let [old_id, new_id, requests] = params else {
            return Err(bad_params(params, "invalid parameters"));
        };
        let (old_key, new_key) = (old_id.to_string(), new_id.to_string());
        let state = self.sessions.get(&session);
        let Some((state, watching)) = state.and_then(|state| Some((state, state.monitors.get(&old_key)?)))
        else {
            return Err(Error::syntax(old_id, "unknown monitor session"));
        };
        if new_key != old_key && state.monitors.contains_key(&new_key) {
            return Err(Error::syntax(new_id, "duplicate monitor ID"));
        }
        let (mut monitor, database) = (watching.monitor.clone(), watching.database.clone());
        let served = &self.databases[&database];
        let update = monitor.change_condition(&served.db, requests)?;
        if let Some(update) = update {
            state.mailbox.put(notification(&monitor, new_id, served.history.last(), update));
        }
        self.take_monitor(session, &old_key);
        self.put_monitor(session, Watching { name: new_id.clone(), database, monitor });
        Ok(Answer::Result(Json::Object(Default::default())))
    }

    fn monitor_cancel(&mut self, session: SessionId, params: &[Json]) -> Answer {
        let [id] = params else { return Answer::Word("invalid parameters") };
        match self.take_monitor(session, &id.to_string()) {
            Some(_) => Answer::Result(Json::Object(Default::default())),
            None => Answer::Word("unknown monitor"),
        }
    }

    fn lock_request(&mut self, session: SessionId, method: &str, params: &[Json]) -> Outcome {
        let name = match params {
            [Json::String(name)] if is_id(name) => name,
            _ => return Err(bad_params(params, format!("{method} request params must be <id>"))),
        };
        if self.sessions.get(&session).is_some_and(|s| s.access == Access::ReadOnly) || self.is_backup() {
            let details = "lock and unlock methods not allowed, DB server is read only.";
            return Err(Error::new("not allowed", details));
        }
        let again = |_| bad_params(params, format!("must issue \"unlock\" before new \"{method}\""));
        let locked = |is| Ok(Answer::Result(Json::object([("locked", Json::Bool(is))])));
        match method {
            "lock" => locked(self.locks.lock(session, name).map_err(again)? == Granted::Now),
            "steal" => {
                let events = self.locks.steal(session, name).map_err(again)?;
                self.tell_lock_events(events);
                locked(true)
            }
            _ => {
                let events = self
                    .locks
                    .unlock(session, name)
                    .ok_or_else(|| bad_params(params, "unlock: \"unlock\" without \"lock\" or \"steal\""))?;
                self.tell_lock_events(events);
                Ok(Answer::Result(Json::Object(Default::default())))
            }
        }
    }

    fn set_db_change_aware(&mut self, session: SessionId, params: &[Json]) -> Outcome {
        let [Json::Bool(aware)] = params else {
            return Err(bad_params(params, "set_db_change_aware: true or false parameter expected"));
        };
        if let Some(state) = self.sessions.get_mut(&session) {
            state.db_change_aware = *aware;
        }
        Ok(Answer::Result(Json::Object(Default::default())))
    }

    /// Whether this server only copies.
    fn is_backup(&self) -> bool {
        let mut files = self.databases.values().filter(|served| served.storage.is_some()).peekable();
        files.peek().is_some() && files.all(|served| served.role.is_backup())
    }

    fn convert_request(&mut self, session: SessionId, id: &Json, params: &[Json]) -> Outcome {
        let name = self.database_name("convert", params)?;
        let [_, schema] = params else {
            return Err(bad_params(params, "array expected"));
        };
        self.may_convert(session, &name)?;
        if let Some(ServedRole::Relay(_, outbox)) = self.databases.get(&name).map(|served| &served.role) {
            let params = vec![schema.clone()];
            outbox.put(Forwarded { session, id: id.clone(), method: "convert", params });
            return Ok(Answer::Elsewhere);
        }
        let schema = DbSchema::from_json(schema)?;
        if schema.name != name {
            let details = format!("new schema name ({}) does not match database name ({name})", schema.name);
            return Err(Error::new("invalid parameters", details));
        }
        self.convert_database(&name, schema)?;
        Ok(Answer::Result(Json::Object(Default::default())))
    }

    fn may_convert(&self, session: SessionId, name: &str) -> Result<(), Error> {
        let refused =
            |what: &str| Err(Error::new("not allowed", format!("convert operation not allowed {what}")));
        let Some(client) = self.sessions.get(&session) else { return Ok(()) };
        if !client.role.name.is_empty() {
            let details = format!(
                "RBAC rules for client \"{}\" role \"{}\" prohibit \"convert\" of database {name} (only the root role \
                 may convert databases)",
                client.role.client_name(),
                client.role.name
            );
            return Err(Error::new("permission error", details));
        }
        let copies = self.databases.get(name).is_some_and(|served| served.role.is_backup());
        if name == SERVER_DB {
            refused(&format!("on reserved database {name}"))
        } else if client.access == Access::ReadOnly || copies {
            refused("when database server is in read only mode")
        } else {
            Ok(())
        }
    }
}
