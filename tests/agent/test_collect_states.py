"""See inventories change: the first look learns or tells the state, a change is told once."""

import struct
from pathlib import Path

import pytest

from agent.collect.linux import accounts, configuration, journal, kernel, logins, packages, services
from agent.errors import AgentError

NOW_US = 1_790_000_000_000_000
PACKAGE = "Package: {0}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {1}\n\n"


def test_packages_are_told_as_state_then_as_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = tmp_path / "status"
    monkeypatch.setattr(packages, "DPKG", status)
    status.write_text(PACKAGE.format("bash", "5.2") + PACKAGE.format("nano", "7"))
    first = packages.collect({}, NOW_US)
    status.write_text(PACKAGE.format("bash", "5.3") + PACKAGE.format("vim", "9"))
    second = packages.collect(first.notes, NOW_US)
    assert [(e["class_uid"], e["package"]["name"]) for e in first.events] == [
        (5002, "bash"),
        (5002, "nano"),
    ]
    assert [(e["activity_id"], e["package"]["name"]) for e in second.events] == [
        (99, "bash"),
        (2, "nano"),
        (1, "vim"),
    ]
    assert packages.collect(second.notes, NOW_US).events == []


def test_the_packages_of_this_host_are_read() -> None:
    if not packages.DPKG.exists():
        pytest.skip("no dpkg here")
    seen = packages.collect({}, NOW_US).events
    assert "dpkg" in {e["package"]["name"] for e in seen}


def test_accounts_passwords_and_members_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (
        ("PASSWD", "root:x:0:0:r:/root:/bin/sh\neve:x:1:1:e:/home/eve:/bin/sh\n"),
        ("SHADOW", "root:$y$secret:19000:0:::::\n"),
        ("GROUP", "sudo:x:27:\n"),
    ):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(accounts, name, tmp_path / name)
    first = accounts.collect({}, NOW_US)
    (tmp_path / "PASSWD").write_text("root:x:0:0:r:/root:/bin/sh\nmal:x:0:0:m:/:/bin/sh\n")
    (tmp_path / "SHADOW").write_text("root:$y$other:19001:0:::::\n")
    (tmp_path / "GROUP").write_text("sudo:x:27:mal\n")
    second = accounts.collect(first.notes, NOW_US)
    assert first.events == []
    assert [(e["class_uid"], e["activity_id"], e["user"]["name"]) for e in second.events] == [
        (3001, 6, "eve"),
        (3001, 1, "mal"),
        (3001, 3, "root"),
        (3006, 3, "mal"),
    ]
    assert "secret" not in str(first) + str(second)
    (tmp_path / "SHADOW").write_text("root:$y$third:19001:0:::::\n")
    third = accounts.collect(second.notes, NOW_US)
    assert [(e["activity_id"], e["user"]["name"]) for e in third.events] == [(3, "root")]
    (tmp_path / "SHADOW").write_text("root:$y$third:19001:0:99999:7:::\n")
    assert accounts.collect(third.notes, NOW_US).events == [], "the same password"


def test_services_start_and_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "GROUPS", tmp_path)
    monkeypatch.setattr(services, "LINKS", tmp_path)
    (tmp_path / "ssh.service").mkdir()
    first = services.collect({}, NOW_US)
    (tmp_path / "ssh.service").rmdir()
    (tmp_path / "evil.service").mkdir()
    second = services.collect(first.notes, NOW_US)
    assert [(e["class_uid"], e["service"]["name"]) for e in first.events] == [(5002, "ssh.service")]
    assert [(e["activity_id"], e["service"]["name"]) for e in second.events] == [
        (3, "evil.service"),
        (4, "ssh.service"),
    ]


def test_a_loaded_driver_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "MODULES", tmp_path / "modules")
    (tmp_path / "modules").write_text("ext4 900 1 - Live 0x0\n")
    first = kernel.collect({}, NOW_US)
    (tmp_path / "modules").write_text("ext4 900 1 - Live 0x0\nrootkit 13 0 - Live 0x0\n")
    (event,) = kernel.collect(first.notes, NOW_US).events
    assert (event["class_uid"], event["activity_id"]) == (1002, 1)
    assert event["module"]["file"]["path"] == "rootkit"


