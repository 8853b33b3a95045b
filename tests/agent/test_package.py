"""Install the package in a clean Debian, run it against a real house, update it, take it away."""

import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.units import CAPABILITIES, WATCH, units
from agent.version import version
from api.agent_packages import FOLDER, add, command
from storage.database import Database
from storage.settings import Settings
from storage.tenant import Scope
from tests.agent.clean_root import clean_root, files, needed, run, throw_away
from tests.agent.packages import DATA, ILL, Made, offer, packages, repacked
from tests.agent.publisher import Publisher
from tests.api.agents_house import House, listening
from tests.shared import ROOT

MOST_PACKED, MOST_INSTALLED = 20 << 20, 60 << 20

RESTART = """\
#!/bin/sh
# What systemd does on a machine that has it: both halves, the agent's account, these rights.
for half in look ship; do
  [ ! -f /run/$half.pid ] || kill "$(cat /run/$half.pid)" 2>/dev/null || true
  while [ -f /run/$half.pid ] && kill -0 "$(cat /run/$half.pid)" 2>/dev/null; do sleep 0.1; done
  rights=-all; [ $half = ship ] || rights=-all,{rights}
  setpriv --reuid inopsio-agent --regid inopsio-agent --clear-groups --inh-caps=$rights \\
    --ambient-caps=$rights /opt/inopsio-agent/current/inopsio-agent \\
    --data /var/lib/inopsio-agent run --only $half >>/tmp/$half.log 2>&1 &
  echo $! > /run/$half.pid
done
"""


@pytest.fixture(scope="module")
def made() -> Made:
    needed("mmdebstrap", "unshare", "dpkg", "xz")
    return packages()


@pytest.fixture
def house(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope], tmp_path: Path
) -> Iterator[House]:
    own = replace(settings, data_dir=tmp_path / "house")
    with listening(own, database, two_tenants, tmp_path) as found:
        yield found


def done(root: Path, *words: str) -> str:
    """Run a command that must succeed; give what it said."""
    found = run(root, *words)
    assert found.returncode == 0, f"{words}: {found.stdout[-600:]}{found.stderr[-600:]}"
    return found.stdout


def taken(house: House) -> int:
    return sum(len(house.log.read("raw.events", p, 0, 10_000)) for p in range(2))


def updated(root: Path, health_s: int = 40) -> dict[str, str]:
    """Let the agent run and the updater do its work; give how it ended."""
    script = "/tmp/restart && sleep 1 && inopsio-agent update --restart /tmp/restart"
    script += f" --health-s {health_s}"
    found = run(root, "sh", "-c", script, timeout=200)
    result: dict[str, str] = json.loads(
        (root / "var/lib/inopsio-agent-update/result.json").read_text()
    )
    logs = "".join((root / f"tmp/{half}.log").read_text()[-600:] for half in ("look", "ship"))
    return {**result, "said": found.stderr[-600:] + logs}


