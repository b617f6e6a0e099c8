"""Replicates a database with python's ovs.db.idl, as told: a JSON array a line on standard input, and one of one element in answer.

Values are in OVSDB's notation (RFC 7047, 5.1) both ways.
"""

import json
import sys
import time
import uuid

import ovs.db.custom_index
import ovs.db.data
import ovs.db.error
import ovs.db.idl
import ovs.poller

PATIENCE = 30


def atom_out(value):
    # Some defaults come wrapped, and wrapped twice.
    while isinstance(value, ovs.db.data.Atom):
        value = value.value
    identity = getattr(value, "uuid", value)
    return ["uuid", str(identity)] if isinstance(identity, uuid.UUID) else value


def datum_out(value):
    if isinstance(value, dict):
        return ["map", [[atom_out(k), atom_out(v)] for k, v in value.items()]]
    if isinstance(value, list):
        return ["set", [atom_out(v) for v in value]]
    return ["set", []] if value is None else atom_out(value)


def column_out(row, column):
    """The value of a column; None where ovs.db.idl fails, at the default of a map that must not be empty."""
    try:
        return datum_out(getattr(row, column))
    except ovs.db.error.Error:
        return None


class Replica:
    def __init__(self, remote, schema, indexes, lock):
        helper = ovs.db.idl.SchemaHelper(schema_json=schema)
        helper.register_all()
        self.idl = ovs.db.idl.Idl(remote, helper)
        self.idl.set_lock(lock)
        for table, columns in indexes.items():
            index = self.idl.index_create(table, "by")
            for column in columns:
                index.add_column(column)

    def close(self):
        self.idl.close()

    def reconnect(self):
        self.idl.force_reconnect()

    def condition(self, tables):
        for table, clauses in tables.items():
            self.idl.cond_change(table, clauses)

    def until(self, marker, locked):
        """Waits until the row of the table Marker has this number, conditions are in force, and the lock is had, or not."""

        def done():
            tables = self.idl.tables
            in_force = all(t.condition_state.acked == t.condition_state.latest for t in tables.values())
            if locked not in (None, self.idl.has_lock):
                return False
            return in_force and [row.n for row in tables["Marker"].rows.values()] == [marker]

        end = time.time() + PATIENCE
        while True:
            self.idl.run()
            if done():
                return None
            if time.time() > end:
                return "waited in vain for %d: %s" % (marker, self.rows()["Marker"])
            poller = ovs.poller.Poller()
            self.idl.wait(poller)
            poller.timer_wait(1000)
            poller.block()

    def rows(self):
        return {
            name: {
                str(identity): {column: column_out(row, column) for column in table.columns}
                for identity, row in table.rows.items()
            }
            for name, table in self.idl.tables.items()
        }

    def find(self, table, values):
        """Rows by the index of a table."""
        template = ovs.db.custom_index.IndexEntryClass(self.idl.tables[table])(**values)
        return sorted(str(row.uuid) for row in self.idl.index_equal(table, "by", template))

    # Transactions.

    def atom_in(self, value):
        if not isinstance(value, list):
            return value
        identity = self.new.get(value[1]) or uuid.UUID(value[1])
        for table in self.idl.tables.values():
            if identity in table.rows:
                return table.rows[identity]
        return identity

    def datum_in(self, value):
        if isinstance(value, list) and value[0] == "map":
            return {self.atom_in(k): self.atom_in(v) for k, v in value[1]}
        if isinstance(value, list) and value[0] == "set":
            return [self.atom_in(v) for v in value[1]]
        return self.atom_in(value)

    def compose(self, steps):
        """Prepares a transaction of [method, table, row, column, value], of which the last ones may be missing."""
        self.new = {}
        self.increments = any(step[0] == "increment" for step in steps)
        self.txn = ovs.db.idl.Transaction(self.idl)
        for method, table, identity, *rest in steps:
            table = self.idl.tables[table]
            if method == "insert":
                self.new[identity] = self.txn.insert(table).uuid
                continue
            row = table.rows[self.new.get(identity) or uuid.UUID(identity)]
            if method == "set":
                setattr(row, rest[0], self.datum_in(rest[1]))
            else:
                getattr(row, method)(*rest)

    def commit(self):
        status = self.txn.commit_block()
        inserted, incremented = {}, None
        if status == ovs.db.idl.Transaction.SUCCESS:
            made = {given: self.txn.get_insert_uuid(own) for given, own in self.new.items()}
            inserted = {given: str(stored) for given, stored in made.items() if stored}
            incremented = self.txn.get_increment_new_value() if self.increments else None
        return [status, inserted, incremented, self.txn.get_error()]


def answer(order):
    method, *arguments = order
    if method == "open":
        global replica
        replica = Replica(*arguments)
        return None
    return getattr(replica, method)(*arguments)


for line in sys.stdin:
    try:
        print(json.dumps([answer(json.loads(line))]), flush=True)
    except Exception as error:
        sys.exit("%s: %s" % (type(error).__name__, error))
