//! Roles: what clients of a remote with a role may change.
//!
//! Where it sits: asked by the operations that change rows.
//!
//! A database that has a table `RBAC_Role` maps roles to permissions per table: whether rows may be inserted and deleted, which
//! columns (or `column:key`) may be updated, and in which rows: those where one of the `authorization` columns (or `column:key`)
//! holds the client's name. The empty authorization is every row's.
//!
//! Spec: ovsdb-server(7) sections 3.2 and 4.1.3.

use std::sync::Arc;

use ovsdb::mutation::{Mutation, Mutator};
use ovsdb::{Atom, Error, Result, TableSchema};

use crate::database::Database;
use crate::row::Row;

/// The role of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// The role's name; empty for clients without.
    pub name: String,
    /// The client's name, from its certificate. One without a name owns no row, and may change none.
    pub client: Option<String>,
}

/// What a role may do to one table.
#[derive(Debug)]
pub(crate) struct Permission<'r> {
    role: &'r Role,
    table: String,
    /// Nothing where the table is not the role's business at all.
    grant: Option<Grant>,
}

#[derive(Debug)]
struct Grant {
    authorization: Vec<String>,
    insert_delete: bool,
    update: Vec<String>,
}

impl Role {
    /// What errors call the client.
    pub fn client_name(&self) -> &str {
        self.client.as_deref().unwrap_or("(null)")
    }

    /// What this role may do to `table`; `None` where nothing restricts it.
    pub(crate) fn permission<'r>(&'r self, db: &Database, table: &TableSchema) -> Option<Permission<'r>> {
        let roles = db.table("RBAC_Role").filter(|_| !self.name.is_empty())?;
        Some(Permission { role: self, table: table.name.clone(), grant: self.grant(db, roles, &table.name) })
    }

    fn grant(&self, db: &Database, roles: &crate::database::Table, table: &str) -> Option<Grant> {
        let (name, permissions) =
            (roles.schema.column_index("name")?, roles.schema.column_index("permissions")?);
        let role = roles
            .rows
            .values()
            .find(|row| row.fields[name].single().and_then(Atom::as_str) == Some(self.name.as_str()))?;
        let wanted = role.fields[permissions].get(&Atom::string(table))?.as_uuid()?;
        let (target, _) = roles.schema.columns[permissions].kind.value.as_ref()?.reference()?;
        let target = db.table(target)?;
        let row = target.rows.get(&wanted)?;
        let strings = |column: &str| -> Vec<String> {
            let index = target.schema.column_index(column);
            let atoms = index.map(|index| row.fields[index].keys()).unwrap_or_default();
            atoms.iter().filter_map(Atom::as_str).map(str::to_owned).collect()
        };
        let index = target.schema.column_index("insert_delete");
        let flag = index.and_then(|index| row.fields[index].single()).and_then(Atom::as_bool);
        Some(Grant {
            authorization: strings("authorization"),
            insert_delete: flag == Some(true),
            update: strings("update"),
        })
    }
}

