"""Be the `inopsio-agent` command."""

import argparse
import importlib
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Final

from agent import doctor, install, lifeline
from agent.beat import houses
from agent.collect._shape import agent_event, now_us
from agent.deliver import ACCEPTED, SKEW, ship_all
from agent.errors import AgentError
from agent.identity import alone
from agent.identity import load as load_identity
from agent.incarnation import Marking, place_of, settle
from agent.keep import keep
from agent.lift import lifted
from agent.ordered import Ordered, begin_beating, begin_responding
from agent.pin import pin_of, put
from agent.policy import REFUSED
from agent.renewal import keep_renewed
from agent.respond import note_half
from agent.run import Loop, agent_id, look_once, run, run_shipper, tasks
from agent.settings import Settings, config_place, load, logs_of
from agent.ship import Sender, Server
from agent.spool import Spool
from agent.system import IS_POSIX, own_account, resident_bytes, windows_home
from agent.update import KEY, PLACE
from agent.version import version
from agent.voice import tell
from agent.watchdog import Watchdog, begin_anew, begun_anew, guard, notify

DONE, FAILED, WRONG_USE = 0, 1, 2
DATA: Final = Path("/var/lib/inopsio-agent")
"""Of root, as the units have it; others keep theirs at home."""
HEALTH_S: Final = 60.0
HEALTH: Final = "health"
"""Note of the spool: what the agent last said of itself."""


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
        default=_data(),
        help="folder of the spool (default INOPSIO_AGENT_DATA, else %(default)s)",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version()}")
    parser.add_argument("--config", type=Path, help=f"settings, TOML (default {config_place()})")
    acts = parser.add_subparsers(
        required=True, metavar="enroll|run|once|status|queue|doctor|install|uninstall|update"
    )
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
        ("doctor", _doctor, "say what hinders the agent, and the way out"),
        *(() if IS_POSIX else (("service", _service, "run, as the service manager asks"),)),
    ):
        sub = acts.add_parser(name, help=text)
        _server_words(sub)
        sub.set_defaults(act=act)
        sub.set_defaults(only=None)
        if name == "run":
            sub.add_argument(
                "--only",
                choices=("look", "ship", "respond"),
                help="one part, where units share the work",
            )
    sub = acts.add_parser("check-order", help="read what the house signed; say what it says")
    sub.add_argument("about", choices=("policy", "action"))
    sub.set_defaults(act=_check_order)
    for name, act, text in (
        ("status", _status, "how the agent is, one JSON row"),
        ("queue", _queue, "what waits, was sent, was dropped: a JSON row a lane"),
        ("lift", _lift, "take back every isolation, block and suspension on this host"),
    ):
        acts.add_parser(name, help=text).set_defaults(act=act)
    install.add_words(acts)
    sub = acts.add_parser("update", help="put a fetched version in place (its unit does this)")
    sub.add_argument("--restart", help="command that restarts the agent, where no systemd runs")
    sub.add_argument(
        "--health-s", type=float, default=180.0, help="how long it may take to do well"
    )
    sub.set_defaults(act=_update)
    return parser


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


def _settings(given: argparse.Namespace) -> Settings:
    return load(given.config or config_place(), is_needed=given.config is not None)


def _server(given: argparse.Namespace, said: Settings) -> Server:
    url = given.url or said.url
    if url:
        return Server(url, _token(given.token_file or said.token_file), given.ca or said.ca)
    identity = load_identity(given.data)
    if identity is None:
        raise AgentError(f"not enrolled in {given.data}; enroll first, or give --url and a token")
    return Server(identity.url, identity=identity)


def _token(file: Path | None) -> str:
    if file:
        try:
            token = file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise AgentError(f"the token file cannot be read: {error}") from error
    else:
        token = os.environ.get("INOPSIO_AGENT_TOKEN", "")
    if not token:
        raise AgentError("no token; give --token-file or set INOPSIO_AGENT_TOKEN")
    return token


