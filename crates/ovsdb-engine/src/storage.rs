//! Database files: lock, read, append, replace. Compaction beside the serving path is in `compaction`.
//!
//! Where it sits: the only part of this crate that touches files; used by ovsdb-server and ovsdb-tool.
//!
//! I1  A record is written in one piece at the end of the good part of the file before the client gets its reply, so no
//!     acknowledged commit is lost when the process dies. It is forced to disk (fdatasync) as well when the client asked for a durable
//!     commit, so those survive a power failure; the others may then be lost from the end, never from the middle.
//! I2  Writing happens only under the lock file `.NAME.~lock~` beside the database, the one that Open vSwitch's own programs take.
//! I3  Whoever replaces the file writes a temporary one, forces it to disk and renames it; at every instant one whole database has
//!     the name.
//! I4  A torn record at the end is cut off by the next write, not by reading.

mod compaction;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use ovsdb::{DbSchema, Error, Result};
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};

pub use compaction::{Compaction, Step, Written};

use crate::database::Database;
use crate::log::{self, Kind, Reader};
use crate::record::{Unknown, replay};

/// Bytes of a log whose records are handed over together, and how many such batches may wait.
const BATCH: usize = 64 << 10;
const READ_AHEAD: usize = 8;

/// Whether a file is opened for writing too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Reading; needs no lock.
    ReadOnly,
    /// Reading and writing, under the lock.
    ReadWrite,
}

/// The part of an error that the system gave, without Rust's number.
pub fn io_reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(_) => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or_default().to_owned()
        }
        None => error.to_string(),
    }
}

/// An open database file.
#[derive(Debug)]
pub struct Storage {
    name: String,
    path: PathBuf,
    file: Arc<File>,
    _lock: Option<LockFile>,
    /// Where the next record goes.
    end: u64,
    /// Whether something may be behind that.
    torn: bool,
    /// Where the last commit ends that was forced to disk.
    durable_end: u64,
    /// Whether a power failure could still bring the former file back.
    unsynced_name: bool,
    /// Changes when the file does, so that what was begun on another is known.
    identity: Arc<()>,
    /// The file's size when it was last compacted, or opened.
    compacted: u64,
    /// Records since then.
    records: u64,
}

/// What was found in a file.
pub struct Loaded {
    /// The rows.
    pub db: Database,
    /// What is wrong with the file's end; the database is what came before.
    pub damage: Option<Error>,
}

impl Storage {
    /// Makes a new file that holds an empty database.
    pub fn create(name: &str, schema: &DbSchema) -> Result<Storage> {
        let lock = LockFile::take(Path::new(name))?;
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create_new(true).mode(0o640).open(name);
        let file = opened.map_err(|e| Error::io(format!("{name}: create failed"), io_reason(&e)))?;
        let mut storage = Storage::new(name, PathBuf::from(name), file, Some(lock), 0);
        storage.append(&schema.to_json().to_string())?;
        storage.sync()?;
        sync_directory(&storage.path);
        storage.compacted = storage.end;
        storage.records = 0;
        Ok(storage)
    }

    fn new(name: &str, path: PathBuf, file: File, lock: Option<LockFile>, end: u64) -> Storage {
        let (file, identity, name) = (Arc::new(file), Arc::default(), name.to_owned());
        Storage {
            name,
            path,
            file,
            _lock: lock,
            end,
            torn: true,
            durable_end: 0,
            unsynced_name: false,
            identity,
            compacted: end,
            records: 0,
        }
    }

    /// The contents of a standalone database file.
    pub fn read(name: &str) -> Result<Vec<u8>> {
        let data = fs::read(name).map_err(|e| Error::io(format!("{name}: open failed"), io_reason(&e)))?;
        match log::identify(&data, name)? {
            Kind::Standalone => Ok(data),
            Kind::Clustered => {
                let details = format!(
                    "{name}: clustered databases are not supported; use ovsdb-tool \
                                       cluster-to-standalone of Open vSwitch to convert it"
                );
                Err(Error::new("not supported", details))
            }
        }
    }

