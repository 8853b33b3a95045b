"""Find the real Kafka and TimescaleDB of `make services`; where CI=true they must be there."""

import functools
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.shared import ROOT

SCRIPTS = ROOT / "deploy" / "local"


@functools.cache
def address_of(service: str) -> str:
    """Give the address of `kafka` or `timescaledb`; skip without it, but fail where CI=true."""
    script = SCRIPTS / f"{service}.sh"
    if subprocess.run([script, "status"], capture_output=True, check=False).returncode == 0:
        told = subprocess.run([script, "env"], capture_output=True, text=True, check=True).stdout
        found = re.search(r"=(\S+)$", told.strip())
        if found is not None:
            return found[1]
    reason = f"{service} does not run; start it: make services"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def folder_of(service: str) -> Path:
    """Give the folder of a service's data, password and certificates."""
    return Path(os.environ.get("INOPSIO_SERVICES_DIR", ROOT / ".services")) / service
