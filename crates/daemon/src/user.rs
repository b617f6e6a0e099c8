//! `--user`: the daemon gives up root's rights, but for the capabilities that it names.
//!
//! Where it sits: [`crate::Daemon::start`] calls it before files and sockets are made, while the process has one thread.
//!
//! Spec: ovs-vswitchd(8) and ovsdb-server(1), `--user`; capabilities(7).

use std::io;

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, configure_capability_in_ambient_set, remove_capability_from_bounding_set,
    set_capabilities, set_keep_capabilities, set_thread_gid, set_thread_groups, set_thread_uid,
};

/// Who the daemon is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    name: String,
    uid: u32,
    gid: u32,
}

/// Fields of the line of `name` in a file like /etc/passwd.
fn line_of<'a>(file: &'a str, name: &str) -> Option<Vec<&'a str>> {
    file.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields.first() == Some(&name))
}

impl User {
    /// `USER`, `USER:GROUP` or `USER:` (their own group), looked up in the texts of the system's files.
    fn parse(text: &str, passwd: &str, groups: &str) -> Result<User, String> {
        let (name, group) = text.split_once(':').map_or((text, None), |(name, group)| (name, Some(group)));
        let number = |fields: &[&str], at: usize| fields.get(at).and_then(|n| n.parse().ok());
        let missing = || format!("--user: user {name} not found");
        let fields = line_of(passwd, name).ok_or_else(missing)?;
        let (uid, own) = number(&fields, 2).zip(number(&fields, 3)).ok_or_else(missing)?;
        let gid = match group.filter(|g| !g.is_empty()) {
            None => own,
            Some(group) => line_of(groups, group)
                .and_then(|fields| number(&fields, 2))
                .ok_or_else(|| format!("--user: group {group} not found"))?,
        };
        Ok(User { name: name.to_owned(), uid, gid })
    }

    /// The user of an option's value.
    pub(crate) fn of(text: &str) -> Result<User, String> {
        let read = |path: &str| std::fs::read_to_string(path).map_err(|e| format!("--user: {path}: {e}"));
        User::parse(text, &read("/etc/passwd")?, &read("/etc/group")?)
    }

    /// Becomes this user, with nothing but `keep` of root's rights: programs that it starts have no more either.
    pub(crate) fn become_it(&self, keep: CapabilitySet) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        if geteuid() == uid {
            return Ok(());
        }
        set_keep_capabilities(true)?;
        for capability in CapabilitySet::all().difference(keep).iter() {
            // One that this kernel does not know is not there.
            let _ = remove_capability_from_bounding_set(capability);
        }
        set_thread_groups(&[gid])?;
        set_thread_gid(gid)?;
        set_thread_uid(uid)?;
        set_capabilities(None, CapabilitySets { effective: keep, permitted: keep, inheritable: keep })?;
        for capability in keep.iter() {
            configure_capability_in_ambient_set(capability, true)?;
        }
        log::info!(target: "daemon_unix", "running as user {} with capabilities {keep:?}", self.name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nopenvswitch:x:101:102::/:/bin/false\nbad:x:y:z::/:\n";
    const GROUPS: &str = "root:x:0:\nhugetlbfs:x:50:openvswitch\n";

    fn check(text: &str) -> Result<(u32, u32), String> {
        User::parse(text, PASSWD, GROUPS).map(|user| (user.uid, user.gid))
    }

    #[test]
    fn users_and_groups_are_looked_up() {
        assert_eq!(check("openvswitch"), Ok((101, 102)));
        assert_eq!(check("openvswitch:"), Ok((101, 102)));
        assert_eq!(check("openvswitch:hugetlbfs"), Ok((101, 50)));
        assert_eq!(check("nobody"), Err("--user: user nobody not found".to_owned()));
        assert_eq!(check("bad"), Err("--user: user bad not found".to_owned()));
        assert_eq!(check("root:wheel"), Err("--user: group wheel not found".to_owned()));
    }
}
