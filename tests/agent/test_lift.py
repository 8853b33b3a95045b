"""Lift as root what the agent's account noted, whatever it wrote there."""

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.lift import lifted
from agent.orders import InForce, Orders

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another account")
ACCOUNT = 4321


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a data folder of the account's, in one that it can pass through."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        data = Path(made, "data")
        data.mkdir()
        os.chown(data, ACCOUNT, ACCOUNT)
        yield data


def _noted(path: Path, *noted: InForce) -> None:
    orders = Orders(path)
    for one in noted:
        orders.hold(one)
    orders.close()
    os.chown(path, ACCOUNT, ACCOUNT)


ONE = InForce("a", "suspend", time.time() + 600, {"processes": []})


def test_what_is_noted_is_taken_back_and_the_account_keeps_its_file(folder: Path) -> None:
    _noted(folder / "orders.sqlite", ONE)
    assert lifted(folder) == ["suspend a is taken back"]
    assert lifted(folder) == []
    assert {p.stat().st_uid for p in folder.iterdir()} == {ACCOUNT}


def test_root_opens_no_file_behind_a_link_of_the_accounts(folder: Path) -> None:
    target = folder.parent / "roots.sqlite"
    _noted(target, ONE)
    os.chown(target, 0, 0)
    target.chmod(0o600)
    (folder / "orders.sqlite").symlink_to(target)
    before = target.read_bytes()
    (said,) = lifted(folder)
    assert "could not be read" in said
    assert target.read_bytes() == before


def test_junk_stops_nothing(folder: Path) -> None:
    path = folder / "orders.sqlite"
    path.write_bytes(os.urandom(10_000))
    os.chown(path, ACCOUNT, ACCOUNT)
    (said,) = lifted(folder)
    assert "could not be read" in said
    path.unlink()
    strange = InForce("x", "suspend", 1.0, {"processes": [7, None]})
    _noted(path, strange, InForce("y", "no kind", 1.0, {}), ONE)
    found = lifted(folder)
    assert [line.endswith("is taken back") for line in found].count(True) == 1
    assert len(found) == 3
    with sqlite3.connect(path) as rows:
        assert rows.execute("SELECT count(*) FROM in_force").fetchone() == (2,)
