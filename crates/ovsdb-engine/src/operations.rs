//! The operations of RFC 7047 section 5.2.
//!
//! Where it sits: called by `execute`, which reads `op` and judges what is left over. Each function reads its own members.
//!
//! I1  An operation whose members are wrong does nothing: `Members` keeps the complaint, the function returns early.

use std::collections::HashSet;
use std::sync::Arc;

use ovsdb::json::{Json, Object};
use ovsdb::members::{Kinds, Members};
use ovsdb::mutation::mutations_from_json;
use ovsdb::schema::FIRST_COLUMN;
use ovsdb::{Condition, Datum, Error, TableSchema, Uuid};

use crate::execute::{Context, Stop, Waiting};
use crate::query::{Projection, find_rows};
use crate::rbac::Permission;
use crate::row::Row;

/// Whether an operation may change rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Reads,
    Writes,
}

type Outcome = Result<Object, Stop>;
type Operation = fn(&mut Context<'_, '_>, &mut Members<'_>) -> Outcome;

/// The operation called `name`.
pub(crate) fn find(name: &str) -> Option<(Operation, Effect)> {
    Some(match name {
        "insert" => (insert, Effect::Writes),
        "select" => (select, Effect::Reads),
        "update" => (update, Effect::Writes),
        "mutate" => (mutate, Effect::Writes),
        "delete" => (delete, Effect::Writes),
        "wait" => (wait, Effect::Reads),
        "commit" => (commit, Effect::Reads),
        "abort" => (abort, Effect::Reads),
        "comment" => (comment, Effect::Reads),
        "assert" => (assert_lock, Effect::Reads),
        _ => return None,
    })
}

/// An outcome that `Members::finish` replaces by the complaint it holds.
fn refused() -> Outcome {
    Ok(Object::new())
}

fn count(n: usize) -> Outcome {
    Ok(Object::from([("count", Json::Integer(n as i64))]))
}

/// The table that the member `table` names.
fn table(context: &Context<'_, '_>, members: &mut Members<'_>) -> Option<(usize, Arc<TableSchema>)> {
    let name = members.required("table", Kinds::ID).and_then(Json::as_str)?;
    let index = context.txn.db().table_index(name);
    if index.is_none() {
        members.raise(format!("No table named {name}."));
    }
    index.map(|index| (index, context.txn.db().tables[index].schema.clone()))
}

fn condition(
    context: &mut Context<'_, '_>,
    schema: &TableSchema,
    json: Option<&Json>,
) -> Result<Condition, Error> {
    match json {
        Some(json) => Condition::from_json(schema, json, Some(&mut context.resolver())),
        None => Ok(Condition::default()),
    }
}

/// The columns that a row in a request sets.
fn row_columns(
    context: &mut Context<'_, '_>,
    schema: &TableSchema,
    json: &Json,
) -> Result<Vec<(usize, Datum)>, Error> {
    let Some(members) = json.as_object() else {
        return Err(Error::syntax(json, "row must be JSON object"));
    };
    let mut columns = Vec::with_capacity(members.len());
    for (name, value) in members {
        let Some(index) = schema.column_index(name) else {
            let details = format!("No column {name} in table {}.", schema.name);
            return Err(Error::tagged_syntax("unknown column", json, details));
        };
        let kind = &schema.columns[index].kind;
        columns.push((index, Datum::from_json(value, kind, Some(&mut context.resolver()))?));
    }
    Ok(columns)
}

fn insert(context: &mut Context<'_, '_>, members: &mut Members<'_>) -> Outcome {
    let target = table(context, members);
    let uuid = members.optional("uuid", Kinds::STRING);
    let name = members.optional("uuid-name", Kinds::ID);
    let row = members.required("row", Kinds::OBJECT);
    let (false, Some((table, schema)), Some(row)) = (members.failed(), target, row) else {
        return refused();
    };
    let uuid = new_row_uuid(context, table, uuid, name)?;
    let columns = row_columns(context, &schema, row)?;
    let place = &context.txn.db().tables[table];
    for &index in &place.demanding {
        if columns.iter().all(|(given, _)| *given != index) {
            let kind = &schema.columns[index].kind;
            Datum::default_for(kind).check(kind)?;
        }
    }
    let mut new = Row::defaults(&place.defaults, uuid);
    new.set_version((context.make_uuid)());
    // Identity and version are the database's to set.
    for (index, datum) in columns.into_iter().filter(|(index, _)| *index >= FIRST_COLUMN) {
        new.fields[index] = datum;
    }
    if let Some(permission) = permission(context, &schema) {
        permission.insert(&schema, &new)?;
    }
    context.txn.insert(table, new);
    Ok(Object::from([("uuid", uuid.to_json())]))
}

/// What restricts the client in changing a table.
fn permission<'c>(context: &Context<'c, '_>, schema: &TableSchema) -> Option<Permission<'c>> {
    context.role?.permission(context.txn.db(), schema)
}

fn new_row_uuid(
    context: &mut Context<'_, '_>,
    table: usize,
    uuid: Option<&Json>,
    name: Option<&Json>,
) -> Result<Uuid, Error> {
    let mut chosen = None;
    if let Some(json) = uuid {
        let uuid = json.as_str().and_then(Uuid::parse).ok_or_else(|| Error::syntax(json, "bad uuid"))?;
        if context.txn.has_or_had(table, uuid) {
            return Err(Error::tagged_syntax(
                "duplicate uuid",
                json,
                "This UUID would duplicate a UUID already present within the table or deleted within the same \
                 transaction.",
            ));
        }
        chosen = Some(uuid);
    }
    let Some((json, name)) = name.and_then(|json| Some((json, json.as_str()?))) else {
        return Ok(chosen.unwrap_or_else(|| (context.make_uuid)()));
    };
    let mut resolver = context.resolver();
    let symbol = resolver.symbol(name);
    if symbol.created {
        return Err(Error::tagged_syntax(
            "duplicate uuid-name",
            json,
            "This \"uuid-name\" appeared on an earlier \"insert\" operation.",
        ));
    }
    symbol.created = true;
    symbol.uuid = chosen.unwrap_or(symbol.uuid);
    Ok(symbol.uuid)
}

fn select(context: &mut Context<'_, '_>, members: &mut Members<'_>) -> Outcome {
    let target = table(context, members);
    let filter = members.required("where", Kinds::ARRAY);
    let columns = members.optional("columns", Kinds::ARRAY);
    members.optional("sort", Kinds::ARRAY);
    let (false, Some((table, schema))) = (members.failed(), target) else { return refused() };
    let filter = condition(context, &schema, filter)?;
    let projection = Projection::new(&schema, columns)?;
    let place = &context.txn.db().tables[table];
    let rows = projection.distinct(find_rows(context.txn, table, &filter));
    let rows = rows.iter().map(|row| projection.to_json(&place.schema, row)).collect();
    Ok(Object::from([("rows", Json::Array(rows))]))
}

fn update(context: &mut Context<'_, '_>, members: &mut Members<'_>) -> Outcome {
    let target = table(context, members);
    let filter = members.required("where", Kinds::ARRAY);
    let row = members.required("row", Kinds::OBJECT);
    let (false, Some((table, schema)), Some(row)) = (members.failed(), target, row) else {
        return refused();
    };
    let columns = row_columns(context, &schema, row)?;
    if let Some((index, _)) = columns.iter().find(|(index, _)| !schema.columns[*index].mutable) {
        let details = format!(
            "Cannot update immutable column {} in table {}.",
            schema.columns[*index].name, schema.name
        );
        return Err(Error::tagged_syntax("constraint violation", context.operation, details).into());
    }
    let filter = condition(context, &schema, filter)?;
    let rows = find_rows(context.txn, table, &filter);
    let n = rows.len();
    if let Some(permission) = permission(context, &schema) {
        let indexes: Vec<usize> = columns.iter().map(|(index, _)| *index).collect();
        permission.update(&schema, &rows, &indexes)?;
    }
    for row in rows {
        if columns.iter().all(|(index, new)| row.fields[*index] == *new) {
            continue;
        }
        let mut changed = Row::clone(&row);
        for (index, new) in &columns {
            changed.fields[*index].clone_from(new);
        }
        context.txn.replace(table, changed);
    }
    count(n)
}

fn mutate(context: &mut Context<'_, '_>, members: &mut Members<'_>) -> Outcome {
    let target = table(context, members);
    let filter = members.required("where", Kinds::ARRAY);
    let mutations = members.required("mutations", Kinds::ARRAY);
    let (false, Some((table, schema)), Some(mutations)) = (members.failed(), target, mutations) else {
        return refused();
    };
    let mutations = mutations_from_json(&schema, mutations, Some(&mut context.resolver()))?;
    let filter = condition(context, &schema, filter)?;
    let rows = find_rows(context.txn, table, &filter);
    let n = rows.len();
    if let Some(permission) = permission(context, &schema) {
        permission.mutate(&schema, &rows, &mutations)?;
    }
    for row in rows {
        let mut changed = Row::clone(&row);
        for mutation in &mutations {
            let kind = &schema.columns[mutation.column].kind;
            changed.fields[mutation.column] = mutation.apply(&changed.fields[mutation.column], kind)?;
        }
        context.txn.replace(table, changed);
    }
    count(n)
}

fn delete(context: &mut Context<'_, '_>, members: &mut Members<'_>) -> Outcome {
    let target = table(context, members);
    let filter = members.required("where", Kinds::ARRAY);
    let (false, Some((table, schema))) = (members.failed(), target) else { return refused() };
    let filter = condition(context, &schema, filter)?;
    let rows = find_rows(context.txn, table, &filter);
    let n = rows.len();
    if let Some(permission) = permission(context, &schema) {
        permission.delete(&schema, &rows)?;
    }
    for row in rows {
        context.txn.delete(table, row.uuid);
    }
    count(n)
}

fn wait(context: &mut Context<'_, '_>, members: &mut Members<'_>) -> Outcome {
    let target = table(context, members);
    let timeout = members.optional("timeout", Kinds::NUMBER);
    let filter = members.required("where", Kinds::ARRAY);
    let columns = members.optional("columns", Kinds::ARRAY);
    let until = members.required("until", Kinds::STRING);
    let expected = members.required("rows", Kinds::ARRAY);
    let (false, Some((table, schema)), Some(until)) = (members.failed(), target, until) else {
        return refused();
    };
    let timeout = match timeout {
        Some(json) if json.as_f64().is_some_and(|ms| ms < 0.0) => {
            return Err(Error::syntax(json, "timeout must be nonnegative").into());
        }
        Some(json) => json.as_f64().map(|ms| ms as u64),
        None => None,
    };
    let filter = condition(context, &schema, filter)?;
    let projection = Projection::new(&schema, columns)?;
    let equal = match until.as_str() {
        Some("==") => true,
        Some("!=") => false,
        _ => return Err(Error::syntax(until, "\"until\" must be \"==\" or \"!=\"").into()),
    };
    let mut wanted = HashSet::new();
    for json in expected.and_then(Json::as_array).unwrap_or_default() {
        let mut row = Row::defaults(&context.txn.db().tables[table].defaults, Uuid::ZERO);
        for (index, datum) in row_columns(context, &schema, json)? {
            row.fields[index] = datum;
        }
        wanted.insert(projection.values(&row));
    }
    let found: HashSet<_> =
        find_rows(context.txn, table, &filter).iter().map(|row| projection.values(row)).collect();
    if (found == wanted) == equal {
        return Ok(Object::new());
    }
    Err(not_yet(context.request.waiting, timeout))
}

/// What an unsatisfied wait comes to.
fn not_yet(waiting: Waiting, timeout: Option<u64>) -> Stop {
    let timed_out = |details: String| Stop::Error(Error::new("timed out", details));
    match (waiting, timeout) {
        (_, Some(0)) => timed_out("\"where\" clause test failed".to_owned()),
        (Waiting::Impossible, _) => Stop::Error(Error::new("not supported", "triggers not supported")),
        (Waiting::Since(elapsed), Some(limit)) if elapsed >= limit => {
            timed_out(format!("\"wait\" timed out after {elapsed} ms"))
        }
        (Waiting::Since(_), timeout) => Stop::Wait(timeout),
    }
}

fn commit(context: &mut Context<'_, '_>, members: &mut Members<'_>) -> Outcome {
    if members.required("durable", Kinds::BOOL).and_then(Json::as_bool) == Some(true) {
        context.txn.durable = true;
    }
    Ok(Object::new())
}

fn abort(_: &mut Context<'_, '_>, _: &mut Members<'_>) -> Outcome {
    Err(Error::new("aborted", "aborted by request").into())
}

fn comment(context: &mut Context<'_, '_>, members: &mut Members<'_>) -> Outcome {
    if let Some(comment) = members.required("comment", Kinds::STRING).and_then(Json::as_str) {
        context.txn.comments.push(comment.to_owned());
    }
    Ok(Object::new())
}

fn assert_lock(context: &mut Context<'_, '_>, members: &mut Members<'_>) -> Outcome {
    match members.required("lock", Kinds::ID).and_then(Json::as_str) {
        Some(lock) if !(context.request.owns_lock)(lock) => {
            Err(Error::new("not owner", format!("Asserted lock {lock} not held.")).into())
        }
        _ => Ok(Object::new()),
    }
}
