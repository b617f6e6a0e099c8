//! OVSDB's engine: tables, transactions, constraints, monitors and log files.