impl Permission<'_> {
    fn refuse(&self, what: &str) -> Error {
        let details = format!(
            "RBAC rules for client \"{}\" role \"{}\" prohibit {what} table \"{}\".",
            self.role.client_name(),
            self.role.name,
            self.table
        );
        Error::new("permission error", details)
    }

    /// Judges a change of `rows` that the grant must `allow`, also where there is no row.
    fn judge<'r>(
        &self,
        schema: &TableSchema,
        rows: impl IntoIterator<Item = &'r Row>,
        what: &str,
        allow: impl Fn(&Grant) -> bool,
    ) -> Result<()> {
        let may = self.grant.as_ref().zip(self.role.client.as_deref()).is_some_and(|(grant, client)| {
            allow(grant) && rows.into_iter().all(|row| grant.makes_owner(client, schema, row))
        });
        if may { Ok(()) } else { Err(self.refuse(what)) }
    }

    pub(crate) fn insert(&self, schema: &TableSchema, row: &Row) -> Result<()> {
        self.judge(schema, [row], "row insertion into", |grant| grant.insert_delete)
    }

    pub(crate) fn delete(&self, schema: &TableSchema, rows: &[Arc<Row>]) -> Result<()> {
        self.judge(schema, rows.iter().map(Arc::as_ref), "row deletion from", |grant| grant.insert_delete)
    }

    pub(crate) fn update(&self, schema: &TableSchema, rows: &[Arc<Row>], columns: &[usize]) -> Result<()> {
        let listed =
            |grant: &Grant| columns.iter().all(|column| grant.update.contains(&schema.columns[*column].name));
        self.judge(schema, rows.iter().map(Arc::as_ref), "modification of", listed)
    }

    pub(crate) fn mutate(
        &self,
        schema: &TableSchema,
        rows: &[Arc<Row>],
        mutations: &[Mutation],
    ) -> Result<()> {
        let listed = |grant: &Grant| mutations.iter().all(|mutation| may_mutate(grant, schema, mutation));
        self.judge(schema, rows.iter().map(Arc::as_ref), "mutate operation on", listed)
    }
}

impl Grant {
    /// Whether a row is the client's: one of the places for its owner's name holds its own, or is everybody's.
    fn makes_owner(&self, client: &str, schema: &TableSchema, row: &Row) -> bool {
        self.authorization.iter().any(|place| {
            if place.is_empty() {
                return true;
            }
            let (column, key) = place.split_once(':').map_or((place.as_str(), None), |(c, k)| (c, Some(k)));
            let Some(index) = schema.column_index(column) else { return false };
            let field = &row.fields[index];
            match key {
                Some(key) => field.get_str(key) == Some(client),
                None => field.keys().iter().any(|atom| atom.as_str() == Some(client)),
            }
        })
    }
}

/// Whether the whole column is granted, or every key of a map that the mutation touches.
fn may_mutate(grant: &Grant, schema: &TableSchema, mutation: &Mutation) -> bool {
    let name = &schema.columns[mutation.column].name;
    let key_granted = |atom: &Atom| {
        atom.as_str().is_some_and(|key| grant.update.iter().any(|place| *place == format!("{name}:{key}")))
    };
    let keyed = matches!(mutation.mutator, Mutator::Insert | Mutator::Delete);
    grant.update.contains(name) || keyed && mutation.value.keys().iter().all(key_granted)
}

#[cfg(test)]
mod tests {
    use ovsdb::DbSchema;
    use ovsdb::json::{self, Json};

    use super::*;
    use crate::execute::{Access, Outcome, Request, Waiting, execute, execute_as};

