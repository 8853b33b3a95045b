"""Install the agent as hardened systemd units, and take it away without trace.

`inopsio-agent.service` ships: it has the network, no rights. `inopsio-agent-watch.service` looks:
it has rights and no network. They share the spool. `inopsio-agent-respond.service` does what the
house asks for on this host, and is left out by `--no-response`; it has no network either.
"""

import argparse
import os
import pwd
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Final

from agent.errors import AgentError
from agent.identity import load
from agent.respond import lifted
from agent.ship import Server
from agent.voice import tell

SHIP: Final = "inopsio-agent.service"
WATCH: Final = "inopsio-agent-watch.service"
RESPOND: Final = "inopsio-agent-respond.service"
UNITS: Final = Path("etc/systemd/system")
PACKAGED: Final = Path("lib/systemd/system")
"""Where a package puts them; then `install` only says where the server is."""
CONFIG: Final = Path("etc/inopsio-agent")
DATA: Final = Path("var/lib/inopsio-agent")
USER: Final = "inopsio-agent"

_COMMON: Final = """\
Restart=always
RestartSec=5
User=inopsio-agent
Group=inopsio-agent
StateDirectory=inopsio-agent
StateDirectoryMode=0700
UMask=0077
NoNewPrivileges=yes
ProtectSystem=strict
PrivateTmp=yes
PrivateMounts=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
SystemCallArchitectures=native
MemoryMax=160M
CPUQuota=25%
TasksMax=64
"""

SHIP_UNIT: Final = (
    """\
[Unit]
Description=Inopsio agent: ships what was seen
After=network-online.target
Wants=network-online.target

[Service]
ExecStart={program} --data /var/lib/inopsio-agent run --only ship
"""
    + _COMMON
    + """\
ProtectHome=yes
PrivateDevices=yes
PrivateUsers=yes
ProtectProc=invisible
ProcSubset=pid
MemoryDenyWriteExecute=yes
CapabilityBoundingSet=
AmbientCapabilities=
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources

[Install]
WantedBy=multi-user.target
"""
)

WATCH_UNIT: Final = (
    """\
[Unit]
Description=Inopsio agent: looks at this host
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
WatchdogSec=180
ExecStart={program} --data /var/lib/inopsio-agent run --only look
"""
    + _COMMON
    + """\
ProtectHome=read-only
PrivateDevices=yes
MemoryDenyWriteExecute=yes
IPAddressDeny=any
DevicePolicy=closed
CapabilityBoundingSet={capabilities}
AmbientCapabilities={capabilities}
RestrictAddressFamilies=AF_NETLINK AF_UNIX
SystemCallFilter=@system-service bpf fanotify_init fanotify_mark name_to_handle_at
SystemCallFilter=~@resources

[Install]
WantedBy=multi-user.target
"""
)
RESPOND_UNIT: Final = (
    """\
[Unit]
Description=Inopsio agent: does what the house asks for on this host
StartLimitIntervalSec=0

[Service]
ExecStart={program} --data /var/lib/inopsio-agent run --only respond
"""
    + _COMMON
    + """\
ProtectHome=read-only
PrivateDevices=yes
MemoryDenyWriteExecute=yes
IPAddressDeny=any
DevicePolicy=closed
CapabilityBoundingSet={capabilities}
AmbientCapabilities={capabilities}
RestrictAddressFamilies=AF_NETLINK AF_UNIX
SystemCallFilter=@system-service pidfd_open pidfd_send_signal fanotify_init fanotify_mark
SystemCallFilter=~@resources

[Install]
WantedBy=multi-user.target
"""
)
RESPONDING: Final = "CAP_NET_ADMIN CAP_KILL CAP_DAC_READ_SEARCH CAP_SYS_PTRACE CAP_SYS_ADMIN"
"""nftables; processes of others; files of others; memory maps; fanotify's word on programs."""
CAPABILITIES: Final = (
    "CAP_NET_ADMIN CAP_DAC_READ_SEARCH CAP_SYS_PTRACE CAP_AUDIT_READ CAP_BPF CAP_PERFMON "
    "CAP_SYS_ADMIN"
)
"""Netlink; files of others; processes of others; audit; the programs in the kernel; fanotify."""


