//! Files that are gone when this process is: the sockets that it bound, its pid file.
//!
//! Where it sits: `socket` and the daemons' pid files hold theirs as an [`OwnFile`]; whoever ends the process without dropping its
//! values calls [`remove_own`] first.
//!
//! I1  Each file is removed once: a later one of the same name is somebody else's.
//! I2  A process removes only what it has made itself, not what the one that forked it had.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Files that are there, with the process that made them.
static OWN: Mutex<Vec<(u32, PathBuf)>> = Mutex::new(Vec::new());

/// A file that is removed when this is dropped.
#[derive(Debug)]
pub struct OwnFile(PathBuf);

impl OwnFile {
    /// Takes over the file at `path`, which has just been made.
    pub fn new(path: &Path) -> OwnFile {
        let own = (std::process::id(), path.to_owned());
        OWN.lock().unwrap_or_else(PoisonError::into_inner).push(own);
        OwnFile(path.to_owned())
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
        let me = std::process::id();
        if let Some(at) = own.iter().position(|(pid, path)| *pid == me && *path == self.0) {
            own.swap_remove(at);
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

/// Removes every file that this process owns: for ends in which nothing is dropped.
pub fn remove_own() {
    let me = std::process::id();
    for (_, path) in OWN.lock().unwrap_or_else(PoisonError::into_inner).extract_if(.., |(pid, _)| *pid == me)
    {
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_go_once_and_never_those_of_another_process() {
        let folder = std::env::temp_dir().join(format!("own-files-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let make = |name: &str| {
            let path = folder.join(name);
            std::fs::write(&path, "").unwrap();
            path
        };
        let (dropped, kept, parents) = (make("dropped"), make("kept"), make("parents"));
        drop(OwnFile::new(&dropped));
        assert!(!dropped.exists());
        OWN.lock().unwrap().push((0, parents.clone()));
        let file = OwnFile::new(&kept);
        remove_own();
        assert!(!kept.exists() && parents.exists());
        make("kept");
        drop(file);
        assert!(kept.exists());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