def _utmp(kind: int, line: bytes, user: bytes, host: bytes = b"", ip: bytes = bytes(16)) -> bytes:
    return struct.pack(
        logins._RECORD.format, kind, 77, line, b"1", user, host, 0, 0, 0, 1_700_000_000, 5, ip
    )  # fmt: skip


def test_sign_ins_and_their_ends_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wtmp, btmp = tmp_path / "wtmp", tmp_path / "btmp"
    monkeypatch.setattr(logins, "WTMP", wtmp)
    monkeypatch.setattr(logins, "BTMP", btmp)
    monkeypatch.setattr(logins, "AUTH_LOGS", ())
    wtmp.write_bytes(_utmp(7, b"tty1", b"old"))
    btmp.write_bytes(b"")
    first = logins.collect({}, NOW_US)
    address = bytes([203, 0, 113, 9]) + bytes(12)
    with wtmp.open("ab") as file:
        file.write(_utmp(7, b"pts/0", b"eve", b"far.example", address) + _utmp(8, b"pts/0", b""))
    btmp.write_bytes(_utmp(7, b"ssh:notty", b"root", b"", address) + b"half")
    second = logins.collect(first.notes, NOW_US)
    told = [(e["activity_id"], e["user"]["name"], e["status_id"]) for e in second.events]
    assert first.events == []
    assert told == [(1, "eve", 1), (2, "eve", 1), (1, "root", 2)]
    assert second.events[0]["src_endpoint"] == {"ip": "203.0.113.9", "hostname": "far.example"}
    assert logins.collect(second.notes, NOW_US).events == []


def test_the_journal_speaks_syslog() -> None:
    line = journal.line_of({"MESSAGE": [104, 105, 255], "_COMM": "a b", "PRIORITY": "x"})
    assert line == b"<30>1 1970-01-01T00:00:00.000000+00:00 - a_b - - - hi\\xff"


def test_every_rule_is_whole_and_judges_this_host() -> None:
    for name, rule in configuration.rules().items():
        verdict = configuration.judge(rule)
        assert verdict is None or verdict == "pass" or verdict.startswith("fail: "), name


def test_a_wrong_setting_is_told_with_its_fix_until_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "sshd_config"
    rule = {
        "id": "r", "title": "t", "why": "w", "fix": "mend it", "severity": 4, "file": str(file),
        "setting": "PermitRootLogin", "want": "no", "default": "no",
    }  # fmt: skip
    monkeypatch.setattr(configuration, "rules", lambda: {"r": rule})
    file.write_text("#PermitRootLogin no\npermitrootlogin yes\nMatch User x\nPermitRootLogin no\n")
    first = configuration.collect({}, NOW_US)
    file.write_text("PermitRootLogin no\n")
    second = configuration.collect(first.notes, NOW_US)
    (wrong,), (right,) = first.events, second.events
    assert (wrong["status_id"], wrong["severity_id"], wrong["check"]["fix"]) == (2, 4, "mend it")
    assert (right["status_id"], right["check"]["before"]) == (1, "fail: it is 'yes'")
    assert configuration.collect(second.notes, NOW_US).events == []


@pytest.mark.parametrize(
    ("mode", "verdict"), [(0o640, "pass"), (0o600, "pass"), (0o644, "fail: its rights are 0644")]
)
def test_rights_may_be_narrower_but_not_wider(tmp_path: Path, mode: int, verdict: str) -> None:
    file = tmp_path / "f"
    file.touch(mode=mode)
    file.chmod(mode)
    assert configuration.judge({"file": str(file), "mode_at_most": "0640"}) == verdict


def test_a_rule_without_a_fix_stops_the_collector(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('[[rule]]\nid = "x"\ntitle = "t"\nwhy = "w"\nseverity = 1\n')
    with pytest.raises(AgentError, match=r"own.toml: 'fix'"):
        configuration.rules(tmp_path)