def _enroll(given: argparse.Namespace) -> int:
    held = alone(given.data)
    # By name: the key's library is needed here, and not by an agent that runs.
    made = importlib.import_module("agent.enroll").enroll(
        given.data, given.url, given.token or _token(given.token_file), given.ca_fingerprint
    )
    os.close(held)
    pin = pin_of(given.data)
    if pin is not None and own_account() == 0:
        put(pin, (given.data / "authority.pem").read_text(encoding="ascii"))
    tell(f"enrolled in tenant {made.tenant_id} as agent {made.agent_id}")
    return DONE


def _logs(given: argparse.Namespace, said: Settings) -> list[tuple[Path, str]]:
    return list(dict.fromkeys((*said.logs, *logs_of(given.log))))


def _spool(given: argparse.Namespace, said: Settings) -> Spool:
    return Spool(given.data / "spool.sqlite", said.spool_mb << 20)


def _update(given: argparse.Namespace) -> int:
    # By name: what updates is no part of what runs all day.
    make = importlib.import_module("agent.updating").host
    host = make(given.data, _settings(given).ring, given.restart, given.health_s)
    outcome = importlib.import_module("agent.update").update(host)
    return DONE if outcome in {"updated", "none"} else FAILED


def _look_for_versions(
    given: argparse.Namespace, said: Settings, server: Server, stop: threading.Event
) -> None:
    # On Windows there are no releases yet, and anybody may make a folder of that name.
    if not IS_POSIX or not os.access(PLACE / KEY, os.R_OK):
        return
    importlib.import_module("agent.updating").start(given.data, said, server, stop)


def _service(given: argparse.Namespace) -> int:
    # By name: it loads on Windows only.
    served = importlib.import_module("agent.windows.served")

    def is_known() -> bool:
        return bool(given.url or _settings(given).url or load_identity(given.data))

    return int(served.serve(lambda stop: _run_until(given, stop), given.data, is_known))


def _run(given: argparse.Namespace) -> int:
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    return _run_until(given, stop)


def _run_until(given: argparse.Namespace, stop: threading.Event) -> int:
    said = _settings(given)
    # Two lookers would tell everything twice, two shippers look like a stolen key.
    halves = {"look": ("look",), "ship": ("",), "respond": ("respond",)}
    mine = halves.get(given.only, ("look", "", "respond"))
    held = [alone(given.data / half) for half in mine]
    sender = None
    spool = _spool(given, said)
    if given.only in {None, "look"} and settle(spool, place_of(given.data)):
        tell("the rows to come get numbers of their own: the spool or the host is set back, or new")
    note_half(spool, given.only or "look", os.getpid())
    if given.only in {None, "ship"}:
        server = _server(given, said)
        sends = Sender(server, agent_id(spool), socket.gethostname())
        sends.houses = houses(spool)
        sender = Marking(sends, spool, given.data)
        tell(f"agent {server.sender(agent_id(spool))} ships to {server.url}")
        if server.identity is not None:
            papers = (server.identity, stop, tell)
            known = {"houses": lambda: houses(spool)}
            threading.Thread(
                target=keep_renewed, args=papers, kwargs=known, name="papers", daemon=True
            ).start()
            begin_beating(server, spool, given.data, stop)
        _look_for_versions(given, said, server, stop)
    notify("READY=1")
    anew, half = begun_anew(), given.only or "all"
    keep(spool, [*anew, *lifeline.begin(spool, half, bool(anew))])
    if given.only in {None, "respond"}:
        begin_responding(spool, given.data, said, stop)
    if given.only == "respond":
        stop.wait()
    elif given.only == "ship" and sender is not None:
        run_shipper(spool, sender, stop)
    else:
        ordered = Ordered(given.data, spool, said)
        keeper = _Keeper(spool, said, stop, ordered)
        run(spool, sender, _logs(given, said), stop, ordered.settings.rest, keeper)
    keep(spool, lifeline.end(spool, half))
    spool.close()
    for handle in held:
        os.close(handle)
    return DONE


