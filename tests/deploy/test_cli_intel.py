"""Bring in a feed by the command, and find in the past what it names."""

import json
import time
from pathlib import Path

import pytest

from deploy.cli import run
from deploy.house import opened
from deploy.output import DONE, FAILED, PARTLY, WRONG_USE
from storage.database.rows import insert_lake_files
from storage.schema import EventBatch
from storage.settings import Settings
from tests.detectors.streams import MINUTE_US, frame_of
from tests.pipelines.feed_server import feed_server

LIST = """type,value,valid_from,confidence
domain,bad[.]example,2020-01-01T00:00:00Z,90
ipv4,999.1.1.1,2020-01-01T00:00:00Z,90
"""


def test_what_a_feed_names_is_found_in_the_history_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:

    now_us = time.time_ns() // 1000
    home = ["--tenant", "acme", "--data", str(tmp_path / "house")]
    with opened(Settings(data_dir=tmp_path / "house")) as house:
        house.database.create_tenant("acme", "acme")
        rows = [
            {"tenant_id": "acme", "time_us": now_us - n * MINUTE_US, "class_uid": 4003}
            | {"query.hostname": name, "device.hostname": "pc1"}
            for n, name in enumerate(("www.bad.example", "good.example"))
        ]
        batch = EventBatch.of(frame_of(sorted(rows, key=lambda row: int(str(row["time_us"])))))
        files = house.lake.write(batch, "events", 0, 0, 1)
        with house.database.writer() as tx:
            insert_lake_files(tx, files)
    (tmp_path / "list.csv").write_text(LIST)
    assert run(["intel", "import", str(tmp_path / "list.csv"), *home, "--json"]) == PARTLY
    said = capfd.readouterr()
    told = json.loads(said.out.splitlines()[-1])
    assert told == {"feed": "list", "kept": 1, "refused": 1, "findings": 1}
    assert "record 1: '999.1.1.1' is no address" in said.err
    assert run(["intel", "match", *home, "--json"]) == DONE
    assert json.loads(capfd.readouterr().out.splitlines()[-1]) == {"findings": 0}
    assert run(["intel", "list", *home, "--json"]) == DONE
    feed, seen = (json.loads(line) for line in capfd.readouterr().out.splitlines()[-2:])
    assert (feed["feed"], feed["indicators"]) == ("list", 1)
    assert (seen["value"], seen["sightings"]) == ("bad.example", 1)
    assert run(["intel", "drop", "list", *home]) == DONE
    assert run(["intel", "drop", "list", *home]) != DONE
    assert run(["intel", "import", str(tmp_path / "none.csv"), *home]) == WRONG_USE


def test_a_feed_is_subscribed_to_polled_listed_and_dropped(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INOPSIO_FEED_ADDRESSES", "127.0.0.1")
    home = ["--tenant", "acme", "--data", str(tmp_path / "house")]
    with opened(Settings(data_dir=tmp_path / "house")) as house:
        house.database.create_tenant("acme", "acme")
    (tmp_path / "secret").write_text("s3cr3t-canary\n")
    with feed_server() as server:
        server.put("/l.csv", LIST.encode())
        words = ["intel", "subscribe", "list", "csv", server.url("/l.csv"), *home]
        secret = ["--auth", "bearer", "--secret-file", str(tmp_path / "secret")]
        assert run([*words, *secret]) == DONE
        assert run([*words, *secret]) == WRONG_USE
        assert run(["intel", "poll", "list", *home, "--json"]) == DONE
        told = json.loads(capfd.readouterr().out.splitlines()[-1])
        assert (told["indicators"], told["refused"], told["error"]) == (1, 1, "")
        assert server.seen[0].headers["authorization"] == "Bearer s3cr3t-canary"
        server.put("/l.csv", b"", 403)
        assert run(["intel", "poll", "list", *home]) == FAILED
    assert "refuses the secret" in capfd.readouterr().err
    assert run(["intel", "list", *home, "--json"]) == DONE
    listed = capfd.readouterr().out
    assert "canary" not in listed
    assert json.loads(listed.splitlines()[1])["kind"] == "csv"
    assert run(["intel", "unsubscribe", "list", *home]) == DONE
    assert run(["intel", "poll", "list", *home]) == FAILED
