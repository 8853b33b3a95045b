"""Turn bytes into events, events into findings, and commit all of it at once."""
