"""`inopsio agent package`: give the house the packages that hosts install by one command."""

from dataclasses import asdict
from pathlib import Path

import cyclopts

from api.agent_packages import add, held
from deploy.output import DONE, emit, say, show
from deploy.running import settings_for


def add_(*packages: Path, data: Path | None = None, json: bool = False) -> int:
    """Take packages into the house; `let-in` and the console then give a command that installs.

    Parameters
    ----------
    packages
        .deb, .rpm and .msi files (`make agent-deb`, `make agent-rpm`).
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object a line.
    """
    for one in add(settings_for(data).data_dir, packages):
        if json:
            emit(asdict(one))
            continue
        say(f"{one.name}: {one.version} for {one.kind} {one.arch}, sha256 {one.sha256}")
    return DONE


def list_(*, data: Path | None = None, json: bool = False) -> int:
    """List the newest package of each kind of system.

    Parameters
    ----------
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object a line.
    """
    found = held(settings_for(data).data_dir)
    for one in found:
        if json:
            emit(asdict(one))
        else:
            show(f"{one.name}  {one.sha256}")
    if not found:
        say("the house has no package: `inopsio agent package add FILE`")
    return DONE


def group() -> cyclopts.App:
    """Give the two commands."""
    found = cyclopts.App(name="package", help="What the command that lets hosts in installs.")
    found.command(add_, name="add")
    found.command(list_, name="list")
    return found
