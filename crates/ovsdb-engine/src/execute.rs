//! Executes the operations of a `transact` request, one after the other, in one transaction.
//!
//! Where it sits: called by the server for each request and for each retry of a waiting one, and by ovsdb-tool. Operations
//! themselves are in `operations.rs`.
//!
//! ~~~text
//! operations ─► op ─► op ─► … ─► prepare ─► Done { results, prepared }
//!                │ wait not satisfied                │ error: what follows is null, nothing stays
//!                ▼                                   ▼
//!             Blocked (try again later)           Done { results, none }
//! ~~~
//! I1  A blocked or failed request leaves the database as it was.
//!
//! Spec: RFC 7047 section 4.1.3 and 5.2.

use std::fmt;

use ovsdb::json::{Json, Object};
use ovsdb::members::{Kinds, Members};
use ovsdb::{BaseType, Error, HashMap, Names, Result, SmolStr, Uuid};

use crate::database::Database;
use crate::operations;
use crate::rbac::Role;
use crate::transaction::{MakeUuid, Prepared, Transaction};

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anything.
    ReadWrite,
    /// Nothing that could change rows, because the remote is for reading.
    ReadOnly,
    /// Nothing that could change rows, because the server keeps this database itself.
    Reserved,
}

/// Whether an operation may wait for other transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The request is tried again after changes; so many milliseconds have passed since its arrival.
    Since(u64),
    /// There is nobody else.
    Impossible,
}

/// A request to execute.
pub struct Request<'r> {
    /// The operations, without the database's name.
    pub operations: &'r [Json],
    /// What the client may do.
    pub access: Access,
    /// Whether it may wait.
    pub waiting: Waiting,
    /// Which locks the client owns.
    pub owns_lock: &'r dyn Fn(&str) -> bool,
}

/// What became of a request.
pub enum Outcome<'a> {
    /// It is over; without `prepared` it failed.
    Done {
        /// One result per operation, and one more for an error at the end.
        results: Vec<Json>,
        /// What to commit.
        prepared: Option<Prepared<'a>>,
    },
    /// A `wait` is not satisfied: try again after a change, or when so many milliseconds have passed since the request's arrival.
    Blocked(Option<u64>),
}

/// Why an operation stopped.
pub(crate) enum Stop {
    /// With an error for the client.
    Error(Error),
    /// To wait at most until so many milliseconds after arrival.
    Wait(Option<u64>),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Error(error)
    }
}

/// Rows that were given names, for the time of one request.
#[derive(Default)]
pub(crate) struct Symbols {
    pub table: HashMap<SmolStr, Symbol>,
}

/// What a name stands for.
pub(crate) struct Symbol {
    pub uuid: Uuid,
    pub created: bool,
}

/// Symbols with the means to make new ones.
pub(crate) struct Resolver<'s> {
    pub symbols: &'s mut Symbols,
    pub make_uuid: MakeUuid<'s>,
}

impl Resolver<'_> {
    pub(crate) fn symbol(&mut self, name: &str) -> &mut Symbol {
        let make_uuid = &mut self.make_uuid;
        let entry = self.symbols.table.entry(name.into());
        entry.or_insert_with(|| Symbol { uuid: make_uuid(), created: false })
    }
}

impl Names for Resolver<'_> {
    fn resolve(&mut self, name: &str, _: &BaseType) -> Uuid {
        self.symbol(name).uuid
    }
}

/// Everything an operation works with.
pub(crate) struct Context<'c, 'a> {
    pub txn: &'c mut Transaction<'a>,
    pub symbols: &'c mut Symbols,
    pub make_uuid: &'c mut dyn FnMut() -> Uuid,
    pub request: &'c Request<'c>,
    pub role: Option<&'c Role>,
    pub operation: &'c Json,
}

impl Context<'_, '_> {
    pub(crate) fn resolver(&mut self) -> Resolver<'_> {
        Resolver { symbols: self.symbols, make_uuid: self.make_uuid }
    }
}

/// Executes `request` on `db`.
pub fn execute<'a>(db: &'a mut Database, request: &Request<'_>, make_uuid: MakeUuid<'_>) -> Outcome<'a> {
    execute_as(db, request, None, make_uuid)
}

/// Executes `request` on `db` for a client that may have a role.
pub fn execute_as<'a>(
    db: &'a mut Database,
    request: &Request<'_>,
    role: Option<&Role>,
    make_uuid: MakeUuid<'_>,
) -> Outcome<'a> {
    let mut txn = Transaction::new(db);
    let mut symbols = Symbols::default();
    let total = request.operations.len();
    let mut results = Vec::with_capacity(total);
    for (i, operation) in request.operations.iter().enumerate() {
        let mut context = Context {
            txn: &mut txn,
            symbols: &mut symbols,
            make_uuid: &mut *make_uuid,
            request,
            role,
            operation,
        };
        match execute_one(&mut context, Place { number: i + 1, total }) {
            Ok(result) => results.push(Json::Object(result)),
            Err(Stop::Wait(until)) => return Outcome::Blocked(until),
            Err(Stop::Error(error)) => {
                results.push(error.to_json());
                results.resize(total, Json::Null);
                return Outcome::Done { results, prepared: None };
            }
        }
    }
    match txn.prepare(make_uuid) {
        Ok(prepared) => Outcome::Done { results, prepared: Some(prepared) },
        Err(error) => {
            results.push(error.to_json());
            Outcome::Done { results, prepared: None }
        }
    }
}

/// Where an operation stands in its request, as errors say it.
struct Place {
    number: usize,
    total: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ovsdb operation {} of {}", self.number, self.total)
    }
}

fn execute_one(context: &mut Context<'_, '_>, place: Place) -> std::result::Result<Object, Stop> {
    let mut members = Members::new(context.operation, &place);
    let mut outcome = Ok(Object::new());
    if let Some(name) = members.required("op", Kinds::ID).and_then(Json::as_str) {
        match operations::find(name) {
            None => members.raise(format!("No operation \"{name}\"")),
            Some((operation, effect)) => {
                // Judged last, so that a request that is wrong in itself hears that first; nothing has been kept yet.
                outcome = operation(context, &mut members)
                    .and_then(|result| allowed(context, name, effect).map(|()| result).map_err(Stop::from));
            }
        }
    }
    // What is wrong with the request's form is more basic than what went wrong with it.
    members.finish()?;
    outcome
}

fn allowed(context: &Context<'_, '_>, name: &str, effect: operations::Effect) -> Result<()> {
    if effect == operations::Effect::Reads {
        return Ok(());
    }
    match context.request.access {
        Access::ReadWrite => Ok(()),
        Access::ReadOnly => Err(Error::new(
            "not allowed",
            format!("{name} operation not allowed when database server is in read only mode"),
        )),
        Access::Reserved => Err(Error::new(
            "not allowed",
            format!(
                "{name} operation not allowed on table in reserved database {}",
                context.txn.db().schema.name
            ),
        )),
    }
}
