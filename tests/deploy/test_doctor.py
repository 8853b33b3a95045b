import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.doctor import Check, examine
from deploy.running import are_agents_heard, settings_for
from storage.settings import Settings
from tests.deploy.conftest import free_port


def _bad(settings: Settings) -> dict[str, Check]:
    return {check.what: check for check in examine(settings) if not check.well}


def test_a_fresh_place_is_well(tmp_path: Path) -> None:
    assert _bad(settings_for(tmp_path / "new" / "house", free_port())) == {}


def test_a_taken_port_is_named_with_the_way_out(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        [check] = _bad(settings_for(tmp_path, port)).values()
    assert f"port {port} cannot be had" in check.seen
    assert check.mend == "use --port N"


def test_a_data_folder_that_is_a_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert set(_bad(settings_for(tmp_path / "file", free_port()))) == {"data folder"}


def test_a_full_disk_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")  # noqa: PYI024  as shutil gives it
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, 0))
    assert set(_bad(settings_for(tmp_path, free_port()))) == {"disk"}


def test_a_rule_folder_that_is_not_there_is_found(tmp_path: Path) -> None:
    settings = replace(settings_for(tmp_path, free_port()), rules_dirs=f"{tmp_path}/absent")
    assert _bad(settings)["rules"].mend == "correct INOPSIO_RULES_DIRS"


def test_a_house_whose_processes_died_is_found(tmp_path: Path) -> None:
    told = {"pid": os.getpid(), "url": "http://127.0.0.1:1", "started_at": 0, "children": {}}
    (tmp_path / "up.json").write_text(json.dumps(told))
    url = "postgresql://nobody@127.0.0.1:1/none?connect_timeout=1"
    settings = replace(settings_for(tmp_path), database_url=type(Settings().database_url)(url))
    bad = _bad(settings)
    assert {"front door", "processes", "ledger"} <= set(bad)
    assert "api, business, pipelines not alive" in bad["processes"].seen


def test_the_agents_listener_may_come_a_moment_after_the_front_door(tmp_path: Path) -> None:
    settings = replace(Settings(data_dir=tmp_path), agents_port=free_port())
    assert not are_agents_heard(settings, wait_s=0.3)
    with socket.socket() as ear:
        ear.bind(settings.agents_place)
        late = threading.Timer(0.6, ear.listen)
        late.start()
        assert are_agents_heard(settings)
        late.join()


@pytest.mark.parametrize("how", [[], ["--detach"]])
def test_no_house_begins_where_a_rule_folder_is_not_there(tmp_path: Path, how: list[str]) -> None:
    command = [sys.executable, "-m", "deploy", "up", "--data", str(tmp_path), *how]
    told = subprocess.run(
        [*command, "--port", str(free_port())],
        env={**os.environ, "INOPSIO_RULES_DIRS": f"{tmp_path}/absent"},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert told.returncode != 0
    assert f"no folder {tmp_path}/absent; correct INOPSIO_RULES_DIRS" in told.stderr
