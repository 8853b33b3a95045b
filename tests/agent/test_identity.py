"""Keep an identity on disk: whole, private, this machine's, one process at a time."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from agent import enroll, identity
from agent.errors import AgentError, Away
from agent.identity import Identity, alone, load, machine_hash, save
from agent.renewal import keep_renewed
from agent.ship import Server


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    place = tmp_path / "machine-id"
    place.write_text("one\n")
    return place


def made(folder: Path, machine: Path) -> Identity:
    url, known = "https://house:8601", machine_hash(machine)
    found = Identity(
        folder, url, "acme", "0196f000-0000-7000-8000-000000000001", known, 50.0, 100.0
    )
    save(found, "AUTHORITY", "KEY AND CERTIFICATE")
    return found


def test_what_was_saved_is_loaded_by_another_run(tmp_path: Path, machine: Path) -> None:
    kept = made(tmp_path / "a", machine)
    found = load(tmp_path / "a", machine)
    assert found is not None
    assert replace(found, run=kept.run) == kept
    assert found.run != kept.run


def test_nothing_of_it_is_readable_by_others(tmp_path: Path, machine: Path) -> None:
    made(tmp_path / "a", machine)
    assert {p.stat().st_mode & 0o077 for p in (tmp_path / "a").iterdir()} == {0}


def test_a_copied_disk_has_no_identity(tmp_path: Path, machine: Path) -> None:
    made(tmp_path / "a", machine)
    machine.write_text("two\n")
    with pytest.raises(AgentError, match="another machine's"):
        load(tmp_path / "a", machine)


def test_a_folder_without_one_says_nothing_and_a_broken_one_says_so(
    tmp_path: Path, machine: Path
) -> None:
    assert load(tmp_path, machine) is None
    made(tmp_path, machine)
    (tmp_path / "identity.json").write_text("{}")
    with pytest.raises(AgentError, match="enrol again"):
        load(tmp_path, machine)


def test_a_crash_between_two_files_leaves_one_that_works(
    tmp_path: Path, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = made(tmp_path, machine)
    real = identity.write_private

    def dying(path: Path, text: str) -> None:
        if path.name == "identity.json":
            raise OSError("power is gone")
        real(path, text)

    monkeypatch.setattr(identity, "write_private", dying)
    with pytest.raises(OSError, match="power"):
        save(replace(kept, renew_at_s=500.0), "AUTHORITY", "NEW KEY AND CERTIFICATE")
    found = load(tmp_path, machine)
    assert found is not None
    assert found.is_due(60.0)  # the old times: it renews once more than it must
    assert (tmp_path / "identity.pem").read_text() == "NEW KEY AND CERTIFICATE"


def test_two_agents_do_not_work_in_one_folder(tmp_path: Path) -> None:
    held = alone(tmp_path)
    with pytest.raises(AgentError, match="already"):
        alone(tmp_path)
    os.close(held)
    os.close(alone(tmp_path))


def test_an_installed_anew_spool_is_another_source_of_the_same_agent(
    tmp_path: Path, machine: Path
) -> None:
    server = Server("https://house:8601", identity=made(tmp_path, machine))
    one, two = server.sender("a" * 32), server.sender("b" * 32)
    assert one != two
    assert {name.partition(".")[0] for name in (one, two)} == {
        "0196f000-0000-7000-8000-000000000001"
    }
    assert set(server.credentials()) == {"Inopsio-Run"}


def test_a_certificate_is_renewed_when_due_and_tried_again_when_that_fails(
    tmp_path: Path, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, stop, told = made(tmp_path, machine), threading.Event(), list[str]()
    answers: list[object] = [Away("gone"), replace(kept, renew_at_s=1000.0)]
    clock = iter([0.0, 51.0, 52.0, 53.0, 54.0])

    def renew(_identity: Identity, _houses: list[tuple[str, int]]) -> Identity:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, Identity)
        return found

    def now() -> float:
        at = next(clock)
        if at > 53.0:
            stop.set()
        return at

    monkeypatch.setattr(enroll, "renew", renew)
    monkeypatch.setattr("agent.renewal.LOOK_EVERY_S", 0.001)
    monkeypatch.setattr("agent.renewal.FIRST_WAIT_S", 0.001)
    keep_renewed(kept, stop, told.append, now)
    assert answers == []
    assert told == ["the certificate was not renewed: gone", "the certificate was renewed"]


@pytest.mark.parametrize(
    ("now_s", "skew_s", "is_due"),
    [
        (10.0, None, False),
        (10.0, 0.0, False),
        (10.0, 57.0, True),  # this clock was set back since: by the house's it is time
        (51.0, None, True),
        (51.0, -40.0, True),  # and a clock that is ahead renews early, which does no harm
    ],
)
def test_a_certificate_is_due_by_either_clock(
    tmp_path: Path, machine: Path, now_s: float, skew_s: float | None, *, is_due: bool
) -> None:
    kept = replace(made(tmp_path, machine), house_due_s=66.0)
    assert kept.is_due(now_s, skew_s) is is_due


def test_a_clock_set_right_after_the_enrolment_does_not_lose_the_host(
    tmp_path: Path, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day_s = 86_400.0
    # Enrolled at day 0 with a clock 3 days ahead: due at day 7.67 by it, ended at day 7.
    kept = replace(
        made(tmp_path, machine),
        renew_at_s=7.67 * day_s,
        not_after_s=7 * day_s,
        house_due_s=4.67 * day_s,
    )
    stop, renewed = threading.Event(), list[float]()
    clock = iter(day * day_s for day in (1, 4, 5, 6))

    def renew(_identity: Identity, _houses: list[tuple[str, int]]) -> Identity:
        renewed.append(5 * day_s)
        stop.set()
        return kept

    monkeypatch.setattr(enroll, "renew", renew)
    monkeypatch.setattr("agent.renewal.LOOK_EVERY_S", 0.001)
    keep_renewed(kept, stop, list[str]().append, lambda: next(clock), list, lambda: 0.0)
    assert renewed == [5 * day_s]
    assert next(clock) == 6 * day_s