    /// Opens a file and replays what is in it.
    pub fn open(name: &str, mode: Mode, unknown: Unknown) -> Result<(Storage, Loaded)> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(mode == Mode::ReadWrite);
        // Before the lock, so that a wrong name leaves no lock file behind.
        let open =
            || options.open(name).map_err(|e| Error::io(format!("{name}: open failed"), io_reason(&e)));
        drop(open()?);
        let lock = match mode {
            Mode::ReadWrite => Some(LockFile::take(Path::new(name))?),
            Mode::ReadOnly => None,
        };
        let data = Storage::read(name)?;
        let (loaded, end) = load(&data, name, None, unknown)?;
        let path = fs::canonicalize(name).unwrap_or_else(|_| PathBuf::from(name));
        Ok((Storage::new(name, path, open()?, lock, end as u64), loaded))
    }

    /// The name that the user gave.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the file that users call `name` is this one.
    pub fn is_file(&self, name: &str) -> bool {
        fs::canonicalize(name).is_ok_and(|path| path == self.path)
    }

    /// Writes a record at the end.
    pub fn append(&mut self, record: &str) -> Result<()> {
        let bytes = log::encode(record);
        if let Err(error) = self.write_at_end(&bytes) {
            // Half a record must not be in the way of the next one. If this fails too, the next write tries again.
            self.torn = self.file.set_len(self.end).is_err();
            return Err(Error::io(format!("{}: write failed", self.name), io_reason(&error)));
        }
        self.end += bytes.len() as u64;
        self.records += 1;
        Ok(())
    }

    fn write_at_end(&mut self, bytes: &[u8]) -> io::Result<()> {
        // I4: what is behind the good part goes away first.
        if self.torn {
            self.file.set_len(self.end)?;
            self.torn = false;
        }
        self.file.write_all_at(bytes, self.end)
    }

    /// Forces what was written to disk.
    pub fn sync(&mut self) -> Result<()> {
        let synced = self.file.sync_data();
        synced.map_err(|e| Error::io(format!("{}: fsync failed", self.name), io_reason(&e)))?;
        self.durable_end = self.end;
        if std::mem::take(&mut self.unsynced_name) {
            sync_directory(&self.path);
        }
        Ok(())
    }

    /// Whether the file has grown so much that compaction pays: past 10 MiB and twice what it was after the last one.
    pub fn grew_lots(&self) -> bool {
        self.end > 10 << 20 && self.end / 2 > self.compacted
    }

    /// Records written since the file was opened or compacted.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Replaces the file by one with this schema and this one record, before returning.
    pub fn replace(&mut self, schema: &DbSchema, contents: Option<&String>) -> Result<()> {
        let temporary = self.beside(".convert.tmp");
        let written = write_whole(&temporary, &self.file, schema, contents);
        let (file, len) = written.and_then(|(file, len)| self.take_name(&temporary).map(|()| (file, len)))?;
        sync_directory(&self.path);
        self.switch_to(file, len, len);
        Ok(())
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!("{name}{suffix}"))
    }

    /// Gives `temporary` the database's name; if that fails it is gone.
    fn take_name(&self, temporary: &Path) -> Result<()> {
        fs::rename(temporary, &self.path).map_err(|error| {
            let _ = fs::remove_file(temporary);
            let details =
                format!("failed to rename \"{}\" to \"{}\"", temporary.display(), self.path.display());
            Error::io(details, io_reason(&error))
        })
    }

    fn switch_to(&mut self, file: File, end: u64, compacted: u64) {
        (self.file, self.end, self.compacted) = (Arc::new(file), end, compacted);
        (self.records, self.durable_end) = (0, 0);
        (self.torn, self.identity) = (true, Arc::default());
    }
}

/// Writes a file with this schema and this one record, with the permissions of `model`, and forces it to disk. If that fails there
/// is no such file.
fn write_whole(
    path: &Path,
    model: &File,
    schema: &DbSchema,
    contents: Option<&String>,
) -> Result<(File, u64)> {
    let mut bytes = log::encode(&schema.to_json().to_string());
    bytes.extend(contents.map(|contents| log::encode(contents)).unwrap_or_default());
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(true).mode(0o640).open(path)?;
        file.set_permissions(model.metadata()?.permissions())?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        Ok(file)
    };
    match write() {
        Ok(file) => Ok((file, bytes.len() as u64)),
        Err(error) => {
            let _ = fs::remove_file(path);
            Err(Error::io(format!("{}: write failed", path.display()), io_reason(&error)))
        }
    }
}

