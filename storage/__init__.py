"""Hold the words, the record, the ledger, the cellar and the keys: the ground floor."""
