"""Write sshd's settings in every way that sshd reads and a careless judge does not."""

import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from agent.collect.linux import configuration
from agent.collect.linux._keywords import keywords


def judged(file: Path) -> str | None:
    rule = {"file": str(file), "setting": "PermitRootLogin", "want": "no", "default": "no"}
    return configuration.judge(rule)


@pytest.mark.parametrize(
    "line",
    [
        "PermitRootLogin yes", "PermitRootLogin\tyes", "PermitRootLogin=yes",
        "PermitRootLogin = yes", "  permitrootlogin   yes  ", "PermitRootLogin yes # as it was",
        'PermitRootLogin "yes"', 'PermitRootLogin="yes"', "PermitRootLogin yes\r",
        "Match all\nPermitRootLogin yes",
        "Match User x\nPermitRootLogin no\nMatch all\nPermitRootLogin yes",
        "Include more/*.conf", "Include=more/*.conf",
        "Include none more/a.conf", "#PermitRootLogin no\nPermitRootLogin yes\nPermitRootLogin no",
    ],
)  # fmt: skip
def test_what_sshd_takes_for_yes_fails(tmp_path: Path, line: str) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.conf").write_text("PermitRootLogin yes\n")
    (tmp_path / "sshd_config").write_text(f"{line}\n")
    assert judged(tmp_path / "sshd_config") == "fail: it is 'yes'"


@pytest.mark.parametrize(
    "text",
    [
        "# PermitRootLogin yes", "Match User x\n PermitRootLogin yes", "PermitRootLoginX yes",
        "Match User x\n Include more/*.conf", "PermitRootLogin no\nInclude more/*.conf",
        "Include more/deep.conf",
    ],
)  # fmt: skip
def test_what_does_not_count_for_everybody_passes(tmp_path: Path, text: str) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.conf").write_text("PermitRootLogin yes\n")
    (tmp_path / "more" / "deep.conf").write_text("Match User x\nPermitRootLogin yes\n")
    (tmp_path / "sshd_config").write_text(text)
    assert judged(tmp_path / "sshd_config") == "pass"


def test_files_that_include_themselves_and_pipes_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.conf")
    file = tmp_path / "sshd_config"
    file.write_text("Include *\nInclude *\nPermitRootLogin no\n")
    done = threading.Thread(target=lambda: list(keywords(file)), daemon=True)
    done.start()
    done.join(10)
    assert not done.is_alive()


def test_sshd_itself_says_the_same(tmp_path: Path) -> None:
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if sshd is None:
        pytest.skip("no sshd here")
    key, file = tmp_path / "key", tmp_path / "sshd_config"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    for line in ("X11Forwarding\tyes", "X11Forwarding=yes", "X11Forwarding = yes # x"):
        file.write_text(f"HostKey {key}\n{line}\n")
        words = [sshd, "-T", "-f", str(file)]
        told = subprocess.run(words, capture_output=True, text=True, check=False)
        if "Privilege separation" in told.stderr:
            pytest.skip("sshd is here, but not installed: it has no user of its own")
        if told.returncode == 0:  # older ones refuse comments behind a value
            assert "x11forwarding yes" in told.stdout
        assert ("x11forwarding", "yes") in keywords(file)


def test_another_file_has_its_folder_beside(tmp_path: Path) -> None:
    (tmp_path / "own.conf.d").mkdir()
    (tmp_path / "own.conf.d" / "a.conf").write_text("PermitRootLogin yes\n")
    (tmp_path / "own.conf").write_text("PermitRootLogin no\n")
    assert judged(tmp_path / "own.conf") == "fail: it is 'yes'"