/// A rename is durable only once its directory is. Some file systems refuse; the data itself is on disk by then.
fn sync_directory(path: &Path) {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
}

/// Replays a file's contents, under its own schema or a given one. Also says where the good part ends.
pub fn load(data: &[u8], name: &str, schema: Option<DbSchema>, unknown: Unknown) -> Result<(Loaded, usize)> {
    let mut reader = Reader::new(data, name);
    let own = match reader.next() {
        Some(record) => DbSchema::from_json(&record?)?,
        None => {
            return Err(Error::new("syntax error", format!("{name}: unexpected end of file reading schema")));
        }
    };
    let schema = schema.unwrap_or(own);
    let (first, mut end, mut damage) = (reader.offset(), data.len(), None);
    let mut db = Database::new(schema.clone());
    while let Err((offset, error)) = replay_all(&mut db, &data[..end], name, first, unknown) {
        // The record that failed may be half in: once more without it.
        (end, damage) = (offset, Some(error));
        db = Database::new(schema.clone());
    }
    db.build_books();
    Ok((Loaded { db, damage }, end))
}

/// Repeats all records from `first` on; an error comes with the offset of its record. Records are read ahead by another thread.
fn replay_all(
    db: &mut Database,
    data: &[u8],
    name: &str,
    first: usize,
    unknown: Unknown,
) -> std::result::Result<(), (usize, Error)> {
    std::thread::scope(|scope| {
        let (sender, batches) = mpsc::sync_channel(READ_AHEAD);
        scope.spawn(move || {
            let mut reader = Reader::new(data, name);
            reader.skip_to(first);
            let mut ended = false;
            while !ended {
                let mut batch = Vec::new();
                let begin = reader.offset();
                while !ended && reader.offset() - begin < BATCH {
                    let offset = reader.offset();
                    match reader.next() {
                        Some(record) => {
                            ended = record.is_err();
                            batch.push((offset, record));
                        }
                        None => ended = true,
                    }
                }
                if sender.send(batch).is_err() {
                    break;
                }
            }
        });
        for (offset, record) in batches.iter().flatten() {
            record.and_then(|record| replay(db, &record, unknown)).map_err(|error| (offset, error))?;
        }
        Ok(())
    })
}

/// The lock that keeps other programs from writing the same database.
#[derive(Debug)]
pub struct LockFile {
    _file: File,
}

/// Locks that this process has taken.
static LOCKED: AtomicU64 = AtomicU64::new(0);

/// How many locks of databases this process has taken so far.
pub fn locks_taken() -> u64 {
    LOCKED.load(Ordering::Relaxed)
}

/// Says who has the lock of `database`, which is at `path`.
fn warn_of_holder(database: &Path, path: &Path, file: &File) {
    let shown = match fs::read_link(database) {
        Ok(_) => path.to_owned(),
        Err(_) => database.with_file_name(path.file_name().unwrap_or_default()),
    };
    let lock = Flock::from(FlockType::WriteLock);
    if let Ok(Some(Flock { pid: Some(pid), .. })) = fcntl_getlk(file, &lock) {
        let shown = shown.display();
        ::log::warn!(target: "lockfile", "{shown}: cannot lock file because it is already locked by pid {pid}");
    }
}

impl LockFile {
    /// The lock file's path: a hidden file beside the database.
    pub fn path_of(database: &Path) -> PathBuf {
        let target = fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
        let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        target.with_file_name(format!(".{name}.~lock~"))
    }

    /// Takes the lock of a database, or says who has it.
    pub fn take(database: &Path) -> Result<LockFile> {
        let path = LockFile::path_of(database);
        let failed = |error: &io::Error| {
            Error::io(format!("{}: failed to lock lockfile", database.display()), io_reason(error))
        };
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|error| failed(&error))?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                LOCKED.fetch_add(1, Ordering::Relaxed);
                Ok(LockFile { _file: file })
            }
            Err(_) => {
                warn_of_holder(database, &path, &file);
                Err(failed(&Errno::AGAIN.into()))
            }
        }
    }
}
