"""Hold the words, the record, the ledger, the cellar and the keys; every other floor stands on it."""
