//! Compaction beside the serving path: a file without its history takes the place of the one in use.
//!
//! Where it sits: `Storage` begins and ends it in the serving thread; what takes long, `Compaction::run`, is for another one.
//!
//! ~~~text
//! begin: rows are frozen, their place in the log noted ─► run: rows into a temporary file ─► resume ─► run: commits since then ─► …
//!                                                                                              │ little is left
//!                                                                                              ▼
//!                                                                                 the rest is copied, the file renamed
//! ~~~
//! I1  Commits go on into the old file; what it has beyond the frozen rows is copied from there, so nothing waits in memory and nothing
//!     is lost whenever the process dies.
//! I2  The serving thread copies `REST` bytes at the most, unless commits outrun `ROUNDS` rounds of copying. It waits for the disk only if
//!     one of those commits is durable.
//! I3  A compaction of a file that is no longer in use, because a conversion replaced it, leaves nothing behind.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use ovsdb::{DbSchema, Error, Result};

use super::{Storage, io_reason, sync_directory, write_whole};
use crate::database::Database;
use crate::record::Frozen;

/// What may be left to copy for the serving thread.
const REST: u64 = 256 << 10;
/// How often commits that came meanwhile are copied by the other thread.
const ROUNDS: u32 = 20;
/// What is copied at a time.
const CHUNK: usize = 1 << 20;

/// Work for another thread.
pub struct Compaction {
    work: Work,
    /// The file in use, which commits go on into.
    source: Arc<File>,
    identity: Arc<()>,
    temporary: PathBuf,
    rounds: u32,
}

enum Work {
    Rows { schema: Arc<DbSchema>, rows: Frozen, comment: String, date_ms: i64, from: u64 },
    Commits { target: File, from: u64, to: u64, compacted: u64, end: u64 },
}

/// A file that has everything up to some place in the log.
pub struct Written {
    target: File,
    /// How much of the log it has.
    from: u64,
    /// Its size, and what that was without commits that came meanwhile.
    end: u64,
    compacted: u64,
    source: Arc<File>,
    identity: Arc<()>,
    temporary: PathBuf,
    rounds: u32,
}

/// What comes after a piece of work.
pub enum Step {
    /// More of it.
    Work(Compaction),
    /// Nothing: the new file is in use.
    Done,
    /// Nothing: the file was replaced meanwhile.
    Obsolete,
}

impl Compaction {
    /// Does the work.
    pub fn run(self) -> Result<Written> {
        let Compaction { work, source, identity, temporary, rounds } = self;
        let (target, from, end, compacted) = match work {
            Work::Rows { schema, rows, comment, date_ms, from } => {
                let contents = rows.compose(&comment, date_ms);
                let (target, len) = write_whole(&temporary, &source, &schema, contents.as_ref())?;
                (target, from, len, len)
            }
            Work::Commits { target, from, to, compacted, end } => {
                let copied = copy(&source, from..to, &target, end).and_then(|()| target.sync_data()).map_err(
                    |error| {
                        let _ = fs::remove_file(&temporary);
                        Error::io(format!("{}: write failed", temporary.display()), io_reason(&error))
                    },
                );
                copied.map(|()| (target, to, end + (to - from), compacted))?
            }
        };
        Ok(Written { target, from, end, compacted, source, identity, temporary, rounds })
    }
}

fn copy(source: &File, range: std::ops::Range<u64>, target: &File, mut at: u64) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK.min((range.end - range.start) as usize)];
    let mut from = range.start;
    while from < range.end {
        let n = buffer.len().min((range.end - from) as usize);
        source.read_exact_at(&mut buffer[..n], from)?;
        target.write_all_at(&buffer[..n], at)?;
        (from, at) = (from + n as u64, at + n as u64);
    }
    Ok(())
}

impl Storage {
    /// Begins to replace the file by one that holds `db` without its history. Only one compaction of a file may be under way.
    pub fn begin_compaction(&self, db: &Database, comment: &str, date_ms: i64) -> Compaction {
        let (schema, rows) = (db.schema.clone(), Frozen::new(db));
        Compaction {
            work: Work::Rows { schema, rows, comment: comment.to_owned(), date_ms, from: self.end },
            source: self.file.clone(),
            identity: self.identity.clone(),
            temporary: self.beside(".tmp"),
            rounds: 0,
        }
    }

    /// Goes on after a piece of work.
    pub fn resume_compaction(&mut self, written: Written) -> Result<Step> {
        let Written { target, from, end, compacted, source, identity, temporary, rounds } = written;
        if !Arc::ptr_eq(&identity, &self.identity) {
            let _ = fs::remove_file(&temporary);
            return Ok(Step::Obsolete);
        }
        if self.end - from > REST && rounds < ROUNDS {
            let work = Work::Commits { target, from, to: self.end, compacted, end };
            return Ok(Step::Work(Compaction { work, source, identity, temporary, rounds: rounds + 1 }));
        }
        let rest = copy(&source, from..self.end, &target, end).and_then(|()| match self.durable_end > from {
            true => target.sync_data(),
            false => Ok(()),
        });
        if let Err(error) = rest {
            let _ = fs::remove_file(&temporary);
            return Err(Error::io(format!("{}: write failed", temporary.display()), io_reason(&error)));
        }
        self.take_name(&temporary)?;
        let end = end + (self.end - from);
        self.switch_to(target, end, compacted);
        self.unsynced_name = true;
        Ok(Step::Done)
    }

    /// The directory's part of a compaction, for another thread: until then a power failure brings back the old file, which has every
    /// commit up to the renaming.
    pub fn sync_name(&self) -> impl FnOnce() + Send + 'static {
        let path = self.path.clone();
        move || sync_directory(&path)
    }
}

