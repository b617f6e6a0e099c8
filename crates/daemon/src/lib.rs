//! What every daemon needs: clock, log, pid file, detaching, run-time control.
