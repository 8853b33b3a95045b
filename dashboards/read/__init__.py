"""Read what the pages show: named queries and the lake, always by a Scope."""
