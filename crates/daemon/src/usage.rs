//! What `--help` says of things that many programs share: connections, becoming a daemon, the log.
//!
//! Where it sits: each program's usage text is put together of these, `tls::USAGE` and its own.

use crate::{pidfile, program, vlog};

/// Names of connections that a program makes; it calls their other end `what`.
pub fn active_connections(what: &str) -> String {
    format!(
        "\
Active {what} connection methods:
  tcp:HOST:PORT           PORT at remote HOST
  ssl:HOST:PORT           SSL/TLS PORT at remote HOST
  unix:FILE               Unix domain socket named FILE
"
    )
}

/// Names of connections that a program waits for.
pub fn passive_connections(what: &str) -> String {
    format!(
        "\
Passive {what} connection methods:
  ptcp:PORT[:IP]          listen to TCP PORT on IP
  pssl:PORT[:IP]          listen for SSL/TLS on PORT on IP
  punix:FILE              listen on Unix domain socket FILE
"
    )
}

/// The options of `daemon::OPTIONS`.
pub fn daemon() -> String {
    let pidfile = pidfile::default_path(program::name());
    format!(
        "\
Daemon options:
  --detach                run in background as daemon
  --monitor               creates a process to monitor this daemon
  --user=username[:group] run as this user, with the capabilities that are needed
  --no-chdir              do not chdir to '/'
  --pidfile[=FILE]        create pidfile (default: {})
  --overwrite-pidfile     with --pidfile, start even if already running
",
        pidfile.display()
    )
}

/// The options of `vlog::OPTIONS`.
pub fn logging() -> String {
    format!(
        "\
Logging options:
  -vSPEC, --verbose=SPEC   set logging levels
  -v, --verbose            set maximum verbosity level
  --log-file[=FILE]        enable logging to specified FILE
                           (default: {})
  --syslog-method=(libc|unix:file|udp:ip:port)
                           how the syslog daemon is reached
  --syslog-target=HOST:PORT  send lines to HOST:PORT by UDP as well
",
        vlog::default_log_file().display()
    )
}
