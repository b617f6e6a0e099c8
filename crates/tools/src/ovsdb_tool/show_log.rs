//! `show-log`: the history in a database file, for people.
//!
//! Where it sits: a command of ovsdb-tool.
//!
//! Rows are called by their `name`, if they have one, and the first word of their identifier; names are remembered over records.

use std::collections::HashMap;
use std::process::ExitCode;

use ovsdb::json::Json;
use ovsdb::{Datum, DbSchema, TableSchema, Uuid};
use ovsdb_engine::log::{Kind, Reader};

use super::{cluster, read_any};

/// Prints the log of `file`. Verbosity 1 shows rows, 2 also columns.
pub(super) fn run(file: &str, verbosity: usize) -> Result<ExitCode, String> {
    let (data, kind) = read_any(file)?;
    if kind == Kind::Clustered {
        return cluster::show_log(Reader::clustered(&data, file), verbosity);
    }
    let mut reader = Reader::new(&data, file);
    let schema = match reader.next() {
        Some(record) => {
            let record = record.map_err(|error| error.to_string())?;
            print!("record 0:");
            DbSchema::from_json(&record).map_err(|error| error.to_string())?
        }
        None => return Err(format!("{file}: unexpected end of file reading schema")),
    };
    println!(" \"{}\" schema, version=\"{}\", cksum=\"{}\"", schema.name, schema.version, schema.cksum);
    println!();
    let mut names = HashMap::new();
    for (number, record) in reader.enumerate() {
        let record = record.map_err(|error| error.to_string())?;
        print!("record {}:", number + 1);
        print_transaction(&schema, &record, verbosity, &mut names);
    }
    Ok(ExitCode::SUCCESS)
}

/// Names of rows by identifier.
pub(super) type Names = HashMap<String, String>;

/// Ends the present line with when and why, then shows the rows and what sets them off.
pub(super) fn print_transaction(schema: &DbSchema, record: &Json, verbosity: usize, names: &mut Names) {
    if let Some(date) = record.get("_date").and_then(Json::as_i64) {
        print!(" {}", format_date(date));
    }
    if let Some(comment) = record.get("_comment").and_then(Json::as_str) {
        print!(" \"{comment}\"");
    }
    println!();
    if verbosity > 0 {
        print_tables(schema, record, verbosity, names);
    }
}

fn print_tables(schema: &DbSchema, record: &Json, verbosity: usize, names: &mut Names) {
    let mut tables =
        record.as_object().into_iter().flatten().filter(|(name, _)| !name.starts_with('_')).peekable();
    if tables.peek().is_none() {
        return;
    }
    let diff = record.get("_is_diff").and_then(Json::as_bool) == Some(true);
    for (table_name, rows) in tables {
        let table = schema.table(table_name);
        for (uuid, row) in rows.as_object().into_iter().flatten() {
            let known = names.get(uuid.as_str()).cloned();
            let inserted = known.is_none() && !row.is_null();
            let given = row.get("name").and_then(Json::as_str);
            // A row that is renamed is called by its old name.
            let name = known.as_deref().or(given).filter(|name| !name.is_empty());
            let short =
                Uuid::parse(uuid).map_or_else(|| uuid.to_string(), |u| format!("{:08x}", u.first_word()));
            let called = match name {
                Some(name) => format!("\"{name}\" ({short})"),
                None if inserted => short,
                // A row without a name is called by its identifier, which then stands twice.
                None => format!("{short} ({short})"),
            };
            let verb = if inserted { " insert" } else { "" };
            let kind = if !inserted && diff { " diff" } else { "" };
            println!("  table {table_name}{verb} row {called}{kind}:");
            match given {
                Some(name) => drop(names.insert(uuid.to_string(), name.to_owned())),
                None => drop(names.entry(uuid.to_string()).or_default()),
            }
            if row.is_null() {
                println!("    delete row");
                names.remove(uuid.as_str());
            } else if verbosity > 1 {
                print_columns(table.map(|t| &**t), row);
            }
        }
    }
    println!();
}

fn print_columns(table: Option<&TableSchema>, row: &Json) {
    for (name, value) in row.as_object().into_iter().flatten() {
        let kind = table.and_then(|table| table.column(name)).map(|column| &column.kind);
        let datum = kind.and_then(|kind| Some((Datum::from_json_any_size(value, kind, None).ok()?, kind)));
        match datum {
            Some((datum, kind)) => println!("    {name}={}", datum.to_text(kind)),
            None => println!("    {name}={value}"),
        }
    }
}

/// Milliseconds (in old files seconds) since the epoch as UTC date and time.
pub(crate) fn format_date(date: i64) -> String {
    let ms = if date < 1 << 32 { date * 1000 } else { date };
    let (days, rest) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    let ms = rest % 1000;
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{ms:03}")
}

/// Year, month and day of a number of days since 1970-01-01, in the proleptic Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    // Years are counted from March, so that the leap day is the last of a year; an era is 400 years.
    let z = days + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year_of_era + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(format_date(1_795_480_294_494), "2026-11-24 00:31:34.494");
        assert_eq!(format_date(951_782_400), "2000-02-29 00:00:00.000");
    }
}
