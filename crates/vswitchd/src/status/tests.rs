//! Status in, a transaction out.

use super::*;
use crate::testing::{id, replica};

#[test]
fn only_what_differs_is_written() {
    let mut idl = replica(&[
        ("Open_vSwitch", 1, r#"{"cur_cfg":3}"#),
        ("Interface", 4, r#"{"name":"p","ofport":1,"link_state":"up"}"#),
    ]);
    let up = InterfaceStatus { ofport: Some(1), link_state: Some("up"), ..Default::default() };
    let mut status = Status { cur_cfg: Some(3), ..Default::default() };
    status.interfaces.insert(id(4), up.clone());
    status.interfaces.insert(id(99), up);
    let mut txn = Txn::new(idl.replica());
    status.write(id(1), &mut txn);
    idl.commit(txn);
    assert!(idl.poll_outgoing().is_none(), "nothing differs, so nothing is sent");

    status.cur_cfg = Some(4);
    let mut txn = Txn::new(idl.replica());
    status.write(id(1), &mut txn);
    assert_eq!(txn.get("Open_vSwitch", id(1), "cur_cfg").and_then(Datum::single), Some(&Atom::Integer(4)));
    idl.commit(txn);
    assert!(idl.poll_outgoing().is_some());
}
