"""deploy/compose.yaml is valid, stays on loopback and has the settings of the local scripts."""

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.shared import ROOT

_FILE = ROOT / "deploy" / "compose.yaml"
_KEYS = {"image": str, "ports": list, "environment": dict, "volumes": list, "command": list}
"""Of the Compose specification, those in use here, and what each holds."""
_BY_PLACE = {"listeners", "advertised.listeners", "listener.security.protocol.map", "log.dirs"}


def _read() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return read


def _properties(script: str) -> dict[str, str]:
    """Give the broker's settings that the script writes."""
    text = (ROOT / "deploy" / "local" / script).read_text(encoding="utf-8")
    written = text.partition('server.properties" <<P\n')[2].partition("\nP\n")[0]
    return dict(line.split("=", 1) for line in written.splitlines())


def test_each_key_is_of_the_specification_and_holds_what_it_must() -> None:
    read = _read()
    assert set(read) == {"name", "services", "volumes"}
    for service in read["services"].values():
        assert set(service) <= set(_KEYS)
        assert all(isinstance(value, _KEYS[key]) for key, value in service.items())
        assert all(isinstance(value, str) for value in service["environment"].values())
        named = {volume.partition(":")[0] for volume in service["volumes"]}
        assert named <= set(read["volumes"])


def test_ports_are_on_loopback_and_images_have_a_version() -> None:
    for service in _read()["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+(-pg\d+)?", service["image"])


def test_kafka_has_the_settings_of_the_script() -> None:
    environment = _read()["services"]["kafka"]["environment"]
    given = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in environment.items()
    }
    local = {
        name: value.replace("$controller", "19093")
        for name, value in _properties("kafka.sh").items()
        if not name.startswith(("listener.name.", "authorizer", "super.", "allow."))
    }
    assert {n: v for n, v in given.items() if n not in _BY_PLACE} == {
        n: v for n, v in local.items() if n not in _BY_PLACE
    }
    pom = (ROOT / "deploy" / "local" / "kafka-pom.xml").read_text(encoding="utf-8")
    version = re.search(r"<kafka.version>(.*)</kafka.version>", pom)
    assert version is not None
    assert _read()["services"]["kafka"]["image"] == f"apache/kafka:{version[1]}"


def test_no_password_stands_in_it() -> None:
    password = _read()["services"]["timescaledb"]["environment"]["POSTGRES_PASSWORD"]
    assert password.startswith("${INOPSIO_POSTGRES_PASSWORD:?")


def test_docker_itself_takes_it() -> None:
    docker = shutil.which("docker")
    asked = [docker or "", "compose", "version"]
    has = docker and subprocess.run(asked, capture_output=True, check=False).returncode
    if docker is None or has != 0:
        pytest.skip("docker compose is not here; the other tests check the file")
    subprocess.run(
        [docker, "compose", "-f", str(_FILE), "config", "--quiet"],
        env={"INOPSIO_POSTGRES_PASSWORD": "x", "PATH": "/usr/bin:/usr/local/bin"},
        check=True,
    )