impl Written {
    /// Gives up.
    pub fn discard(self) {
        let _ = fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use ovsdb::json;
    use testkit::Scratch;

    use super::*;
    use crate::record::{Columns, Unknown, compose};
    use crate::storage::Mode;
    use crate::{Access, Outcome, Request, Waiting, execute};

    const SCHEMA: &str = r#"{"name":"D","version":"1.0.0","tables":{"T":{"columns":{"n":{"type":"integer"},
        "text":{"type":"string"}},"isRoot":true}}}"#;

    fn schema() -> DbSchema {
        DbSchema::from_json(&json::parse(SCHEMA.as_bytes()).unwrap()).unwrap()
    }

    /// A database with its file, which commits rows.
    struct Rows {
        folder: Scratch,
        storage: Storage,
        db: Database,
        next: i64,
    }

    impl Rows {
        fn new() -> Rows {
            let folder = Scratch::new();
            let storage = Storage::create(folder.join("db").to_str().unwrap(), &schema()).unwrap();
            Rows { folder, storage, db: Database::new(schema()), next: 0 }
        }

        fn commit(&mut self, text: &str) {
            self.next += 1;
            let insert = format!(
                r#"[{{"op":"insert","table":"T","row":{{"n":{},"text":"{text}"}}}},{{"op":"delete","table":"T","where":[["n","==",{}]]}}]"#,
                self.next,
                self.next - 3
            );
            let operations = json::parse(insert.as_bytes()).unwrap();
            let request = Request {
                operations: operations.as_array().unwrap(),
                access: Access::ReadWrite,
                waiting: Waiting::Impossible,
                owns_lock: &|_| false,
            };
            let mut id = self.next as u128 * 1000;
            let mut uuid = || {
                id += 1;
                ovsdb::Uuid(id)
            };
            let Outcome::Done { prepared: Some(prepared), .. } = execute(&mut self.db, &request, &mut uuid)
            else {
                panic!("not done")
            };
            let record = compose(prepared.db(), prepared.changes(), "", 0, Columns::Diff).unwrap();
            self.storage.append(&record).unwrap();
            prepared.commit();
        }

        /// What the file says must be what the memory says, at any time.
        fn check(&self) {
            let (_, loaded) =
                Storage::open(self.folder.join("db").to_str().unwrap(), Mode::ReadOnly, Unknown::Refuse)
                    .unwrap();
            assert!(loaded.damage.is_none());
            let rows = |db: &Database| {
                let mut rows: Vec<_> =
                    db.tables[0].rows.values().map(|row| row.fields[2..].to_vec()).collect();
                rows.sort_by(|a, b| a[0].cmp(&b[0]));
                rows
            };
            assert_eq!(rows(&loaded.db), rows(&self.db));
        }
    }

    #[test]
    fn commits_meanwhile_are_kept_whichever_step_they_fall_on() {
        let long = "x".repeat(REST as usize / 2);
        for durable in [false, true] {
            let mut rows = Rows::new();
            (0..10).for_each(|_| rows.commit("before"));
            let mut work = rows.storage.begin_compaction(&rows.db, "c", 0);
            let mut steps = 0;
            loop {
                steps += 1;
                // Enough for another round, three times; then a few more.
                (0..if steps < 4 { 3 } else { 1 }).for_each(|_| rows.commit(&long));
                if durable {
                    rows.storage.sync().unwrap();
                }
                rows.check();
                let written = work.run().unwrap();
                rows.commit("between");
                rows.check();
                match rows.storage.resume_compaction(written).unwrap() {
                    Step::Work(more) => work = more,
                    Step::Done => break,
                    Step::Obsolete => panic!("nothing replaced the file"),
                }
            }
            assert!(steps >= 4, "{steps}");
            rows.check();
            rows.commit("after");
            rows.storage.sync().unwrap();
            rows.check();
            let names = fs::read_dir(rows.folder.path()).unwrap().map(|e| e.unwrap().file_name());
            assert!(!names.into_iter().any(|name| name.to_string_lossy().ends_with(".tmp")));
        }
    }

    /// Commits that outrun the copying do not make it endless.
    #[test]
    fn rounds_are_limited() {
        let long = "x".repeat(2 * REST as usize);
        let mut rows = Rows::new();
        let mut work = rows.storage.begin_compaction(&rows.db, "c", 0);
        for _ in 0..=ROUNDS {
            let written = work.run().unwrap();
            rows.commit(&long);
            match rows.storage.resume_compaction(written).unwrap() {
                Step::Work(more) => work = more,
                _ => return rows.check(),
            }
        }
        panic!("no end");
    }

    #[test]
    fn a_replaced_file_stays() {
        let mut rows = Rows::new();
        rows.commit("a");
        let work = rows.storage.begin_compaction(&rows.db, "c", 0);
        let contents = crate::record::snapshot(&rows.db, "converted", 0);
        rows.storage.replace(&schema(), contents.as_ref()).unwrap();
        let written = work.run().unwrap();
        rows.commit("b");
        assert!(matches!(rows.storage.resume_compaction(written).unwrap(), Step::Obsolete));
        rows.check();
        assert!(!rows.folder.join("db.tmp").exists());
    }

    #[test]
    fn failure_leaves_the_file_in_use() {
        let mut rows = Rows::new();
        rows.commit("a");
        fs::create_dir(rows.folder.join("db.tmp")).unwrap();
        assert!(rows.storage.begin_compaction(&rows.db, "c", 0).run().is_err());
        rows.commit("b");
        rows.check();
    }
}
