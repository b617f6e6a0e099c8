//! Text of messages about queues.
//!
//! Where it sits: `queue-get-config` and `queue-stats`.

use std::fmt::Write;

use super::{Verbosity, duration};
use crate::msg::{ALL_QUEUES, Age, Message, QueueConfig, QueueRequest, QueueStats};
use crate::{Names, OfpPort};

/// Prints the body if it is of this file's; false if not.
pub(super) fn print(out: &mut String, message: &Message, names: &Names, verbosity: Verbosity) -> bool {
    match message {
        Message::QueueConfigRequest(QueueRequest { port, queue }) => {
            let _ = write!(out, " port={}", names.port(*port));
            if *queue != ALL_QUEUES {
                let _ = write!(out, " queue={queue}");
            }
        }
        Message::QueueStatsRequest(QueueRequest { port, queue }) => {
            let _ = write!(out, " port={} queue=", names.port(*port));
            let _ = if *queue == ALL_QUEUES { write!(out, "ALL") } else { write!(out, "{queue}") };
        }
        Message::QueueConfigReply(_, queues) => {
            out.push(' ');
            put_configs(out, queues, names);
        }
        Message::QueueStatsReply(queues) => {
            let _ = writeln!(out, " {} queues", queues.len());
            if verbosity >= Verbosity(1) {
                queues.iter().for_each(|q| stats(out, q, names));
            }
        }
        _ => return false,
    }
    true
}

fn put_configs(out: &mut String, queues: &[QueueConfig], names: &Names) {
    let mut sorted: Vec<&QueueConfig> = queues.iter().collect();
    sorted.sort_by_key(|q| (q.port.to_of10(), q.queue));
    let mut port = OfpPort(0);
    for q in sorted {
        if q.port != port {
            port = q.port;
            let _ = writeln!(out, "port={}", names.port(port));
        }
        put_config(out, q);
    }
}

fn put_config(out: &mut String, q: &QueueConfig) {
    let _ = write!(out, "queue {}:", q.queue);
    for (name, rate) in [("min_rate", q.min_rate), ("max_rate", q.max_rate)] {
        let _ = match rate {
            None => Ok(()),
            Some(rate) if rate <= 1000 => write!(out, " {name}:{}.{}%", rate / 10, rate % 10),
            Some(_) => write!(out, " {name}:(disabled)"),
        };
    }
    out.push('\n');
}

fn stats(out: &mut String, q: &QueueStats, names: &Names) {
    let _ = write!(out, "  port {} queue ", names.port(q.port));
    let _ = if q.queue == ALL_QUEUES { write!(out, "ALL") } else { write!(out, "{}", q.queue) };
    out.push_str(": ");
    for (name, n) in [("bytes", q.tx_bytes), ("pkts", q.tx_packets), ("errors", q.tx_errors)] {
        let _ = if n == u64::MAX { write!(out, "{name}=?, ") } else { write!(out, "{name}={n}, ") };
    }
    out.push_str("duration=");
    if q.duration.sec == Age::UNKNOWN.sec {
        out.push('?');
    } else {
        duration(out, q.duration);
        out.push('s');
    }
    out.push('\n');
}
