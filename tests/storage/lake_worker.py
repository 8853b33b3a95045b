"""Write to the lake and merge in it until killed; settings by environment.

Says a line when it begins to work and after each step. Every batch and its manifest rows are one
transaction, as a flow commits them; the batch after the last committed one is next, so that a
killed write is written again.
"""

from storage.database import Database
from storage.database.rows import insert_lake_files
from storage.lake.open import open_lake
from storage.settings import Settings
from tests.storage.made_events import batch_of

ROWS = 40


def main() -> None:
    settings = Settings.read()
    lake = open_lake(settings)
    database = Database.open(settings)
    print("go", flush=True)
    while True:
        with database.writer() as tx:
            told = tx.execute(
                "SELECT coalesce(max(last_offset), -1) + 1 FROM lake_files"
            ).fetchone()
        assert told is not None
        at = int(told[0])
        files = lake.write(batch_of("acme", ROWS, first=at * ROWS), "raw", 0, at, at)
        with database.writer() as tx:
            insert_lake_files(tx, files)
        if at % 3 == 2:
            lake.merge(database, "acme", quiet_s=-1)
        if at % 6 == 5:
            lake.compact(database, "acme", grace_s=1)
        print(at, flush=True)


if __name__ == "__main__":
    main()
