"""Back up and restore a house of some gigabytes; say times, sizes, and that both are equal.

    python -m benchmarks.backup [--gigabytes 5] [--folder FOLDER]

The house: events with text that does not pack, in the lake (nine tenths of the size) and in the hot
table, and their raw messages in the embedded log. The peer is the raw limit: `cp -r` of the same
data folder, and the sync of it. After the restore files and tables were compared by the product
(SHA-256, rows and sums of hashes); here once more, file by file, and an event's row is read.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.lake import DAY_US, FIRST_DAY, batches_of, made
from deploy.backup import back_up, check, restore
from deploy.house import House, opened
from storage.database.commit import copy_events
from storage.database.dialect import ensure_days
from storage.database.rows import insert_lake_files
from storage.log import Record
from storage.settings import Settings
from storage.tenant import Actor, Role, Scope

_ROWS: Final = 65_536
_HOT_OF: Final = 12
"""One of so many files' events lies in the hot table too."""


def _wide(number: int) -> pl.DataFrame:
    """Give events with 1,000 random hex digits each, which pack to a half."""
    times = np.linspace(number * 60_000_000, number * 60_000_000 + DAY_US // 2, _ROWS)
    moments = (FIRST_DAY * DAY_US + times).astype(np.int64)
    frame = made("acme", 1007, moments, 1 + number * _ROWS)
    digits = pl.Series([os.urandom(500).hex() for _ in range(_ROWS)])
    return frame.with_columns(digits.alias("raw_data"))


def fill(house: House, size: int) -> None:
    """Write until the lake's files and what else there is come to the size."""
    house.database.create_tenant("acme", "Acme")
    ensure_days(house.database, [FIRST_DAY, FIRST_DAY + 1])
    written, number = 0, 0
    while written < size * 0.9:
        frame = _wide(number)
        batches = batches_of(frame)
        files = house.lake.write(batches, "raw", 0, number, number)
        with house.database.writer() as tx:
            insert_lake_files(tx, files)
            if number % _HOT_OF == 0:
                for batch in batches:
                    copy_events(tx, batch)
        if number % _HOT_OF == 0:
            raw = frame.get_column("raw_data").to_list()
            for at in range(0, _ROWS, 8192):
                house.log.append(
                    "raw.events", [Record(b"k", v.encode()) for v in raw[at : at + 8192]]
                )
        written += sum(file.size_bytes for file in files)
        number += 1


def _timed(act: Callable[[], Any]) -> tuple[Any, float, float]:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    told = act()
    return told, time.perf_counter() - wall_s, time.process_time() - cpu_s


def _size_of(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())


def _digests(folder: Path) -> dict[str, str]:
    found = {}
    for file in sorted(folder.rglob("*.parquet")):
        with file.open("rb") as handle:
            found[str(file.relative_to(folder))] = hashlib.file_digest(handle, "sha256").hexdigest()
    return found


def _peer(source: Path, to: Path) -> None:
    subprocess.run(["cp", "-r", str(source), str(to)], check=True)
    subprocess.run(["sync", "-f", str(to)], check=True)


def _an_event(settings: Settings) -> int:
    scope = Scope("acme", Actor("user", "bench"), frozenset({Role.ADMIN}))
    with opened(settings) as house, house.database.app(scope) as tx:
        told = tx.execute("SELECT count(*) FROM events").fetchone()
        assert told is not None
        return int(told[0])


def main() -> int:
    """Print the figures; 1 if what comes back is not what there was."""
    parser = argparse.ArgumentParser(description="backup and restore")
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        root = Path(scratch)
        root.chmod(0o711)
        source = Settings(data_dir=root / "house")
        with opened(source) as house:
            _, wall, cpu = _timed(lambda: fill(house, int(given.gigabytes * 1e9)))
            print(f"filled: {_size_of(source.data_dir) / 1e9:.2f} GB in {wall:.0f} s", flush=True)
            told, wall, cpu = _timed(lambda: back_up(source, root / "backup", lambda _: None))
            size = _size_of(root / "backup")
            rows = sum(int(one[0]) for one in told["tables"].values())
            print(
                f"backup: {size / 1e9:.2f} GB, {rows:,} rows, {len(told['files']):,} files in "
                f"{wall:.0f} s ({size / wall / 1e6:.0f} MB/s), {cpu:.0f} CPU-s of ours",
                flush=True,
            )
            events = _an_event(source)
        _, peer_wall, _ = _timed(lambda: _peer(source.data_dir, root / "copy"))
        held = _size_of(root / "copy")
        shutil.rmtree(root / "copy")
        ratio = (held / peer_wall) / (size / wall)
        print(
            f"cp -r and sync of the stopped house: {held / 1e9:.2f} GB in {peer_wall:.0f} s "
            f"({held / peer_wall / 1e6:.0f} MB/s); a backup takes {ratio:.1f} x as long a byte",
            flush=True,
        )
        _, wall, cpu = _timed(lambda: check(root / "backup"))
        print(f"check: {wall:.0f} s, {cpu:.0f} CPU-s", flush=True)
        back = Settings(data_dir=root / "again")
        _, wall, cpu = _timed(lambda: restore(root / "backup", back, lambda _: None))
        print(f"restore: {wall:.0f} s ({size / wall / 1e6:.0f} MB/s), {cpu:.0f} CPU-s", flush=True)
        is_equal = _digests(source.data_dir / "lake") == _digests(back.data_dir / "lake")
        is_equal = is_equal and _an_event(back) == events
        print(f"equal by checksum: {is_equal}; {events:,} events in the hot table")
    return 0 if is_equal else 1


if __name__ == "__main__":
    raise SystemExit(main())
