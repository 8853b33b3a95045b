"""The lake in an S3-compatible store does what the lake in a folder does; moto is the store."""

from collections.abc import Iterator
from pathlib import Path

import obstore
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from storage.database import Database
from storage.database.rows import insert_lake_files
from storage.errors import InvalidInput, Overloaded, Unavailable
from storage.lake import HuntLimits, Lake
from storage.lake.bucket import BucketStore, open_bucket
from storage.lake.open import open_lake
from storage.settings import Secret, Settings
from storage.tenant import Scope
from tests.bucket import SECRET, environment, served
from tests.storage.made_events import START, batch_of

START_US = int(START.timestamp()) * 1_000_000
BUCKETS = iter(range(100))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with served() as address:
        yield address


@pytest.fixture
def there(server: str, tmp_path: Path) -> dict[str, str]:
    return environment(server, f"bucket{next(BUCKETS)}") | {"INOPSIO_DATA_DIR": str(tmp_path)}


@pytest.fixture
def lake(there: dict[str, str]) -> Iterator[Lake]:
    made = open_lake(Settings.read(there))
    yield made
    made.close()


def _filled(lake: Lake, database: Database, steps: int = 5) -> None:
    for i in range(steps):
        files = lake.write(batch_of("acme", 10, first=i * 10), "raw", 0, i, i)
        with database.writer() as tx:
            insert_lake_files(tx, files)


def _objects(lake: Lake) -> list[str]:
    assert isinstance(lake.store, BucketStore)
    return [str(one["path"]) for page in obstore.list(lake.store._store) for one in page]


def _listed(lake: Lake, database: Database) -> list[str]:
    with database.writer() as tx:
        return [str(path) for (path,) in tx.execute("SELECT path FROM lake_files")]


