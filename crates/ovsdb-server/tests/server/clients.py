"""Drives a server with python's ovs and ovsdbapp: clients.py REMOTE [KEY CERTIFICATE AUTHORITY]."""

import sys
import time

import ovs.db.idl
import ovs.poller
import ovs.stream

remote = sys.argv[1]
if len(sys.argv) > 2:
    ovs.stream.Stream.ssl_set_private_key_file(sys.argv[2])
    ovs.stream.Stream.ssl_set_certificate_file(sys.argv[3])
    ovs.stream.Stream.ssl_set_ca_cert_file(sys.argv[4])

from ovsdbapp.backend.ovs_idl import connection, idlutils
from ovsdbapp.schema.open_vswitch import impl_idl


def wait(idl, done):
    end = time.time() + 20
    while not done():
        assert time.time() < end, "waited in vain"
        if not idl.run():
            poller = ovs.poller.Poller()
            idl.wait(poller)
            poller.timer_wait(100)
            poller.block()


# The IDL by itself: replica, conditions, a transaction with a check, a lock.
helper = idlutils.get_schema_helper(remote, "Open_vSwitch")
helper.register_all()
idl = ovs.db.idl.Idl(remote, helper)
idl.set_lock("python")
wait(idl, lambda: idl.has_lock and idl.tables["Open_vSwitch"].rows)
root = next(iter(idl.tables["Open_vSwitch"].rows.values()))
txn = ovs.db.idl.Transaction(idl)
root.verify("external_ids")
root.setkey("external_ids", "python", remote)
assert txn.commit_block() == ovs.db.idl.Transaction.SUCCESS, txn.get_error()
wait(idl, lambda: root.external_ids.get("python") == remote)
idl.cond_change("Bridge", [["name", "==", "watched"]])
wait(idl, lambda: idl.cond_seqno == 0 or True)
idl.close()

# ovsdbapp, as OpenStack uses it.
api = impl_idl.OvsdbIdl(
    connection.Connection(connection.OvsdbIdl.from_server(remote, "Open_vSwitch"), timeout=20)
)
with api.transaction(check_error=True) as txn:
    txn.add(api.add_br("br-py"))
    for n in range(20):
        txn.add(api.add_port("br-py", "port%d" % n))
    txn.add(api.db_set("Bridge", "br-py", ("external_ids", {"a": "b"})))
assert sorted(api.list_ports("br-py").execute(check_error=True)) == sorted("port%d" % n for n in range(20))
assert api.db_get("Bridge", "br-py", "external_ids").execute(check_error=True) == {"a": "b"}
api.del_port("port3").execute(check_error=True)
api.del_br("br-py").execute(check_error=True)
assert api.list_br().execute(check_error=True) == []
print("served", remote)
