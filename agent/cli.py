"""Be the `inopsio-agent` command."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from agent.settings import config_place
from agent.start import guarded
from agent.system import IS_POSIX, own_account, windows_home
from agent.version import version

DONE, FAILED, WRONG_USE = 0, 1, 2
DATA: Final = Path("/var/lib/inopsio-agent")
"""Of root, as the units have it; others keep theirs at home."""
Act = Callable[[Any], int]
"""What it is given are the words that its command has."""


def _by(module: str, name: str) -> Act:
    """Give an act whose module is loaded when it is called: a unit holds only what it needs."""

    def act(given: Any) -> int:  # noqa: ANN401  words
        return int(getattr(importlib.import_module(f"agent.{module}"), name)(given))

    return act


def main() -> None:
    """Run one command; 0 done, 1 failed, 2 wrong use."""
    sys.exit(command(sys.argv[1:]))


def command(words: list[str]) -> int:
    """Run the command that the words name; give the exit code."""
    try:
        given = _parser().parse_args(words)
    except SystemExit as left:
        return int(left.code or 0)
    return guarded(given.act, given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("inopsio-agent", description="Watch this host; ship events.")
    parser.add_argument(
        "--data",
        type=Path,
        default=_data(),
        help="folder of the spool (default INOPSIO_AGENT_DATA, else %(default)s)",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version()}")
    parser.add_argument("--config", type=Path, help=f"settings, TOML (default {config_place()})")
    acts = parser.add_subparsers(
        required=True, metavar="enroll|run|once|status|queue|doctor|lift|install|uninstall|update"
    )
    _enroll_words(acts)
    for name, act, text in (
        ("run", _by("running", "run_halves"), "look and ship until stopped"),
        ("once", _by("commands", "once"), "look once, ship all, end"),
        ("doctor", _by("commands", "doctor"), "say what hinders the agent, and the way out"),
        *(() if IS_POSIX else (("service", _by("commands", "service"), "run, as a service"),)),
    ):
        sub = acts.add_parser(name, help=text)
        _server_words(sub)
        sub.set_defaults(act=act, only=None, idle_s=0.0)
        if name == "run":
            sub.add_argument(
                "--only",
                choices=("look", "ship", "respond"),
                help="one part, where units share the work",
            )
            sub.add_argument(
                "--idle-s",
                type=float,
                default=0.0,
                help="the part that responds ends when it has had nothing to do for so long",
            )
    sub = acts.add_parser("check-order", help="read what the house signed; say what it says")
    sub.add_argument("about", choices=("policy", "action"))
    sub.set_defaults(act=_by("commands", "check_order"))
    for name, act, text in (
        (
            "status",
            _by("commands", "status"),
            "how the agent is; one JSON row if not on a terminal",
        ),
        ("queue", _by("commands", "queue"), "what waits, was sent, was dropped: a JSON row a lane"),
        (
            "lift",
            _by("commands", "lift"),
            "take back each isolation, block and suspension",
        ),
    ):
        sub = acts.add_parser(name, help=text)
        sub.set_defaults(act=act)
        if name == "status":
            sub.add_argument("--json", action="store_true", help="one JSON row on a terminal too")
    _install_words(acts)
    _update_words(acts)
    return parser


def _enroll_words(acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sub = acts.add_parser("enroll", help="become known to the house, by a token that works once")
    sub.add_argument("--url", required=True, help="the agents' listener, https://HOST:PORT")
    sub.add_argument(
        "--token",
        default="",
        help="the enrolment token, for scripts: whoever is on the host can read it meanwhile",
    )
    sub.add_argument(
        "--token-file",
        type=Path,
        help="file with the token, - for standard input (else INOPSIO_AGENT_TOKEN)",
    )
    sub.add_argument(
        "--ca-fingerprint", required=True, help="sha256:... of the house's authority for agents"
    )
    sub.set_defaults(act=_by("commands", "enroll"))


def _data() -> Path:
    said = os.environ.get("INOPSIO_AGENT_DATA", "")
    if said or own_account() == 0:
        return Path(said or DATA)
    if not IS_POSIX:
        return windows_home()
    return Path("~/.local/state/inopsio-agent").expanduser()


def _server_words(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--url", help="the server, https://...; not needed once enrolled")
    sub.add_argument(
        "--token-file", type=Path, help="file with the token (else INOPSIO_AGENT_TOKEN)"
    )
    sub.add_argument("--ca", type=Path, help="certificate of the server's own CA (PEM)")
    sub.add_argument(
        "--log",
        action="append",
        default=[],
        metavar="PATH[=FORMAT]",
        help="a log file to follow (format syslog if not given); repeatable",
    )


def _update_words(acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sub = acts.add_parser("update", help="put a fetched version in place (its unit does this)")
    sub.add_argument("--restart", help="command that restarts the agent, where no systemd runs")
    sub.add_argument(
        "--health-s", type=float, default=180.0, help="how long it may take to do well"
    )
    sub.set_defaults(act=_by("commands", "update"))


def _install_words(acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sub = acts.add_parser("install", help="run at boot, as hardened systemd units")
    sub.add_argument("--url", help="the server, https://...; not needed once enrolled")
    sub.add_argument("--token-file", type=Path, help="file with the token; it is copied, mode 0600")
    sub.add_argument("--ca", type=Path, help="certificate of the server's own CA; it is copied")
    sub.add_argument(
        "--release-key", type=Path, help="public key (PEM) whose signed releases are installed"
    )
    sub.add_argument(
        "--no-response",
        action="store_true",
        help="the house may ask for no action on this host; stays so until agent.toml is edited",
    )
    sub.add_argument("--root", type=Path, default=Path("/"), help="install below this folder")
    place = "install" if IS_POSIX else "windows.install"
    sub.set_defaults(act=_by(place, "install"))
    sub = acts.add_parser("uninstall", help="take all of it away")
    sub.add_argument("--keep-data", action="store_true", help="leave the spool where it is")
    sub.add_argument("--root", type=Path, default=Path("/"), help="what was given to install")
    if not IS_POSIX:
        sub.add_argument("--only-stop", action="store_true", help="stop it; remove nothing")
    sub.set_defaults(act=_by(place, "uninstall"))
