"""A house whose lake is in an object store is backed up with it and comes back into another one."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.backup import back_up, check, restore
from deploy.house import opened
from storage.database.rows import insert_lake_files
from storage.settings import Settings
from storage.tenant import Actor, Role, Scope
from tests.bucket import environment, served
from tests.deploy.test_backup import _outside
from tests.storage.made_events import batch_of

pytestmark = pytest.mark.slow


def test_the_lake_comes_along_and_into_the_new_store(settings: Settings, tmp_path: Path) -> None:
    folder = _outside(tmp_path)
    try:
        with served() as address:
            given = Settings.read(environment(address, "old"))
            lake = {n: getattr(given, n) for n in Settings.__slots__ if n.startswith("lake_")}
            source = replace(settings, **lake)
            with opened(source) as house:
                house.database.create_tenant("acme", "Acme")
                files = house.lake.write(batch_of("acme", 50), "raw", 0, 0, 0)
                with house.database.writer() as tx:
                    insert_lake_files(tx, files)
                told = back_up(source, folder / "backup", lambda _: None)
            assert told["lake_files_gone"] == 0
            assert {f.path for f in files} == {
                name.removeprefix("lake/") for name in told["files"] if name.startswith("lake/")
            }
            check(folder / "backup")
            environment(address, "new")
            back = replace(Settings(data_dir=folder / "house"), **lake)
            back = replace(back, lake_url="s3://new/there")
            restore(folder / "backup", back, lambda _: None)
            scope = Scope("acme", Actor("user", "ann"), frozenset({Role.ADMIN}))
            with opened(back) as house:
                found = house.lake.scan(house.database, scope).collect()
            assert sorted(found["position"]) == list(range(50))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