class _Keeper:
    """Look after the agent once a round: its share of the host, its health, systemd."""

    def __init__(
        self, spool: Spool, said: Settings, stop: threading.Event, ordered: Ordered
    ) -> None:
        self._spool, self._stop, self._ordered = spool, stop, ordered
        now_s = time.monotonic()
        share = ordered.settings.cpu_percent / 100
        self._dog = Watchdog(said.memory_mb << 20, share, now_s, time.process_time())
        self._told_s = now_s - HEALTH_S
        self._rounds = 0
        watch = threading.Thread(
            target=guard, args=(lambda: self._rounds, stop, begin_anew), daemon=True
        )
        watch.start()

    def __call__(self, loop: Loop) -> None:
        self._rounds += 1
        now_s = time.monotonic()
        if self._ordered.look():
            loop.apply(self._ordered.settings.rest)
            self._dog.allow(self._ordered.settings.cpu_percent / 100)
        events, reason = self._dog.check(now_s, time.process_time(), resident_bytes)
        loop.slower = self._dog.slower
        if hung := loop.hung():
            reason = reason or f"hung: the watcher {hung} does not come round"
        if now_s - self._told_s >= HEALTH_S:
            self._told_s = now_s
            health = _health(self._spool, self._dog.share)
            events.append(agent_event("agent_health", now_us(), "the agent is up", **health))
            self._spool.set_note(HEALTH, {"at_us": now_us(), "version": version(), **health})
        if events:
            keep(self._spool, events)
        notify("WATCHDOG=1")
        if reason:
            self._stop.set()
            begin_anew(reason)


def _health(spool: Spool, share: float) -> dict[str, object]:
    queue = spool.queue()
    return {
        "waiting": sum(int(str(row["waiting"])) for row in queue),
        "sent": sum(int(str(row["sent"])) for row in queue),
        "dropped": sum(int(str(row["dropped"])) for row in queue),
        "spool_bytes": spool.held_bytes(),
        "clock_skew_s": spool.note(SKEW, 0.0),
        "memory_bytes": resident_bytes(),
        "cpu_share": round(share, 4),
    }


def _once(given: argparse.Namespace) -> int:
    said = _settings(given)
    held = [alone(given.data / half) for half in ("look", "")]
    server, spool = _server(given, said), _spool(given, said)
    settle(spool, place_of(given.data))
    kept = look_once(spool, tasks(spool, _logs(given, said), said.rest), now_us())
    sender = Sender(server, agent_id(spool), socket.gethostname())
    sent = ship_all(spool, Marking(sender, spool, given.data))
    tell(f"{kept} events kept, {sent} sent")
    spool.close()
    for handle in held:
        os.close(handle)
    return DONE


def _doctor(given: argparse.Namespace) -> int:
    said = _settings(given)
    server = _server(given, said)
    is_well = True
    for found in doctor.examine(server, given.data):
        is_well = is_well and found.is_ok
        print(found)  # noqa: T201  the command's result
    return DONE if is_well else FAILED


def _check_order(given: argparse.Namespace) -> int:
    identity = load_identity(given.data)
    if identity is None:
        raise AgentError(f"not enrolled in {given.data}")
    signed = importlib.import_module("agent.signed")
    text = sys.stdin.read(signed.LARGEST + 1)
    try:
        body = signed.opened(text, identity, given.about, time.time(), pin_of(given.data))
    except AgentError as no:
        tell(f"inopsio-agent: {no}")
        return REFUSED
    print(json.dumps(body))  # noqa: T201  the command's result
    return DONE


def _lift(given: argparse.Namespace) -> int:
    said = lifted(given.data)
    for line in said or ["nothing is in force"]:
        tell(line)
    return FAILED if any("could not" in line for line in said) else DONE


def _known(given: argparse.Namespace) -> Spool:
    if not (given.data / "spool.sqlite").exists():
        raise AgentError(f"no spool in {given.data}; the agent has not run with this --data")
    return Spool(given.data / "spool.sqlite")


def _status(given: argparse.Namespace) -> int:
    spool = _known(given)
    # What this process uses says nothing: memory and share are what the agent last said of itself.
    now = {k: v for k, v in _health(spool, 0.0).items() if k not in {"memory_bytes", "cpu_share"}}
    told = {"accepted": spool.note(ACCEPTED, {})}
    row = {"agent_id": agent_id(spool), **spool.note(HEALTH, {}), **told, **now}
    print(json.dumps(row))  # noqa: T201  the command's result
    spool.close()
    return DONE


def _queue(given: argparse.Namespace) -> int:
    spool = _known(given)
    for row in spool.queue():
        print(json.dumps(row))  # noqa: T201  the command's result
    spool.close()
    return DONE