@pytest.mark.slow
def test_the_package_runs_updates_itself_and_leaves_no_trace(
    made: Made, house: House, tmp_path: Path
) -> None:
    root, publisher = clean_root(tmp_path), Publisher()
    before = files(root)
    assert made.deb.stat().st_size <= MOST_PACKED
    shutil.copy(made.deb, root / "tmp/agent.deb")
    done(root, "dpkg", "-i", "/tmp/agent.deb")
    size = sum(p.lstat().st_size for p in (root / "opt").rglob("*"))
    assert size <= MOST_INSTALLED
    done(root, "dpkg", "--verify", "inopsio-agent")
    assert done(root, "inopsio-agent", "--version") == f"inopsio-agent {version()}\n"

    known = ["--token", house.token(), "--ca-fingerprint", house.fingerprint]
    done(root, "inopsio-agent", "enroll", "--url", house.url, *known)
    (root / "tmp/release.pub").write_bytes(publisher.public)
    done(root, "inopsio-agent", "install", "--release-key", "/tmp/release.pub")
    said = run(root, "inopsio-agent", "doctor").stdout
    assert "ok   certificate: the server takes events from this agent" in said
    assert "FAIL" not in "".join(
        line
        for line in said.splitlines()
        if not line[5:].startswith(("processes", "files", "looks", "ships"))
    )
    done(root, "inopsio-agent", "once")
    assert taken(house) > 0

    rights = ",".join(f"+{c.removeprefix('CAP_').lower()}" for c in CAPABILITIES.split())
    (root / "tmp/restart").write_text(RESTART.format(rights=rights))
    (root / "tmp/restart").chmod(0o755)
    done(root, "chown", "-R", "inopsio-agent:", f"/{DATA}")
    offer(root, publisher, "0.9.0", 1, repacked(made, tmp_path / "good", "0.9.0"))
    result = updated(root)
    assert (result["outcome"], result["version"]) == ("updated", "0.9.0"), result["said"]
    assert done(root, "inopsio-agent", "--version") == "inopsio-agent 0.9.0\n"
    ill = repacked(made, tmp_path / "ill", "0.9.1", ILL.format("0.9.1"))
    offer(root, publisher, "0.9.1", 2, ill)
    result = updated(root, health_s=8)
    assert (result["outcome"], result["version"]) == ("rolled_back", "0.9.1"), result["said"]
    assert done(root, "inopsio-agent", "--version") == "inopsio-agent 0.9.0\n"

    done(root, "dpkg", "-r", "inopsio-agent")
    assert not (root / "opt/inopsio-agent").exists()
    assert (root / DATA / "spool.sqlite").exists()
    done(root, "dpkg", "-P", "inopsio-agent")
    after = files(root)
    left = {k for k in after.keys() | before.keys() if after.get(k) != before.get(k)}
    assert left <= {"opt"}  # dpkg itself takes away a folder that nothing is in any more


