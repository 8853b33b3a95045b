"""Install the agent as hardened systemd units, and take it away without trace.

On Windows `agent.windows.install` does both.
"""

import argparse
import importlib
import os
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

from agent.errors import AgentError
from agent.identity import load
from agent.lift import lifted
from agent.pin import PIN, put
from agent.place import KEPT, KEY, PLACE
from agent.settings import load as load_settings
from agent.ship import Server
from agent.system import own_account
from agent.units import RESPOND, RESPOND_PATH, SHIP, UPDATE_PATH, USER, WATCH, units
from agent.voice import tell

UNITS: Final = Path("etc/systemd/system")
PACKAGED: Final = Path("lib/systemd/system")
"""Where a package puts them; then `install` only says where the server is."""
CONFIG: Final = Path("etc/inopsio-agent")
DATA: Final = Path("var/lib/inopsio-agent")


def install(given: argparse.Namespace) -> int:
    """Install: settings, account, units; nothing is begun below another folder than /."""
    root: Path = given.root
    _check(given, root)
    folder = root / CONFIG
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    toml = folder / "agent.toml"
    _write(toml, changed(_text(toml), _settings(given, folder)).encode(), 0o640)
    key = root / PLACE.relative_to("/") / KEY
    if given.release_key is not None:
        key.parent.mkdir(parents=True, exist_ok=True)
        _copy(given.release_key, key, 0o644)
    left_out = set() if load_settings(toml, is_needed=True).response else {RESPOND, RESPOND_PATH}
    _pin(root)
    names = _units(root, left_out)
    if root == Path("/"):
        _account(folder)
        _systemctl("daemon-reload")
        begin = [name for name in (WATCH, SHIP, RESPOND_PATH) if name not in left_out]
        _systemctl("enable", "--now", *begin, *((UPDATE_PATH,) if key.exists() else ()))
        if left_out:
            _systemctl("disable", "--now", RESPOND_PATH, RESPOND)
    tell(f"installed: {', '.join(names)}; see `inopsio-agent doctor`")
    return 0


def _check(given: argparse.Namespace, root: Path) -> None:
    if given.url:
        Server(given.url)  # refuses an address that would show the token
        if given.token_file is None:
            raise AgentError("--url needs --token-file; a host that is enrolled needs neither")
    elif load(root / DATA) is None:
        raise AgentError("give --url and a token, or enroll first")
    if root == Path("/") and own_account() != 0:
        raise AgentError("install needs root: it writes units and makes an account")


def _settings(given: argparse.Namespace, folder: Path) -> dict[str, str]:
    """Copy what was given; give the settings that it changes, each as TOML has its value."""
    said = {"url": f'"{given.url}"'} if given.url else {}
    for name, source, target in (
        ("token_file", given.token_file, "token"),
        ("ca", given.ca, "ca.pem"),
    ):
        if source is not None:
            _copy(source, folder / target)
            said[name] = f'"/{CONFIG / target}"'
    return {**said, "response": "false"} if given.no_response else said


