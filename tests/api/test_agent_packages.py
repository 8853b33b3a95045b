"""Take packages into the house; give the line that installs them, and what it fetches."""

import hashlib
import re
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.agent_packages import FOLDER, LISTED, add, command, held, on_windows
from storage.database import Database
from storage.errors import InvalidInput
from storage.settings import Settings
from storage.tenant import Scope
from tests.api.agents_house import House, listening

DEB = b"!<arch>\n" + b"debian" * 100
MSI = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"msi" * 100
RPM = b"\xed\xab\xee\xdb" + b"rpm" * 100


@pytest.fixture
def house(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope], tmp_path: Path
) -> Iterator[House]:
    own = replace(settings, data_dir=tmp_path / "house")
    with listening(own, database, two_tenants, tmp_path) as made:
        yield made


def put(folder: Path, name: str, content: bytes) -> Path:
    place = folder / name
    place.write_bytes(content)
    return place


def fetched(house: House, path: str) -> tuple[int, bytes]:
    """Fetch as a host does that has no certificate and trusts nobody yet."""
    blind = ssl.create_default_context()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    out = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=blind)
    )
    try:
        with out.open(house.url + path, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as no:
        return no.code, no.read()


def test_the_line_names_the_script_and_the_script_the_packages(house: House) -> None:
    data = house.desk.settings.data_dir
    assert fetched(house, "/v1/agents/install.sh")[0] == 404
    assert command(data, house.url, "T", "F").startswith("echo T | inopsio-agent enroll --url ")
    files = [
        put(house.folder, "inopsio-agent_0.9.0_amd64.deb", DEB + b"old"),
        put(house.folder, "inopsio-agent_0.10.0_amd64.deb", DEB),
        put(house.folder, "inopsio-agent-0.10.0-1.x86_64.rpm", RPM),
    ]
    assert [p.version for p in add(data, files)] == ["0.9.0", "0.10.0", "0.10.0"]
    assert [(p.kind, p.version) for p in held(data)] == [("deb", "0.10.0"), ("rpm", "0.10.0")]

    line = command(data, house.url, "T", house.fingerprint)
    status, text = fetched(house, "/v1/agents/install.sh")
    assert status == 200
    assert hashlib.sha256(text).hexdigest() == re.findall(r'echo "([0-9a-f]{64})  \$i"', line)[0]
    assert subprocess.run(["sh", "-n"], input=text, check=False).returncode == 0
    assert f"AUTHORITY='{house.fingerprint}'" in text.decode()
    rows = re.findall(
        r"^(?:PACKAGES=')?(deb|rpm) (\S+) (\S+) (\S+) (\d+) ([^\s']+)", text.decode(), re.MULTILINE
    )
    assert [(kind, arch) for kind, arch, *_ in rows] == [("deb", "amd64"), ("rpm", "x86_64")]
    for _, _, _, digest, size, name in rows:
        status, content = fetched(house, f"/v1/agents/packages/{name}")
        told = (status, hashlib.sha256(content).hexdigest(), str(len(content)))
        assert told == (200, digest, size)


def test_the_line_for_windows_fetches_the_msi_and_compares_it_first(house: House) -> None:
    data = house.desk.settings.data_dir
    said = ("https://it's:8601", "T", "sha256:F")
    joins = "'INOPSIO_URL=https://it''s:8601 INOPSIO_TOKEN=T INOPSIO_CA_FINGERPRINT=sha256:F'"
    bare = on_windows(data, *said)
    assert joins in bare
    assert "curl" not in bare
    add(data, [put(house.folder, "inopsio-agent-0.1.0.msi", MSI)])
    line = on_windows(data, *said)
    fetching, comparing, running = (line.index(w) for w in ("curl.exe", "Get-FileHash", "msiexec"))
    assert fetching < comparing < running
    assert hashlib.sha256(MSI).hexdigest() in line
    assert "'https://it''s:8601/v1/agents/packages/inopsio-agent-0.1.0.msi'" in line
    assert joins in line
    status, content = fetched(house, "/v1/agents/packages/inopsio-agent-0.1.0.msi")
    assert (status, content) == (200, MSI)


def test_nothing_but_what_is_listed_is_given(house: House) -> None:
    data = house.desk.settings.data_dir
    add(data, [put(house.folder, "inopsio-agent_0.1.0_amd64.deb", DEB)])
    put(data / FOLDER, "inopsio-agent_0.2.0_amd64.deb", DEB)  # lies there, is not listed
    for name in (
        LISTED,
        "inopsio-agent_0.2.0_amd64.deb",
        "inopsio-agent%2f..%2f..%2fhouse.json",
        "..%2fkeys%2fsealing.key",
        "inopsio-agent_0.1.0_amd64.deb%00",
    ):
        assert fetched(house, f"/v1/agents/packages/{name}")[0] in {404, 422}, name


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("agent.deb", DEB, "no package's name"),
        ("inopsio-agent_1.0_amd64.deb", RPM, "is no .deb package"),
        ("inopsio-agent_1.0'; reboot #_amd64.deb", DEB, "no package's name"),
        ("inopsio-agent-1.0-1.x86_64.rpm", b"", "is no .rpm package"),
    ],
)
def test_what_is_no_package_is_not_taken(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    with pytest.raises(InvalidInput, match=re.escape(why)):
        add(tmp_path, [put(tmp_path, name, content)])
    assert held(tmp_path) == []
