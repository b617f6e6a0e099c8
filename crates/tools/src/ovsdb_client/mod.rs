//! ovsdb-client: speaks the database protocol from the command line.
//!
//! Where it sits: the program `ovsdb-client`; a thin layer over JSON-RPC and the table printer.
//!
//! Spec: ovsdb-client(1). Reading order: `options`, `query` (one question, one answer), `dump`, `monitor`, `stay`.

mod dump;
mod monitor;
mod options;
mod query;
mod stay;

use std::process::ExitCode;

use daemon::{program, vlog};
use ovsdb::DbSchema;
use ovsdb::json::Json;
use ovsdb::table::{Printer, Style};
use stream::Clock;
use stream::jsonrpc::{CallError, Client};

use stay::Stay;

/// What a command needs.
pub(crate) struct Context {
    /// The server's name.
    server: String,
    /// The database, for commands that take one.
    database: String,
    /// The arguments after server and database.
    args: Vec<String>,
    style: Style,
    timestamp: bool,
    force: bool,
    clock: Clock,
    stay: Stay,
}

type Outcome = Result<ExitCode, String>;

/// Runs the program.
pub fn main() -> ExitCode {
    daemon::init();
    vlog::add_modules(vlog::DAEMON_MODULES);
    vlog::add_modules(vlog::DATABASE_MODULES);
    vlog::add_modules(&["ovsdb_client"]);
    let options = options::parse();
    let outcome = if options.daemon.detaches() && stay::stays(&options.command) {
        stay::run_detached(options)
    } else {
        daemon::tool::run(options.timeout, options::dispatch(options, Stay::default()))
    };
    outcome.unwrap_or_else(|error| program::exit_with(&error))
}

impl Context {
    /// Connects to the server, or to the first of several that answers, which are tried in their order and aloud.
    async fn connect(&self) -> Result<Client, String> {
        let servers: Vec<&str> = self.server.split(',').collect();
        let [server] = servers.as_slice() else {
            for server in servers {
                log::info!(target: "reconnect", "{server}: connecting...");
                match Client::connect(server, &self.clock).await {
                    Ok(client) => {
                        log::info!(target: "reconnect", "{server}: connected");
                        return Ok(client);
                    }
                    Err(error) => {
                        let reason = stream::error_text(&error);
                        log::info!(target: "reconnect", "{server}: connection attempt failed ({reason})");
                    }
                }
            }
            return Err("no servers were available".to_owned());
        };
        let failed = |error: std::io::Error| {
            format!("failed to connect to \"{server}\" ({})", stream::error_text(&error))
        };
        Client::connect(server, &self.clock).await.map_err(failed)
    }

    async fn call(&self, client: &mut Client, method: &str, params: Vec<Json>) -> Result<Json, String> {
        client.call(method, params).await.map_err(|error| match error {
            CallError::Refused(error) => format!("transaction returned error: {error}"),
            CallError::Closed => "transaction failed (End of file)".to_owned(),
        })
    }

    /// The names of the databases that the server offers, in order.
    async fn databases(&self, client: &mut Client) -> Result<Vec<String>, String> {
        let reply = self.call(client, "list_dbs", Vec::new()).await?;
        let names = reply.as_array().ok_or("list_dbs response is not array")?;
        let mut names: Vec<String> = names.iter().filter_map(Json::as_str).map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    /// The schema of the database.
    async fn schema(&self, client: &mut Client) -> Result<DbSchema, String> {
        let json = self.call(client, "get_schema", vec![Json::string(&*self.database)]).await?;
        DbSchema::from_json(&json).map_err(|error| error.to_string())
    }

    fn printer(&self) -> Printer {
        Printer::new(self.style)
    }

    fn print_json(&self, json: &Json) {
        print!("{}", self.json_line(json));
    }

    fn json_line(&self, json: &Json) -> String {
        match self.style.json {
            ovsdb::table::JsonLayout::Pretty => format!("{}\n", json.pretty()),
            ovsdb::table::JsonLayout::Compact => format!("{json}\n"),
        }
    }
}
