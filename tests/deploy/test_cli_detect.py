import json
import zipfile
from pathlib import Path

import pytest

from deploy.cli import run
from deploy.output import DONE, PARTLY, WRONG_USE

RULE = """
title: Whoami was started
id: 11111111-2222-4333-8444-555555555555
level: high
logsource: {category: process_creation, product: windows}
detection:
    s: {Image|endswith: '\\whoami.exe'}
    condition: s
"""
SYSMON = {"EventID": 1, "Channel": "Microsoft-Windows-Sysmon/Operational", "Hostname": "h1"}
AUDIT = {"EventID": 4688, "Channel": "Security", "Hostname": "h1"}
WHOAMI = "C:\\Windows\\whoami.exe"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "whoami.yml").write_text(RULE)
    (tmp_path / "logs").mkdir()
    return tmp_path


def _log(*events: dict[str, object]) -> str:
    time = {"@timestamp": "2024-03-01T00:00:00.000Z"}
    return "".join(json.dumps(time | event) + "\n" for event in events)


def _detect(place: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, object]]]:
    code = run(["detect", str(place / "logs"), "--rules", str(place / "rules"), "--json"])
    return code, [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def test_a_hit_is_one_line_a_file_and_rule(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    other = SYSMON | {"Image": "C:\\a.exe"}
    (place / "logs" / "a.json").write_text(_log(other, SYSMON | {"Image": WHOAMI}, other))
    assert _detect(place, capfd) == (
        DONE,
        [
            {
                "file": f"{place}/logs/a.json",
                "rule_id": "11111111-2222-4333-8444-555555555555",
                "rule": "Whoami was started",
                "level": "high",
                "count": 1,
                "events": [1],
            }
        ],
    )


def test_a_zip_is_one_file(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hit = _log(SYSMON | {"Image": WHOAMI})
    with zipfile.ZipFile(place / "logs" / "a.zip", "w") as archive:
        archive.writestr("one.json", hit)
        archive.writestr("two.json", hit)
    (row,) = _detect(place, capfd)[1]
    assert (row["file"], row["count"]) == (f"{place}/logs/a.zip", 2)


def test_a_refused_file_is_named_and_the_rest_goes_on(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (place / "logs" / "a.bin").write_bytes(b"\x00\x01nonsense" * 9)
    (place / "logs" / "b.json").write_text(_log(SYSMON | {"Image": WHOAMI}))
    code = run(["detect", str(place / "logs"), "--rules", str(place / "rules"), "--json"])
    said = capfd.readouterr()
    assert code == PARTLY
    assert len(said.out.splitlines()) == 1
    assert f"{place}/logs/a.bin: format not recognised" in said.err


def test_positions_stop_at_twenty_and_the_count_does_not(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (place / "logs" / "a.json").write_text(_log(*[SYSMON | {"Image": WHOAMI}] * 50))
    (row,) = _detect(place, capfd)[1]
    assert (row["count"], row["events"]) == (50, list(range(20)))


def test_a_process_start_told_by_two_logs_counts_once(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    both = _log(AUDIT | {"NewProcessName": WHOAMI}, SYSMON | {"Image": WHOAMI})
    alone = _log(AUDIT | {"NewProcessName": WHOAMI, "Hostname": "h2"}, SYSMON | {"Image": "a"})
    (place / "logs" / "both.json").write_text(both)
    (place / "logs" / "alone.json").write_text(alone)
    rows = _detect(place, capfd)[1]
    found = [(str(r["file"]).rpartition("/")[2], r["count"], r["events"]) for r in rows]
    assert found == [("alone.json", 1, [0]), ("both.json", 1, [1])]


def test_people_get_a_table_with_the_gravest_first(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    low = RULE.replace("11111111", "21111111").replace("high", "low").replace("Whoami", "Any")
    (place / "rules" / "a-low.yml").write_text(low)
    (place / "logs" / "a.json").write_text(_log(SYSMON | {"Image": WHOAMI}))
    assert run(["detect", str(place / "logs"), "--rules", str(place / "rules")]) == DONE
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["level", "high", "low"]


def test_a_missing_rules_folder_is_wrong_use(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = run(["detect", str(place / "logs"), "--rules", str(place / "absent"), "--json"])
    assert code == WRONG_USE
    assert "no such rule file or folder" in capfd.readouterr().err


CORRELATION = """---
title: Whoami twice
id: 22222222-2222-4333-8444-555555555555
level: critical
correlation:
  type: event_count
  rules: 11111111-2222-4333-8444-555555555555
  group-by: [Computer]
  timespan: 5m
  condition: {gte: 2}
"""


def test_a_correlation_sees_all_files_together(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (place / "rules" / "whoami.yml").write_text(RULE + CORRELATION)
    for name in ("a.json", "b.json"):
        (place / "logs" / name).write_text(_log(SYSMON | {"Image": WHOAMI}))
    found = _detect(place, capfd)[1]
    assert [(h["rule"], h["count"]) for h in found] == [
        ("Whoami was started", 1),
        ("Whoami was started", 1),
        ("Whoami twice", 1),
    ]
    assert found[2]["file"] == f"{place}/logs/a.json (and 1 more)"