def _text(toml: Path) -> str:
    """Give the settings that are there, '' if none are; a link says nothing of this host's."""
    if toml.is_symlink() or not toml.exists():
        return ""
    try:
        with os.fdopen(os.open(toml, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8") as file:
            return file.read()
    except (OSError, ValueError) as wrong:
        raise AgentError(f"{toml} cannot be read: {wrong}") from wrong


def changed(old: str, said: dict[str, str]) -> str:
    r"""Give the settings with these values and all else as it was; AgentError if they are unclear.

    >>> changed('ring = "early"\nurl = "https://a"\n', {"url": '"https://b"'})
    'url = "https://b"\nring = "early"\n'
    """
    lines = old.splitlines()
    tables = next((n for n, line in enumerate(lines) if line.startswith("[")), len(lines))
    kept = [line for line in lines[:tables] if line.partition("=")[0].strip() not in said]
    text = "".join(
        f"{line}\n" for line in [*(f"{k} = {v}" for k, v in said.items()), *kept, *lines[tables:]]
    )
    try:
        new = "\n".join(f"{k} = {v}" for k, v in said.items())
        if tomllib.loads(text) == tomllib.loads(old) | tomllib.loads(new):
            return text
    except tomllib.TOMLDecodeError as wrong:
        raise AgentError(f"agent.toml cannot be changed: {wrong}; edit it by hand") from wrong
    raise AgentError(f"agent.toml cannot be changed: edit {', '.join(said)} by hand")


def _units(root: Path, left_out: set[str]) -> list[str]:
    """Write the units unless a package brought them; give their names."""
    wanted = {name: text for name, text in units(_program()).items() if name not in left_out}
    if not (root / PACKAGED / SHIP).exists():
        (root / UNITS).mkdir(parents=True, exist_ok=True)
        for name, text in wanted.items():
            (root / UNITS / name).write_text(text, encoding="utf-8")
    return list(wanted)


def _copy(source: Path, target: Path, mode: int = 0o600) -> None:
    try:
        content = source.read_bytes()
    except OSError as error:
        raise AgentError(f"{source} cannot be read: {error}") from error
    _write(target, content, mode)


def _write(target: Path, content: bytes, mode: int) -> None:
    """Write a new file in the place of what lies there, which may be a link."""
    target.unlink(missing_ok=True)
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(handle, "wb") as out:
        out.write(content)


def _program() -> str:
    if getattr(sys, "frozen", False):
        return sys.executable
    return f"{sys.executable} -P -m agent"


def _account(folder: Path) -> None:
    """Make the account that the units run as, and give it the settings."""
    shell = shutil.which("nologin") or "/usr/sbin/nologin"
    words = ("useradd", "--system", "--user-group", "--no-create-home", "--shell", shell, USER)
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode not in {0, 9}:  # 9: it is there
        raise AgentError(f"useradd: {done.stderr.strip()}")
    account = importlib.import_module("pwd").getpwnam(USER)  # there is none on Windows
    data = Path("/") / DATA
    data.mkdir(parents=True, exist_ok=True, mode=0o700)  # by a token there was no enrolment
    given(data, account.pw_uid, account.pw_gid)
    # Settings and pin stay root's: whoever takes the account over may read and not change them.
    given(folder, 0, account.pw_gid, (0o750, 0o640))


def _pin(root: Path) -> None:
    """Pin the authority of a host that was enrolled before pins were kept; one stays as it is."""
    pin, authority = root / PIN.relative_to("/"), root / DATA / "authority.pem"
    if authority.exists() and not pin.exists():
        with os.fdopen(os.open(authority, os.O_RDONLY | os.O_NOFOLLOW), encoding="ascii") as file:
            put(pin, file.read(1 << 16))


def given(folder: Path, uid: int, gid: int, modes: tuple[int, int] | None = None) -> list[Path]:
    """Give a folder and all below it to an account; give what was given.

    What the account itself may have put there is left: links, and files that lie elsewhere too.
    `modes`: of folders and of files, if they are to be set.
    """
    found = []
    for path, _, names, here in os.fwalk(folder, follow_symlinks=False):
        os.fchown(here, uid, gid)
        if modes is not None:
            os.fchmod(here, modes[0])
        found.append(Path(path))
        found += [Path(path, name) for name in names if _file_given(name, here, uid, gid, modes)]
    return found


def _file_given(name: str, here: int, uid: int, gid: int, modes: tuple[int, int] | None) -> bool:
    """Give a file to an account by its handle: by its name it might be another one by then."""
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
    except OSError:  # a link, or gone
        return False
    try:
        told = os.fstat(handle)
        if not stat.S_ISREG(told.st_mode) or told.st_nlink != 1:
            return False
        os.fchown(handle, uid, gid)
        if modes is not None:
            os.fchmod(handle, modes[1])
    finally:
        os.close(handle)
    return True


def uninstall(given: argparse.Namespace) -> int:
    """Take all of it away."""
    root: Path = given.root
    if root == Path("/"):
        if own_account() != 0:
            raise AgentError("uninstall needs root")
        _systemctl("disable", "--now", UPDATE_PATH, RESPOND_PATH, RESPOND, WATCH, SHIP)
        lifted(Path("/") / DATA)
    for name in units(""):
        (root / UNITS / name).unlink(missing_ok=True)
    shutil.rmtree(root / CONFIG, ignore_errors=True)
    if not given.keep_data:
        for place in (DATA, KEPT.relative_to("/")):
            shutil.rmtree(root / place, ignore_errors=True)
    if not (root / PACKAGED / SHIP).exists():
        (root / PLACE.relative_to("/") / KEY).unlink(missing_ok=True)
    if root == Path("/"):
        _systemctl("daemon-reload")
        _systemctl("reset-failed", "inopsio-agent*")
        for program in ("userdel", "groupdel"):  # the group may have gone with the account
            subprocess.run((program, USER), check=False, capture_output=True)
    tell("the agent is gone" + ("; its spool stays" if given.keep_data else ""))
    return 0


def _systemctl(*words: str) -> None:
    program = shutil.which("systemctl")
    if program is None or not Path("/run/systemd/system").is_dir():
        tell(f"systemd does not run here: systemctl {' '.join(words)} was left out")
        return
    done = subprocess.run((program, *words), check=False, capture_output=True, text=True)
    if done.returncode:
        tell(f"systemctl {' '.join(words)}: {done.stderr.strip()}")
