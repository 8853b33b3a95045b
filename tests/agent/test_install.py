"""Install over what is there: only what was given changes."""

import hashlib
import ssl
import tomllib
from pathlib import Path

import pytest

from agent import cli
from agent.errors import AgentError
from agent.install import changed

OLD = """\
# of this host
response = false
ring = "canary"
logs = [
  "/var/log/app.log",
]
off = ["packages"]
update_url = "https://releases.example/agent"
url = "https://a.example"
token_file = "/etc/inopsio-agent/token"

[collect.file_integrity]
url = "not ours"
paths = ["/srv"]
"""


def test_a_key_of_releases_changes_no_setting_and_starts_no_response(tmp_path: Path) -> None:
    folder = tmp_path / "etc/inopsio-agent"
    folder.mkdir(parents=True)
    (folder / "agent.toml").write_text(OLD)
    key, token = tmp_path / "key.pub", tmp_path / "token"
    key.write_text("key")
    token.write_text("secret")
    words = ["install", "--url", "https://b.example", "--token-file", str(token)]
    assert cli.command([*words, "--release-key", str(key), "--root", str(tmp_path)]) == 0
    found = tomllib.loads((folder / "agent.toml").read_text())
    assert found == tomllib.loads(OLD) | {"url": "https://b.example"}
    assert not (tmp_path / "etc/systemd/system/inopsio-agent-respond.service").exists()


def test_settings_that_cannot_be_changed_line_by_line_are_left_to_people() -> None:
    with pytest.raises(AgentError, match="by hand"):
        changed('response = [\n  "query",\n]\n', {"response": "false"})


def test_install_pins_the_authority_once(tmp_path: Path) -> None:
    data, token = tmp_path / "var/lib/inopsio-agent", tmp_path / "token"
    data.mkdir(parents=True)
    token.write_text("secret")
    words = ["install", "--url", "https://a.example", "--token-file", str(token)]
    for content in (b"first", b"second"):
        (data / "authority.pem").write_text(ssl.DER_cert_to_PEM_cert(content))
        assert cli.command([*words, "--root", str(tmp_path)]) == 0
    pin = (tmp_path / "etc/inopsio-agent/authority.sha256").read_text()
    assert pin == hashlib.sha256(b"first").hexdigest() + "\n"
