"""Hold the SQL of the embedded log; all values are bound.

It stands here and not in `storage/queries`, because it is SQLite's dialect and not the database's.
"""

from typing import Final

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS partitions (
    partition_id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next_offset INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic, partition)
);
CREATE TABLE IF NOT EXISTS messages (
    place INTEGER PRIMARY KEY,
    appended_at_us INTEGER NOT NULL,
    "key" BLOB NOT NULL,
    headers TEXT NOT NULL,
    value BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS offsets (
    consumers TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (consumers, topic, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS members (
    consumers TEXT NOT NULL,
    topic TEXT NOT NULL,
    member TEXT NOT NULL,
    seen_us INTEGER NOT NULL,
    PRIMARY KEY (consumers, topic, member)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS owners (
    consumers TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    member TEXT NOT NULL,
    PRIMARY KEY (consumers, topic, partition)
) WITHOUT ROWID;
"""
PARTITIONS: Final = (
    "SELECT partition_id, next_offset FROM partitions WHERE topic = ? ORDER BY partition"
)
ADD_PARTITION: Final = "INSERT INTO partitions (topic, partition) VALUES (?, ?)"
MOVE_END: Final = "UPDATE partitions SET next_offset = ? WHERE partition_id = ?"
ADD_MESSAGE: Final = "INSERT INTO messages VALUES (?, ?, ?, ?, ?)"
PARTITION: Final = (
    "SELECT partition_id, next_offset FROM partitions WHERE topic = ? AND partition = ?"
)
READ: Final = (
    'SELECT place, appended_at_us, "key", headers, value FROM messages'
    " WHERE place >= ? AND place < ? ORDER BY place LIMIT ?"
)
TOPICS: Final = (
    "SELECT topic, count(*) FROM partitions GROUP BY topic HAVING max(next_offset) > 0 ORDER BY 1"
)
COUNT: Final = "SELECT count(*) FROM partitions WHERE topic = ?"
COMMIT: Final = "INSERT OR REPLACE INTO offsets VALUES (?, ?, ?, ?)"
COMMITTED: Final = (
    "SELECT next_offset FROM offsets WHERE consumers = ? AND topic = ? AND partition = ?"
)
SEEN: Final = "INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?)"
EXPIRE: Final = (
    "DELETE FROM members WHERE consumers = ? AND topic = ? AND seen_us NOT BETWEEN ? AND ?"
)
MEMBERS: Final = "SELECT member, seen_us FROM members WHERE consumers = ? AND topic = ?"
OWNERS: Final = (
    "SELECT partition, member FROM owners JOIN members USING (consumers, topic, member)"
    " WHERE consumers = ? AND topic = ?"
)
DISOWN: Final = "DELETE FROM owners WHERE consumers = ? AND topic = ? AND member = ?"
OWN: Final = "INSERT OR REPLACE INTO owners VALUES (?, ?, ?, ?)"
LEAVE: Final = "DELETE FROM members WHERE consumers = ? AND topic = ? AND member = ?"
FIRST: Final = "SELECT min(place) FROM messages WHERE place >= ? AND place < ?"
TRIM: Final = "DELETE FROM messages WHERE place >= ? AND place < ?"