    const SCHEMA: &str = r#"{"name":"D","tables":{
      "Chassis":{"columns":{"name":{"type":"string"},"ip":{"type":"string"},"other":{"type":"integer"},
        "ids":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}}},"isRoot":true},
      "RBAC_Role":{"columns":{"name":{"type":"string"},"permissions":{"type":{"key":"string",
        "value":{"type":"uuid","refTable":"RBAC_Permission","refType":"weak"},"min":0,"max":"unlimited"}}},"isRoot":true},
      "RBAC_Permission":{"columns":{"table":{"type":"string"},
        "authorization":{"type":{"key":"string","min":0,"max":"unlimited"}},"insert_delete":{"type":"boolean"},
        "update":{"type":{"key":"string","min":0,"max":"unlimited"}}},"isRoot":true}}}"#;

    fn run(db: &mut Database, role: &Role, operations: &str) -> String {
        let operations = json::parse(format!("[{operations}]").as_bytes()).unwrap();
        let operations = operations.as_array().unwrap();
        let request = Request {
            operations,
            access: Access::ReadWrite,
            waiting: Waiting::Impossible,
            owns_lock: &|_| false,
        };
        let mut next = db.tables.iter().map(|t| t.rows.len() as u128).sum::<u128>() + 100;
        let mut make = || {
            next += 1;
            ovsdb::Uuid(next)
        };
        let outcome = match role.name.as_str() {
            "" => execute(db, &request, &mut make),
            _ => execute_as(db, &request, Some(role), &mut make),
        };
        let Outcome::Done { results, prepared } = outcome else { panic!("blocked") };
        if let Some(prepared) = prepared {
            prepared.commit();
        }
        let errors = results.iter().filter_map(|r| r.get("details")).filter_map(Json::as_str);
        errors.map(str::to_owned).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn clients_change_what_is_theirs() {
        let schema = DbSchema::from_json(&json::parse(SCHEMA.as_bytes()).unwrap()).unwrap();
        let mut db = Database::new(schema);
        let root = Role::default();
        let set_up = r#"{"op":"insert","table":"RBAC_Permission","uuid-name":"p","row":{"table":"Chassis",
            "authorization":"name","insert_delete":true,"update":["set",["ip","ids:a"]]}},
            {"op":"insert","table":"RBAC_Role","row":{"name":"ctl","permissions":["map",[["Chassis",["named-uuid","p"]]]]}},
            {"op":"insert","table":"Chassis","row":{"name":"a"}},{"op":"insert","table":"Chassis","row":{"name":"b"}}"#;
        assert_eq!(run(&mut db, &root, set_up), "");
        let a = Role { name: "ctl".into(), client: Some("a".into()) };
        let refused = |what: &str| {
            format!("RBAC rules for client \"a\" role \"ctl\" prohibit {what} table \"Chassis\".")
        };
        let table = [
            (r#""op":"update","where":[["name","==","a"]],"row":{"ip":"1"}"#, String::new()),
            (r#""op":"update","where":[["name","==","b"]],"row":{"ip":"1"}"#, refused("modification of")),
            (r#""op":"update","where":[["name","==","a"]],"row":{"other":1}"#, refused("modification of")),
            (
                r#""op":"update","where":[["name","==","nobody"]],"row":{"other":1}"#,
                refused("modification of"),
            ),
            (r#""op":"update","where":[["name","==","nobody"]],"row":{"ip":"1"}"#, String::new()),
            (
                r#""op":"mutate","where":[["name","==","a"]],"mutations":[["ids","insert",["map",[["a","1"]]]]]"#,
                String::new(),
            ),
            (
                r#""op":"mutate","where":[["name","==","a"]],"mutations":[["ids","insert",["map",[["b","1"]]]]]"#,
                refused("mutate operation on"),
            ),
            (
                r#""op":"mutate","where":[["name","==","a"]],"mutations":[["other","+=",1]]"#,
                refused("mutate operation on"),
            ),
            (r#""op":"insert","row":{"name":"a","ip":"2"}"#, String::new()),
            (r#""op":"insert","row":{"name":"c"}"#, refused("row insertion into")),
            (r#""op":"delete","where":[]"#, refused("row deletion from")),
            (r#""op":"delete","where":[["name","==","a"]]"#, String::new()),
        ];
        for (operation, expected) in table {
            let operation = format!("{{\"table\":\"Chassis\",{operation}}}");
            assert_eq!(run(&mut db, &a, &operation), expected, "{operation}");
        }
        let nameless = Role { name: "ctl".into(), client: None };
        let insert = r#"{"op":"insert","table":"Chassis","row":{"name":""}}"#;
        assert!(run(&mut db, &nameless, insert).starts_with("RBAC rules for client \"(null)\" role \"ctl\""));
        let stranger = Role { name: "other".into(), client: Some("a".into()) };
        let insert = r#"{"op":"insert","table":"Chassis","row":{"name":"a"}}"#;
        assert!(run(&mut db, &stranger, insert).contains("prohibit row insertion"));
        let roles = r#"{"op":"delete","table":"RBAC_Role","where":[]}"#;
        assert!(run(&mut db, &a, roles).contains("prohibit row deletion from table \"RBAC_Role\""));
        assert_eq!(run(&mut db, &root, roles), "");
    }
}