def add_words(acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the two commands."""
    sub = acts.add_parser("install", help="run at boot, as hardened systemd units")
    sub.add_argument("--url", help="the server, https://...; not needed once enrolled")
    sub.add_argument("--token-file", type=Path, help="file with the token; it is copied, mode 0600")
    sub.add_argument("--ca", type=Path, help="certificate of the server's own CA; it is copied")
    sub.add_argument(
        "--no-response", action="store_true", help="the house may ask for no action on this host"
    )
    sub.add_argument("--root", type=Path, default=Path("/"), help="install below this folder")
    sub.set_defaults(act=_install)
    sub = acts.add_parser("uninstall", help="take all of it away")
    sub.add_argument("--keep-data", action="store_true", help="leave the spool where it is")
    sub.add_argument("--root", type=Path, default=Path("/"), help="what was given to install")
    sub.set_defaults(act=_uninstall)


def units(program: str) -> dict[str, str]:
    """Give the text of each unit."""
    return {
        SHIP: SHIP_UNIT.format(program=program),
        WATCH: WATCH_UNIT.format(program=program, capabilities=CAPABILITIES),
        RESPOND: RESPOND_UNIT.format(program=program, capabilities=RESPONDING),
    }


def _install(given: argparse.Namespace) -> int:
    root: Path = given.root
    _check(given, root)
    folder = root / CONFIG
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    said = _settings(given, folder)
    _write(folder / "agent.toml", ("\n".join(said) + "\n").encode(), 0o640)
    names = [n for n in (WATCH, SHIP, RESPOND) if n != RESPOND or not given.no_response]
    if not (root / PACKAGED / SHIP).exists():
        (root / UNITS).mkdir(parents=True, exist_ok=True)
        for name in names:
            (root / UNITS / name).write_text(units(_program())[name], encoding="utf-8")
    if root == Path("/"):
        _account(folder)
        _systemctl("daemon-reload")
        _systemctl("enable", "--now", *names)
        if given.no_response:
            _systemctl("disable", "--now", RESPOND)
    tell(f"installed: {', '.join(names)}; see `inopsio-agent doctor`")
    return 0


def _check(given: argparse.Namespace, root: Path) -> None:
    if given.url:
        Server(given.url)  # refuses an address that would show the token
        if given.token_file is None:
            raise AgentError("--url needs --token-file; a host that is enrolled needs neither")
    elif load(root / DATA) is None:
        raise AgentError("give --url and a token, or enroll first")
    if root == Path("/") and os.geteuid() != 0:
        raise AgentError("install needs root: it writes units and makes an account")


def _settings(given: argparse.Namespace, folder: Path) -> list[str]:
    said = [f'url = "{given.url}"'] if given.url else []
    for name, source, target in (
        ("token_file", given.token_file, "token"),
        ("ca", given.ca, "ca.pem"),
    ):
        if source is not None:
            _copy(source, folder / target)
            said.append(f'{name} = "/{CONFIG / target}"')
    return [*said, "response = false"] if given.no_response else said


def _copy(source: Path, target: Path) -> None:
    try:
        content = source.read_bytes()
    except OSError as error:
        raise AgentError(f"{source} cannot be read: {error}") from error
    _write(target, content, 0o600)


def _write(target: Path, content: bytes, mode: int) -> None:
    """Write a new file in the place of what lies there, which may be a link."""
    target.unlink(missing_ok=True)
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(handle, "wb") as out:
        out.write(content)


def _program() -> str:
    if getattr(sys, "frozen", False):
        return sys.executable
    return f"{sys.executable} -m agent"


def _account(folder: Path) -> None:
    """Make the account that both units run as, and give it the settings."""
    shell = shutil.which("nologin") or "/usr/sbin/nologin"
    words = ("useradd", "--system", "--user-group", "--no-create-home", "--shell", shell, USER)
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode not in {0, 9}:  # 9: it is there
        raise AgentError(f"useradd: {done.stderr.strip()}")
    account = pwd.getpwnam(USER)
    for place in (folder, Path("/") / DATA):
        given(place, account.pw_uid, account.pw_gid)


def given(folder: Path, uid: int, gid: int) -> list[Path]:
    """Give a folder and all below it to an account; give what was given.

    What the account itself may have put there is left: links, and files that lie elsewhere too.
    """
    found = []
    for path, _, names, here in os.fwalk(folder, follow_symlinks=False):
        os.fchown(here, uid, gid)
        found.append(Path(path))
        for name in names:
            told = os.stat(name, dir_fd=here, follow_symlinks=False)
            if stat.S_ISREG(told.st_mode) and told.st_nlink == 1:
                os.chown(name, uid, gid, dir_fd=here, follow_symlinks=False)
                found.append(Path(path, name))
    return found


def _uninstall(given: argparse.Namespace) -> int:
    root: Path = given.root
    if root == Path("/"):
        if os.geteuid() != 0:
            raise AgentError("uninstall needs root")
        _systemctl("disable", "--now", RESPOND, WATCH, SHIP)
        lifted(Path("/") / DATA)
    for name in (SHIP, WATCH, RESPOND):
        (root / UNITS / name).unlink(missing_ok=True)
    shutil.rmtree(root / CONFIG, ignore_errors=True)
    if not given.keep_data:
        shutil.rmtree(root / DATA, ignore_errors=True)
    if root == Path("/"):
        _systemctl("daemon-reload")
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
