"""Make the parts every page is built of: one file a kind of part, accessible names required."""
