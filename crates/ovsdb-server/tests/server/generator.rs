//! Random schemas, operations and monitors: small domains, so that rows meet, and some mistakes.
//!
//! Rows get identifiers of a small set that both servers are told, so that replies can be compared to the letter.

use crate::support::Dice;

/// A column, as far as values are made for it.
pub struct Column {
    pub name: String,
    key: Base,
    value: Option<Base>,
    min: u64,
    max: u64,
    persistent: bool,
    mutable: bool,
}

impl Column {
    /// Whether it holds exactly one value.
    pub fn is_scalar(&self) -> bool {
        self.value.is_none() && self.min == 1 && self.max == 1
    }

    /// Whether it holds identifiers.
    pub fn has_identifiers(&self) -> bool {
        std::iter::once(&self.key).chain(&self.value).any(|base| base.kind == Kind::Uuid)
    }

    /// Whether rows that are there may get another value.
    pub fn is_mutable(&self) -> bool {
        self.mutable
    }

    /// A value as its type says.
    pub fn draw(&self, dice: &mut Dice) -> String {
        value(dice, self, self.min)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Integer,
    Real,
    Boolean,
    String,
    Uuid,
}

struct Base {
    kind: Kind,
    /// Values to choose from; identifiers have none.
    domain: &'static [&'static str],
    json: String,
    /// The table referred to, or any.
    table: u64,
}

pub struct Table {
    pub name: String,
    number: u64,
    pub columns: Vec<Column>,
    json: String,
}

pub struct Schema {
    pub tables: Vec<Table>,
    pub json: String,
}

/// Identifiers that rows of any table may get.
const POOL: u64 = 12;

pub fn uuid(table: u64, n: u64) -> String {
    format!("00000000-0000-4000-8000-{table:06}{n:06}")
}

pub fn is_known(uuid: ovsdb::Uuid) -> bool {
    uuid.to_string().starts_with("00000000-0000-4000-8000-")
}

