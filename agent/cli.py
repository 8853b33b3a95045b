"""Be the `inopsio-agent` command."""

import argparse
import importlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from agent.errors import AgentError
from agent.identity import alone, load
from agent.run import agent_id, look_once, run, ship_all, tasks, tell
from agent.ship import Server
from agent.spool import Spool

DONE, FAILED, WRONG_USE = 0, 1, 2


def main() -> None:
    """Run one command; 0 done, 1 failed, 2 wrong use."""
    sys.exit(command(sys.argv[1:]))


def command(words: list[str]) -> int:
    """Run the command that the words name; give the exit code."""
    try:
        given = _parser().parse_args(words)
    except SystemExit as left:
        return int(left.code or 0)
    try:
        return int(given.act(given))
    except AgentError as wrong:
        tell(f"inopsio-agent: {wrong}")
        return FAILED
    except Exception as unforeseen:  # noqa: BLE001  the command's last line
        tell(f"inopsio-agent: unforeseen {type(unforeseen).__name__}: {unforeseen}")
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("inopsio-agent", description="Watch this host; ship events.")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("/var/lib/inopsio-agent"),
        help="folder of the spool (default %(default)s)",
    )
    acts = parser.add_subparsers(required=True, metavar="enroll|run|once|status")
    sub = acts.add_parser("enroll", help="become known to the house, by a token that works once")
    sub.add_argument("--url", required=True, help="the agents' listener, https://HOST:PORT")
    sub.add_argument("--token", default="", help="the enrolment token (else as run takes its own)")
    sub.add_argument("--token-file", type=Path, help="file with the token")
    sub.add_argument(
        "--ca-fingerprint", required=True, help="sha256:... of the house's authority for agents"
    )
    sub.set_defaults(act=_enroll)
    for name, act, text in (
        ("run", _run, "look and ship until stopped"),
        ("once", _once, "look once, ship all, end"),
    ):
        sub = acts.add_parser(name, help=text)
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
        sub.set_defaults(act=act)
    sub = acts.add_parser("status", help="what waits, was sent, was dropped (JSON)")
    sub.set_defaults(act=_status)
    return parser


def _server(given: argparse.Namespace) -> Server:
    if given.url is None:
        identity = load(given.data)
        if identity is None:
            raise AgentError(
                f"not enrolled in {given.data}; enroll first, or give --url and a token"
            )
        return Server(identity.url, identity=identity)
    return Server(given.url, _token(given), given.ca)


def _token(given: argparse.Namespace) -> str:
    if given.token_file:
        try:
            token = given.token_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise AgentError(f"the token file cannot be read: {error}") from error
    else:
        token = os.environ.get("INOPSIO_AGENT_TOKEN", "")
    if not token:
        raise AgentError("no token; give --token-file or set INOPSIO_AGENT_TOKEN")
    return str(token)


def _enroll(given: argparse.Namespace) -> int:
    held = alone(given.data)
    # By name: the key's library is needed here, and not by an agent that runs.
    made = importlib.import_module("agent.enroll").enroll(
        given.data, given.url, given.token or _token(given), given.ca_fingerprint
    )
    os.close(held)
    tell(f"enrolled in tenant {made.tenant_id} as agent {made.agent_id}")
    return DONE


def _logs(given: argparse.Namespace) -> list[tuple[Path, str]]:
    found = []
    for text in given.log:
        path, _, named = text.partition("=")
        found.append((Path(path), named or "syslog"))
    return found


def _spool(given: argparse.Namespace) -> Spool:
    return Spool(given.data / "spool.sqlite")


def _run(given: argparse.Namespace) -> int:
    held = alone(given.data)
    server, spool, stop = _server(given), _spool(given), threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    tell(f"agent {server.sender(agent_id(spool))} ships to {server.url}")
    run(spool, server, _logs(given), stop)
    spool.close()
    os.close(held)
    return DONE


def _once(given: argparse.Namespace) -> int:
    held = alone(given.data)
    server, spool = _server(given), _spool(given)
    kept = look_once(tasks(spool, _logs(given)), time.time_ns() // 1000)
    sent = ship_all(spool, server)
    tell(f"{kept} events kept, {sent} sent")
    spool.close()
    os.close(held)
    return DONE


def _status(given: argparse.Namespace) -> int:
    if not (given.data / "spool.sqlite").exists():
        raise AgentError(f"no spool in {given.data}; the agent has not run with this --data")
    spool = _spool(given)
    for row in spool.queue():
        print(json.dumps(row))  # noqa: T201  the command's result
    spool.close()
    return DONE