ROLE = """\
cd {folder}
play() {{ ansible-playbook -i localhost, -c local agents.yml "$@"; }}
play -e inopsio_agent_package={deb} -e inopsio_agent_url={house.url} \\
  -e inopsio_agent_token="$TOKEN" -e inopsio_agent_ca_fingerprint={house.fingerprint}
play -e inopsio_agent_package={deb}
inopsio-agent doctor || true
stat -c '%U %n' /etc/inopsio-agent/agent.toml /var/lib/inopsio-agent/identity.json
play -e inopsio_agent_state=absent
test ! -e /opt/inopsio-agent -a ! -e /etc/inopsio-agent -a ! -e /var/lib/inopsio-agent
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ansible-playbook") is None, reason="no ansible-playbook")
def test_the_role_installs_enrols_changes_nothing_twice_and_takes_away(
    made: Made, house: House, tmp_path: Path
) -> None:
    (tmp_path / "over").mkdir()
    folder = ROOT / "deploy/agent/ansible"
    script = ROLE.format(folder=folder, deb=made.deb, house=house)
    found = throw_away(tmp_path / "over", script, TOKEN=house.token())
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-1000:]
    recap = r"ok=\d+\s+changed=(\d+)\s+unreachable=0\s+failed=0"
    first, second, _ = re.findall(recap, found.stdout)
    assert int(first) >= 4
    assert second == "0"
    assert "ok   certificate: the server takes events from this agent" in found.stdout
    assert "inopsio-agent /var/lib/inopsio-agent/identity.json" in found.stdout
    assert not Path("/opt/inopsio-agent").exists()


@pytest.mark.skipif(shutil.which("rpmbuild") is None, reason="no rpmbuild")
def test_the_rpm_has_the_same_files_and_leaves_none(made: Made, tmp_path: Path) -> None:
    with tarfile.open(made.tar) as package:
        tree = tmp_path / "tree"
        place = tree / "opt/inopsio-agent/versions" / version()
        place.mkdir(parents=True)
        package.extractall(place, filter="tar")
    for folder in ("usr/bin", "lib/systemd/system", "usr/share/doc/inopsio-agent"):
        (tree / folder).mkdir(parents=True)
    (tree / "usr/bin/inopsio-agent").symlink_to("/opt/inopsio-agent/current/inopsio-agent")
    (tree / "usr/share/doc/inopsio-agent/copyright").write_text("x")
    for name, text in units("/opt/inopsio-agent/current/inopsio-agent").items():
        (tree / "lib/systemd/system" / name).write_text(text)
    words = [str(ROOT / "deploy/agent/rpm.sh"), str(tree), version(), str(tmp_path)]
    env = {**os.environ, "PAYLOAD": "w1.gzdio"}  # quicker
    made_rpm = subprocess.run(words, check=True, capture_output=True, text=True, env=env)
    rpm = made_rpm.stdout.split()[-1]
    root = tmp_path / "root"
    for folder in ("usr/bin", "usr/lib", "usr/sbin", "etc", "proc"):
        (root / folder).mkdir(parents=True)
    # No RPM system is at hand: its own tool installs below a folder, without scripts.
    alone = ["rpm", "--root", str(root), "--nodeps", "--noscripts"]
    subprocess.run([*alone, "-i", rpm], check=True, capture_output=True)
    assert (root / "opt/inopsio-agent/versions" / version() / "inopsio-agent").exists()
    assert (root / "usr/lib/systemd/system" / WATCH).exists()
    words = ["rpm", "-qp", "--scripts", rpm]
    scripts = subprocess.run(words, capture_output=True, text=True, check=True)
    for one in re.split(r"^\w+ \w+ \(using /bin/sh\):$", scripts.stdout, flags=re.MULTILINE)[1:]:
        subprocess.run(["sh", "-n"], input=one, text=True, check=True)
    subprocess.run([*alone, "-e", "inopsio-agent"], check=True, capture_output=True)
    left = [p for p in root.rglob("*") if p.is_file() and "rpm" not in str(p.relative_to(root))]
    assert left == []


PASTED = """\
test ! -e /usr/bin/inopsio-agent
{line}
test "$(stat -c %U:%a /var/lib/inopsio-agent/identity.json)" = inopsio-agent:600
inopsio-agent once
{again}
dpkg -P inopsio-agent
test ! -e /opt/inopsio-agent -a ! -e /etc/inopsio-agent -a ! -e /var/lib/inopsio-agent
"""


@pytest.mark.slow
def test_one_pasted_line_brings_the_agent_and_lets_it_in(
    made: Made, house: House, tmp_path: Path
) -> None:
    needed("curl")
    data = house.desk.settings.data_dir
    add(data, [made.deb])
    line, again = (command(data, house.url, house.token(), house.fingerprint) for _ in range(2))
    (tmp_path / "over").mkdir()
    found = throw_away(tmp_path / "over", PASTED.format(line=line, again=again))
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-2000:]
    (agent,) = house.agents()
    assert agent["enrolments"] == 2
    assert taken(house) > 0
    assert not Path("/opt/inopsio-agent").exists()


@pytest.mark.slow
def test_what_somebody_put_in_the_way_is_not_installed(
    made: Made, house: House, tmp_path: Path
) -> None:
    data = house.desk.settings.data_dir
    add(data, [made.deb])
    line = command(data, house.url, house.token(), house.fingerprint)
    place = data / FOLDER / made.deb.name
    place.write_bytes(place.read_bytes()[:-1] + b"!")
    for wrong, why in (
        (line, f"{made.deb.name} is not what the house has"),
        (line.replace('echo "', 'echo "0'), "sha256sum"),
    ):
        (tmp_path / why[:4]).mkdir()
        script = f"{{ {wrong}; }} && exit 9; test ! -e /opt/inopsio-agent"
        found = throw_away(tmp_path / why[:4], script)
        assert found.returncode == 0, found.stdout[-500:] + found.stderr[-500:]
        assert why in found.stderr
    assert house.agents() == []
