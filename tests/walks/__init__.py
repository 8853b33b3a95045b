"""Walk from raw bytes, as products write them, to what an analyst reads."""
