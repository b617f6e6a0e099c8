//! Compaction of database files while clients are served.
//!
//! Where it sits: started by run-time control and, for files that have grown, by `run`; each piece of work runs in a thread of its own, and
//! the server's thread only begins and ends them.
//!
//! I1  Compactions of one file follow each other; those of several files do not wait for one another.
//! I2  A slow or dead disk holds up whoever asked for the compaction, not clients, and not the server's end.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use ovsdb_engine::storage::{Step, Written};
use tokio::sync::{Mutex, oneshot};

use crate::connection::Shared;
use crate::server::Server;

/// Files being compacted, by name.
pub(crate) type Compactions = BTreeMap<String, Rc<Mutex<()>>>;

/// Compacts every database that has grown enough.
pub fn start_due(server: &Shared) {
    for name in server.borrow().due_for_compaction() {
        let server = server.clone();
        tokio::task::spawn_local(async move {
            if let Err(error) = compact(&server, &name, "compacting database online").await {
                log::error!(target: "ovsdb_server", "{error}");
            }
        });
    }
}

/// Compacts a database's file, after whatever compaction of it is under way.
pub async fn compact(server: &Shared, name: &str, comment: &str) -> Result<(), String> {
    let Some((file, turn)) = server.borrow_mut().compaction_turn(name) else { return Ok(()) };
    let result = {
        let _turn = turn.lock().await;
        compact_now(server, name, comment).await
    };
    drop(turn);
    server.borrow_mut().compactions.retain(|known, turn| *known != file || Rc::strong_count(turn) > 1);
    result
}

async fn compact_now(server: &Shared, name: &str, comment: &str) -> Result<(), String> {
    let begin = Instant::now();
    let work = {
        let mut server = server.borrow_mut();
        let now = server.now();
        server.databases.get_mut(name).and_then(|served| served.begin_compaction(comment, now))
    };
    let Some(mut work) = work else { return Ok(()) };
    let begun = begin.elapsed();
    loop {
        let written = in_thread(move || work.run()).await?.map_err(|error| error.to_string())?;
        let resumed = Instant::now();
        match server.borrow_mut().resume_compaction(name, written)? {
            Step::Work(more) => work = more,
            Step::Obsolete => return Ok(()),
            Step::Done => {
                let (took, init, end) = (begin.elapsed(), begun, resumed.elapsed());
                log::info!(
                    target: "ovsdb",
                    "{name}: Database compaction took {}ms (init: {}ms, write: {}ms, thread: {}ms)",
                    took.as_millis(),
                    init.as_millis(),
                    end.as_millis(),
                    took.saturating_sub(init + end).as_millis()
                );
                break;
            }
        }
    }
    let sync =
        server.borrow().databases.get(name).and_then(|served| Some(served.storage.as_ref()?.sync_name()));
    match sync {
        Some(sync) => in_thread(sync).await,
        None => Ok(()),
    }
}

/// Runs `work` in a thread that nobody waits for when the program ends.
async fn in_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().name("compaction".to_owned());
    let spawned = thread.spawn(move || drop(sender.send(work())));
    spawned.map_err(|error| format!("compaction: thread creation failed ({error})"))?;
    receiver.await.map_err(|_| "compaction: thread died".to_owned())
}

impl Server {
    /// The file's name, and whose turn it is to compact it.
    fn compaction_turn(&mut self, name: &str) -> Option<(String, Rc<Mutex<()>>)> {
        let file = self.databases.get(name)?.storage.as_ref()?.name().to_owned();
        let turn = self.compactions.entry(file.clone()).or_default().clone();
        Some((file, turn))
    }

    fn resume_compaction(&mut self, name: &str, written: Written) -> Result<Step, String> {
        match self.databases.get_mut(name).and_then(|served| served.storage.as_mut()) {
            Some(storage) => storage.resume_compaction(written).map_err(|error| error.to_string()),
            None => {
                written.discard();
                Ok(Step::Obsolete)
            }
        }
    }
}
