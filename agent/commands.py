"""Do what the command does once and ends: enrol, look once, say how the agent is, check, lift."""

import argparse
import importlib
import json
import os
import socket
import sys
import time
from types import ModuleType

from agent.collect._shape import now_us
from agent.deliver import ship_all
from agent.errors import AgentError
from agent.given import DONE, FAILED, logs_for, settings_of, spool_of
from agent.halves import houses
from agent.identity import alone, load
from agent.incarnation import Marking, place_of, settle
from agent.pin import pin_of, put
from agent.policy import REFUSED
from agent.run import agent_id, look_once, tasks
from agent.spool import Spool
from agent.system import own_account
from agent.voice import tell


def _shipping() -> ModuleType:
    return importlib.import_module("agent.shipping")


def enroll(given: argparse.Namespace) -> int:
    """Become known to the house."""
    held = alone(given.data)
    # By name: the key's library is needed here, and not by an agent that runs.
    made = importlib.import_module("agent.enroll").enroll(
        given.data,
        given.url,
        given.token or _shipping().token_of(given.token_file),
        given.ca_fingerprint,
    )
    os.close(held)
    pin = pin_of(given.data)
    if pin is not None and own_account() == 0:
        put(pin, (given.data / "authority.pem").read_text(encoding="ascii"))
    tell(f"enrolled in tenant {made.tenant_id} as agent {made.agent_id}")
    return DONE


def update(given: argparse.Namespace) -> int:
    """Put a fetched version in place."""
    # By name: what updates is no part of what runs all day.
    make = importlib.import_module("agent.updating").host
    host = make(given.data, settings_of(given).ring, given.restart, given.health_s)
    outcome = importlib.import_module("agent.update").update(host)
    return DONE if outcome in {"updated", "none"} else FAILED


def service(given: argparse.Namespace) -> int:
    """Run, as the service manager of Windows asks."""
    running = importlib.import_module("agent.running")

    def is_known() -> bool:
        return bool(given.url or settings_of(given).url or load(given.data))

    served = importlib.import_module("agent.windows.served")
    return int(served.serve(lambda stop: running.run_until(given, stop), given.data, is_known))


def once(given: argparse.Namespace) -> int:
    """Look once, ship all, end."""
    said = settings_of(given)
    held = [alone(given.data / half) for half in ("look", "")]
    server, spool = _shipping().server_of(given, said), spool_of(given, said)
    settle(spool, place_of(given.data))
    kept = look_once(spool, tasks(spool, logs_for(given, said), said.rest), now_us())
    sender = _shipping().Sender(server, agent_id(spool), socket.gethostname())
    sender.houses = houses(spool)
    sent = ship_all(spool, Marking(sender, spool, given.data))
    tell(f"{kept} events kept, {sent} sent")
    spool.close()
    for handle in held:
        os.close(handle)
    return DONE


def doctor(given: argparse.Namespace) -> int:
    """Say what hinders the agent."""
    said = settings_of(given)
    server = _shipping().server_of(given, said)
    is_well = True
    examining = importlib.import_module("agent.doctor")
    for found in examining.examine(server, given.data, examining.known(given.data)):
        is_well = is_well and found.is_ok
        print(found)  # noqa: T201  the command's result
    return DONE if is_well else FAILED


def check_order(given: argparse.Namespace) -> int:
    """Read what the house signed; say what it says."""
    identity = load(given.data)
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


def lift(given: argparse.Namespace) -> int:
    """Take back all that is in force on this host."""
    said = importlib.import_module("agent.lift").lifted(given.data)
    for line in said or ["nothing is in force"]:
        tell(line)
    return FAILED if any("could not" in line for line in said) else DONE


def _known(given: argparse.Namespace) -> Spool:
    if not (given.data / "spool.sqlite").exists():
        raise AgentError(f"no spool in {given.data}; the agent has not run with this --data")
    return Spool(given.data / "spool.sqlite")


def status(given: argparse.Namespace) -> int:
    """Say how the agent is."""
    spool = _known(given)
    saying = importlib.import_module("agent.status")
    row = saying.standing(given.data, spool)
    spool.close()
    is_row = given.json or not saying.is_for_people()
    for line in [json.dumps(row)] if is_row else saying.lines(row, now_us()):
        print(line)  # noqa: T201  the command's result
    return DONE


def queue(given: argparse.Namespace) -> int:
    """Say what waits, was sent, was dropped."""
    spool = _known(given)
    for row in spool.queue():
        print(json.dumps(row))  # noqa: T201  the command's result
    spool.close()
    return DONE
