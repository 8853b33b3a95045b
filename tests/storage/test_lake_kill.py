"""Whatever is killed while it writes or merges, the lake holds each committed event once."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storage.database import Database
from storage.lake import Lake
from storage.lake.open import open_lake
from storage.settings import Settings
from storage.tenant import Scope
from tests.bucket import environment, served
from tests.shared import ROOT
from tests.storage.lake_worker import ROWS

KILLS = 3


def _kill_at_random(env: dict[str, str], chance: random.Random) -> None:
    words = [sys.executable, "-m", "tests.storage.lake_worker"]
    worker = subprocess.Popen(words, env=os.environ | env, cwd=ROOT, stdout=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"go\n"
    began = time.monotonic()
    steps = chance.randint(1, 6)
    for _ in range(steps):
        assert worker.stdout.readline()
    time.sleep(chance.uniform(0, 2) * (time.monotonic() - began) / steps)
    assert worker.poll() is None
    worker.kill()
    worker.wait()
    worker.stdout.close()


def _check(lake: Lake, database: Database, scope: Scope) -> int:
    with database.writer() as tx:
        told = tx.execute("SELECT coalesce(max(last_offset), -1) + 1 FROM lake_files").fetchone()
    assert told is not None
    found = lake.scan(database, scope).collect()
    assert sorted(found["position"]) == list(range(told[0] * ROWS))
    return int(told[0])


def _campaign(settings: Settings, env: dict[str, str], database: Database, scope: Scope) -> Lake:
    env = env | {
        "INOPSIO_DATABASE_URL": settings.database_url.reveal(),
        "INOPSIO_DATA_DIR": str(settings.data_dir),
    }
    lake = open_lake(Settings.read(env))
    chance = random.Random(7)
    written = 0
    for _ in range(int(os.environ.get("INOPSIO_TEST_KILLS", KILLS))):
        _kill_at_random(env, chance)
        written = _check(lake, database, scope)
    assert written > KILLS
    with database.writer() as tx:
        merged = tx.execute("SELECT count(*) FROM lake_files WHERE partition = -1").fetchone()
    assert merged is not None
    assert merged[0] > 0
    time.sleep(1.1)  # an object store tells ages in seconds
    for _ in range(2):
        lake.compact(database, "acme", grace_s=0)
    assert _check(lake, database, scope) == written
    return lake


def _listed(database: Database) -> list[str]:
    with database.writer() as tx:
        return sorted(str(path) for (path,) in tx.execute("SELECT path FROM lake_files"))


def test_a_folder_whose_worker_is_killed_loses_and_doubles_nothing(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    lake = _campaign(settings, {}, database, two_tenants[0])
    files = [p.relative_to(lake.root).as_posix() for p in lake.root.rglob("*") if p.is_file()]
    assert sorted(files) == _listed(database)


def test_a_bucket_whose_worker_is_killed_loses_and_doubles_nothing(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope], tmp_path: Path
) -> None:
    obstore = pytest.importorskip("obstore")
    with served() as address:
        lake = _campaign(settings, environment(address, "killed"), database, two_tenants[0])
        store = lake.store._store  # type: ignore[attr-defined]
        time.sleep(1.1)
        lake.store.sweep("acme", set(_listed(database)), 0)
        objects = [one["path"] for page in obstore.list(store) for one in page]
    assert sorted(objects) == _listed(database)