def test_what_is_written_is_scanned_hunted_and_replayed(
    lake: Lake, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    _filled(lake, database)
    acme = two_tenants[0]
    assert sorted(lake.scan(database, acme).collect()["position"]) == list(range(50))
    replayed = pl.concat([b.frame for b in lake.restore_batches(database, acme)])
    assert replayed["position"].to_list() == list(range(50))
    found = lake.hunt(database, acme, "SELECT count(*), min(position) FROM events")
    assert found.rows == ((50, 0),)
    assert found.files == 10
    assert lake.hunt(database, two_tenants[1], "SELECT count(*) FROM events").rows == ((0,),)
    assert sorted(_objects(lake)) == sorted(_listed(lake, database))


def test_a_merge_and_its_sweep_leave_what_there_was(
    lake: Lake, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    _filled(lake, database)
    before = lake.scan(database, two_tenants[0]).sort("position").collect()
    stray = lake.write(batch_of("acme", 3, first=900), "raw", 0, 900, 900)
    assert [f.events for f in lake.merge(database, "acme")] == [25, 25]
    after = lake.scan(database, two_tenants[0]).sort("position").collect()
    assert_frame_equal(after, before, check_column_order=False)
    assert len(_objects(lake)) == 14
    lake.compact(database, "acme", grace_s=-5)
    assert len(_objects(lake)) == 2
    assert not {f.path for f in stray} & set(_objects(lake))
    copies = [p for p in lake.root.rglob("*") if p.is_file()]
    assert len(copies) == 2


def test_writing_again_puts_the_same_object(lake: Lake, database: Database) -> None:
    first = lake.write(batch_of("acme", 9), "raw", 0, 0, 0)
    assert lake.write(batch_of("acme", 9), "raw", 0, 0, 0) == first
    assert len(_objects(lake)) == len(first)


def test_an_object_that_was_changed_is_not_believed(
    lake: Lake, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    (file,) = lake.write(batch_of("acme", 9, classes=(1007,)), "raw", 0, 0, 0)
    with database.writer() as tx:
        insert_lake_files(tx, [file])
    assert isinstance(lake.store, BucketStore)
    content = bytearray(obstore.get(lake.store._store, file.path).bytes())
    content[len(content) // 2] ^= 1
    obstore.put(lake.store._store, file.path, bytes(content))
    with pytest.raises(Unavailable, match="is not what was written"):
        lake.scan(database, two_tenants[0])
    with pytest.raises(Unavailable, match="is not what was written"):
        lake.hunt(database, two_tenants[0], "SELECT count(*) FROM events")


def test_an_object_that_is_gone_is_told(
    lake: Lake, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    _filled(lake, database, 1)
    lake.store.remove(_listed(lake, database))
    with pytest.raises(Unavailable, match="object store cannot read"):
        lake.scan(database, two_tenants[0])


def test_copies_stay_within_their_bound(
    there: dict[str, str],
    database: Database,
    two_tenants: tuple[Scope, Scope],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lake = open_lake(Settings.read(there))
    _filled(lake, database, 6)
    with database.writer() as tx:
        told = tx.execute("SELECT max(size_bytes), sum(size_bytes) FROM lake_files").fetchone()
    assert told is not None
    most = int(told[0]) * 4
    assert most < int(told[1])
    monkeypatch.setattr(lake.store._cache, "_size_max", most)  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput, match="INOPSIO_LAKE_CACHE_MB"):
        lake.scan(database, two_tenants[0])
    spans = [(START_US + n * 20_000_000, START_US + n * 20_000_000 + 19_999_999) for n in range(3)]
    assert lake.scan(database, two_tenants[0], *spans[0]).collect().height == 20
    with pytest.raises(Overloaded, match="in use"):
        lake.scan(database, two_tenants[0], *spans[1])
    monkeypatch.setattr("storage.lake.cache.IN_USE_S", 0.0)
    for span in spans:
        assert lake.scan(database, two_tenants[0], *span).collect().height == 20
        held = sum(p.stat().st_size for p in lake.root.rglob("*") if p.is_file())
        assert held <= most


def test_a_hunt_fetches_only_the_files_of_its_time(
    lake: Lake, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    _filled(lake, database)
    limits = HuntLimits(since_us=START_US, until_us=START_US + 5_000_000)
    found = lake.hunt(database, two_tenants[0], "SELECT count(*) FROM events", limits)
    assert found.rows == ((5,),)
    assert found.files == len(list(lake.root.rglob("*.parquet"))) == 2


def test_a_large_file_goes_up_in_parts_and_comes_back(lake: Lake, tmp_path: Path) -> None:
    draft = lake.store.draft("acme")
    content = bytes(range(256)) * (70 << 10)  # 17.5 MiB: three parts
    draft.write_bytes(content)
    lake.store.adopt(draft, "tenant=acme/big")
    assert not draft.exists()
    assert isinstance(lake.store, BucketStore)
    fetched = tmp_path / "fetched"
    lake.store._fetch("tenant=acme/big", fetched)
    assert fetched.read_bytes() == content


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"lake_url": "gs://there"}, "s3://BUCKET"),
        ({"lake_url": "s3://"}, "s3://BUCKET"),
        ({"lake_endpoint": "http://10.0.0.7:9000"}, "in clear"),
        ({"lake_endpoint": "http://127.0.0.1.example.org:9000"}, "in clear"),
        ({"lake_secret": Secret("")}, "both"),
        ({"lake_ca": "/nowhere/ca.pem"}, "INOPSIO_LAKE_CA"),
    ],
)
def test_a_wrong_setting_is_named(changed: dict[str, object], word: str) -> None:
    good: dict[str, object] = {
        "lake_url": "s3://there",
        "lake_key_id": "id",
        "lake_secret": Secret(SECRET),
    }
    with pytest.raises(InvalidInput, match=word) as told:
        open_bucket(Settings(**{**good, **changed}))  # type: ignore[arg-type]
    assert SECRET not in str(told.value)


def test_a_store_that_is_away_is_unavailable_and_no_secret_is_told(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path,
        lake_url="s3://there",
        lake_endpoint="http://127.0.0.1:9",
        lake_key_id="id",
        lake_secret=Secret(SECRET),
    )
    lake = open_lake(settings)
    with pytest.raises(Unavailable, match="object store cannot write") as told:
        lake.write(batch_of("acme", 3), "raw", 0, 0, 0)
    assert SECRET not in f"{told.value}{told.value.__cause__!r}{settings!r}{lake.store!r}"
