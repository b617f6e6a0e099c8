//! What `--help` prints.
//!
//! Where it sits: called by `options`.

use daemon::{dirs, program, tls, usage};
use ovsdb::{DbSchema, json};

use super::program::Program;

/// The schema that the program was made for.
pub(super) fn schema<P: Program>() -> DbSchema {
    let json = json::parse(P::SCHEMA.as_bytes()).expect("a schema is JSON");
    DbSchema::from_json(&json).expect("it is a schema")
}

/// The whole text.
pub(super) fn text<P: Program>() -> String {
    let parts = [
        format!("{0}: {1}\nusage: {0} [OPTIONS] COMMAND [ARG...]\n\n", program::name(), P::PURPOSE),
        format!("{}\n{}", P::COMMANDS_HELP, include_str!("help.txt")),
        ways_to_name_records::<P>(),
        options::<P>(),
        format!("\n{}", usage::logging()),
        format!("  --no-syslog             equivalent to --verbose={}:syslog:warn\n\n", P::LOG),
        usage::active_connections("database"),
        usage::passive_connections("database"),
        tls::USAGE.to_owned(),
        "\nOther options:
  -h, --help                  display this help message
  -V, --version               display version information
"
        .to_owned(),
    ];
    parts.concat()
}

/// How the records of each table may be named besides by the first digits of their UUIDs.
fn ways_to_name_records<P: Program>() -> String {
    let mut text = String::new();
    for table in schema::<P>().tables.values() {
        text.push_str(&format!("  {}:\n    by UUID\n", table.name));
        if table.max_rows == 1 {
            text.push_str("    as \".\"\n");
        }
        for identity in P::IDENTITIES.iter().filter(|identity| identity.table == table.name) {
            let key = identity.key;
            text.push_str(&match identity.via {
                Some((holder, column)) => {
                    format!("    via \"{column}\" of {holder} with matching \"{key}\"\n")
                }
                None => format!("    by \"{key}\"\n"),
            });
        }
    }
    text
}

fn options<P: Program>() -> String {
    format!(
        "
Options:
  --db=DATABASE               connect to DATABASE
                              (default: unix:{})
{}  -t, --timeout=SECS          wait at most SECS seconds for ovs-vswitchd
  --dry-run                   do not commit changes to database
  --oneline                   print exactly one line of output per command

Output formatting options:
  -f, --format=FORMAT         set output formatting to FORMAT
                              (\"table\", \"list\", \"html\", \"csv\", or \"json\")
  -d, --data=FORMAT           set table cell output formatting to
                              FORMAT (\"string\", \"bare\", or \"json\")
  --no-headings               omit table heading row
  --pretty                    pretty-print JSON in output
  --bare                      equivalent to \"--format=list --data=bare --no-headings\"
  --max-column-width=N        cut what is longer than N characters in tables
",
        dirs::rundir().join("db.sock").display(),
        P::OPTIONS_HELP,
    )
}
