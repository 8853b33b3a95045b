"""Keep the ledger: PostgreSQL with row-level security, by named queries and one commit.

`Database` opens it (a server by URL, or an embedded one), `queries.select` and `queries.execute`
speak to it, `commit.commit` writes what one step of a flow made, all of it or nothing.
"""

from storage.database.connections import Database

__all__ = ["Database"]