fn base(dice: &mut Dice, tables: u64) -> Base {
    let table = dice.pick(tables);
    let reference = |kind: &str| format!(r#"{{"type":"uuid","refTable":"T{table}","refType":"{kind}"}}"#);
    let (kind, domain, json): (_, &[&str], _) = match dice.pick(12) {
        0 | 1 => (Kind::Integer, &["0", "1", "2", "-1", "9223372036854775807"], "\"integer\"".to_owned()),
        2 => (
            Kind::Integer,
            &["-1", "0", "1", "3"],
            r#"{"type":"integer","minInteger":-1,"maxInteger":3}"#.to_owned(),
        ),
        3 => (Kind::Integer, &["0", "1", "2"], r#"{"type":"integer","enum":["set",[0,1,2]]}"#.to_owned()),
        4 => {
            (Kind::Real, &["0", "1", "0.5", "-1.5", "1e300"], r#"{"type":"real","minReal":-1.5}"#.to_owned())
        }
        5 => (Kind::Boolean, &["true", "false"], "\"boolean\"".to_owned()),
        6 => (Kind::String, &["\"\"", "\"a\"", "\"\\u00e9\\\"\"", "\"abc\""], "\"string\"".to_owned()),
        7 => (Kind::String, &["\"\"", "\"a\"", "\"ab\""], r#"{"type":"string","maxLength":2}"#.to_owned()),
        8 => (
            Kind::String,
            &["\"\"", "\"a\"", "\"b\""],
            r#"{"type":"string","enum":["set",["","a","b"]]}"#.to_owned(),
        ),
        9 => (Kind::Uuid, &[], "\"uuid\"".to_owned()),
        10 => (Kind::Uuid, &[], reference("strong")),
        _ => (Kind::Uuid, &[], reference("weak")),
    };
    Base { kind, domain, json, table }
}

fn column(dice: &mut Dice, name: String, tables: u64) -> (Column, String) {
    let key = base(dice, tables);
    let value = if dice.one_in(4) { Some(base(dice, tables)) } else { None };
    let (min, max) =
        *dice.of(&[(1, 1), (1, 1), (0, 1), (0, 1), (0, 3), (0, u64::MAX), (1, 3), (1, u64::MAX)]);
    let limit = if max == u64::MAX { "\"unlimited\"".to_owned() } else { max.to_string() };
    let of = value.as_ref().map(|v| format!(",\"value\":{}", v.json)).unwrap_or_default();
    let mutable = !dice.one_in(8);
    let persistent = !dice.one_in(6);
    let json = format!(
        r#"{{"type":{{"key":{}{of},"min":{min},"max":{limit}}},"mutable":{mutable},"ephemeral":{}}}"#,
        key.json, !persistent
    );
    (Column { name, key, value, min, max, persistent, mutable }, json)
}

pub fn schema(dice: &mut Dice) -> Schema {
    let count = 1 + dice.pick(3);
    let mut tables = Vec::new();
    for number in 0..count {
        let made: Vec<_> = (0..2 + dice.pick(4)).map(|i| column(dice, format!("c{i}"), count)).collect();
        let columns: Vec<String> = made.iter().map(|(c, json)| format!("\"{}\":{json}", c.name)).collect();
        let mut json = format!("\"T{number}\":{{\"columns\":{{{}}}", columns.join(","));
        if number == 0 || dice.one_in(2) {
            json.push_str(",\"isRoot\":true");
        }
        if dice.one_in(3) {
            json.push_str(&format!(",\"maxRows\":{}", 2 + dice.pick(4)));
        }
        let stored: Vec<&Column> = made.iter().map(|(c, _)| c).filter(|c| c.persistent).collect();
        if !stored.is_empty() && dice.one_in(2) {
            let first = dice.of(&stored).name.clone();
            let second = dice.of(&stored).name.clone();
            let pair =
                if first == second { format!("\"{first}\"") } else { format!("\"{first}\",\"{second}\"") };
            json.push_str(&format!(",\"indexes\":[[{pair}]]"));
        }
        json.push('}');
        let columns = made.into_iter().map(|(column, _)| column).collect();
        tables.push(Table { number, name: format!("T{number}"), columns, json });
    }
    let parts: Vec<&str> = tables.iter().map(|t| t.json.as_str()).collect();
    let json = format!("{{\"name\":\"D\",\"version\":\"1.2.3\",\"tables\":{{{}}}}}", parts.join(","));
    Schema { tables, json }
}

fn atom(dice: &mut Dice, base: &Base) -> String {
    if dice.slips(12) {
        return dice.of(&["null", "{}", "\"abc\"", "1e9", "[\"uuid\",\"no\"]", "-3"]).to_string();
    }
    match base.kind {
        Kind::Uuid => match dice.pick(8) {
            0 if dice.names => format!("[\"named-uuid\",\"n{}_{}\"]", base.table, dice.pick(3)),
            1 => "[\"uuid\",\"00000000-0000-0000-0000-000000000000\"]".to_owned(),
            _ => format!("[\"uuid\",\"{}\"]", uuid(base.table, dice.pick(POOL))),
        },
        _ => dice.of(base.domain).to_string(),
    }
}

fn distinct(dice: &mut Dice, base: &Base, n: u64) -> Vec<String> {
    let mut atoms = Vec::new();
    for _ in 0..n * 2 {
        let new = atom(dice, base);
        if (atoms.len() as u64) < n && !atoms.contains(&new) {
            atoms.push(new);
        }
    }
    if dice.slips(20) {
        atoms.extend(atoms.first().cloned());
    }
    atoms
}

/// A value of a column: `any` of its size, else as its type says.
fn value(dice: &mut Dice, column: &Column, min: u64) -> String {
    let most = column.max.min(4) + u64::from(dice.slips(20));
    let n = min.max(dice.pick(most + 1));
    let keys = distinct(dice, &column.key, n);
    if let Some(of) = &column.value {
        let pairs: Vec<String> = keys.iter().map(|key| format!("[{key},{}]", atom(dice, of))).collect();
        return format!("[\"map\",[{}]]", pairs.join(","));
    }
    match keys.as_slice() {
        [one] if !dice.one_in(4) => one.clone(),
        _ => format!("[\"set\",[{}]]", keys.join(",")),
    }
}

fn row(dice: &mut Dice, table: &Table, all: bool) -> String {
    let mut members = Vec::new();
    for column in &table.columns {
        if !all && !column.mutable && !dice.slips(4) {
            continue;
        }
        if all && dice.pick(3) > 0 || !all && dice.one_in(table.columns.len() as u64) {
            let value = value(dice, column, column.min);
            members.push(format!("\"{}\":{value}", column.name));
        }
    }
    if dice.slips(20) {
        members.push("\"zz\":1".to_owned());
    }
    format!("{{{}}}", members.join(","))
}

pub fn clause(dice: &mut Dice, table: &Table) -> String {
    if dice.one_in(12) {
        return dice.of(&["true", "false"]).to_string();
    }
    if dice.slips(6) {
        return dice.of(&["[\"c9\",\"==\",1]", "[\"zz\",\"==\",1]", "[]"]).to_string();
    }
    if dice.one_in(3) {
        let function = dice.of(&["==", "==", "includes", "!=", "excludes"]);
        return format!("[\"_uuid\",\"{function}\",[\"uuid\",\"{}\"]]", uuid(table.number, dice.pick(POOL)));
    }
    let column = dice.of(&table.columns);
    let number =
        column.value.is_none() && column.max == 1 && matches!(column.key.kind, Kind::Integer | Kind::Real);
    let all = ["==", "!=", "includes", "excludes", "<", "<=", ">", ">="];
    let count = if number || dice.slips(4) { all.len() } else { 4 };
    let function = *dice.of(&all[..count]);
    let min = if matches!(function, "includes" | "excludes") && !column.is_scalar() { 0 } else { column.min };
    let value = if matches!(function, "<" | "<=" | ">" | ">=") {
        atom(dice, &column.key)
    } else {
        value(dice, column, min)
    };
    format!("[\"{}\",\"{function}\",{value}]", column.name)
}

fn condition(dice: &mut Dice, table: &Table) -> String {
    let clauses: Vec<String> = (0..dice.pick(3)).map(|_| clause(dice, table)).collect();
    format!("[{}]", clauses.join(","))
}

fn mutation(dice: &mut Dice, table: &Table) -> String {
    let mut column = dice.of(&table.columns);
    for _ in 0..3 {
        // Immutable columns are a mistake that need not be made often.
        if !column.mutable {
            column = dice.of(&table.columns);
        }
    }
    let number = column.value.is_none() && matches!(column.key.kind, Kind::Integer | Kind::Real);
    let calculations = ["+=", "-=", "*=", "/=", "%="];
    let mutator = if number && dice.one_in(2) || dice.slips(4) {
        *dice.of(&calculations)
    } else {
        *dice.of(&["insert", "delete"])
    };
    let argument = match mutator {
        "insert" => value(dice, column, 0),
        "delete" if column.value.is_some() && dice.one_in(2) => {
            format!("[\"set\",[{}]]", distinct(dice, &column.key, 2).join(","))
        }
        "delete" => value(dice, column, 0),
        _ => atom(dice, &column.key),
    };
    format!("[\"{}\",\"{mutator}\",{argument}]", column.name)
}

/// One operation.
pub fn operation(dice: &mut Dice, schema: &Schema) -> String {
    dice.slips = u32::from(dice.one_in(6));
    dice.names = true;
    let table = dice.of(&schema.tables);
    let name = &table.name;
    match dice.pick(22) {
        0..=7 => {
            let mut members =
                vec![format!("\"op\":\"insert\",\"table\":\"{name}\",\"row\":{}", row(dice, table, true))];
            members.push(format!("\"uuid\":\"{}\"", uuid(table.number, dice.pick(POOL))));
            if dice.one_in(3) {
                members.push(format!("\"uuid-name\":\"n{}_{}\"", table.number, dice.pick(3)));
            }
            format!("{{{}}}", members.join(","))
        }
        8..=10 => format!(
            r#"{{"op":"update","table":"{name}","where":{},"row":{}}}"#,
            condition(dice, table),
            row(dice, table, false)
        ),
        11..=13 => {
            let mutation = mutation(dice, table);
            // Of several rows, chance says which one is wrong first.
            let one = format!("[[\"_uuid\",\"==\",[\"uuid\",\"{}\"]]]", uuid(table.number, dice.pick(POOL)));
            let all = mutation.contains("sert\"") || mutation.contains("delete\"");
            let condition = if all && dice.one_in(2) { condition(dice, table) } else { one };
            format!(r#"{{"op":"mutate","table":"{name}","where":{condition},"mutations":[{mutation}]}}"#)
        }
        14 | 15 => format!(r#"{{"op":"delete","table":"{name}","where":{}}}"#, condition(dice, table)),
        16 | 17 => {
            let columns = columns(dice, table);
            format!(r#"{{"op":"select","table":"{name}","where":{}{columns}}}"#, condition(dice, table))
        }
        18 => {
            let until = dice.of(&["==", "!=", "="]);
            let rows: Vec<String> = (0..dice.pick(3)).map(|_| row(dice, table, false)).collect();
            format!(
                r#"{{"op":"wait","table":"{name}","timeout":0,"where":{}{},"until":"{until}","rows":[{}]}}"#,
                condition(dice, table),
                columns(dice, table),
                rows.join(",")
            )
        }
        19 => dice
            .of(&[
                r#"{"op":"comment","comment":"hello"}"#,
                r#"{"op":"commit","durable":false}"#,
                r#"{"op":"assert","lock":"mine"}"#,
                r#"{"op":"assert","lock":"other"}"#,
            ])
            .to_string(),
        20 if dice.one_in(4) => dice
            .of(&[
                r#"{"op":"abort"}"#,
                r#"{"op":"nonsense"}"#,
                r#"{"op":"insert","table":"T0","row":{},"extra":1}"#,
                r#"{"op":"insert","table":"T9","row":{}}"#,
                r#"{"op":"update","table":"T0","where":{},"row":{}}"#,
                r#"{"op":"mutate","table":"T0","where":[],"mutations":[["c0"]]}"#,
                r#"{"op":"select","table":"T0","where":[],"columns":["c0","c0"]}"#,
                r#"{"op":"delete","table":"T0"}"#,
                r#"{"table":"T0"}"#,
                r#"[]"#,
                r#"{"op":"wait","table":"T0","timeout":-1,"where":[],"until":"==","rows":[]}"#,
                r#"{"op":"commit","durable":1}"#,
            ])
            .to_string(),
        _ => format!(
            r#"{{"op":"select","table":"{name}","where":[["_uuid","==",["uuid","{}"]]]}}"#,
            uuid(table.number, dice.pick(POOL))
        ),
    }
}

fn columns(dice: &mut Dice, table: &Table) -> String {
    if dice.one_in(3) {
        return String::new();
    }
    let mut names: Vec<String> =
        table.columns.iter().filter(|_| dice.one_in(2)).map(|c| format!("\"{}\"", c.name)).collect();
    if dice.one_in(3) {
        names.push("\"_uuid\"".to_owned());
    }
    format!(",\"columns\":[{}]", names.join(","))
}

/// The requests of a monitor; conditions where `conditional`.
pub fn monitor(dice: &mut Dice, schema: &Schema, conditional: bool) -> String {
    dice.names = false;
    let mut tables = Vec::new();
    for table in &schema.tables {
        let mut members = Vec::new();
        let columns = columns(dice, table);
        if !columns.is_empty() {
            members.push(columns[1..].to_owned());
        }
        if dice.one_in(3) {
            let kind = dice.of(&["initial", "insert", "delete", "modify"]);
            members.push(format!("\"select\":{{\"{kind}\":false}}"));
        }
        if conditional && dice.one_in(2) {
            let clauses: Vec<String> = (0..dice.pick(3)).map(|_| clause(dice, table)).collect();
            members.push(format!("\"where\":[{}]", clauses.join(",")));
        }
        let one = format!("{{{}}}", members.join(","));
        let request = if dice.one_in(2) { format!("[{one}]") } else { one };
        tables.push(format!("\"{}\":{request}", table.name));
    }
    format!("{{{}}}", tables.join(","))
}

/// New conditions for a monitor.
pub fn conditions(dice: &mut Dice, schema: &Schema) -> String {
    // C keeps the conditions of tables before the one that it refuses: no mistakes here.
    (dice.names, dice.slips) = (false, 0);
    let mut tables = Vec::new();
    for table in &schema.tables {
        if dice.one_in(2) {
            let clauses: Vec<String> = (0..dice.pick(3)).map(|_| clause(dice, table)).collect();
            tables.push(format!("\"{}\":[{{\"where\":[{}]}}]", table.name, clauses.join(",")));
        }
    }
    format!("{{{}}}", tables.join(","))
}
