"""Find the shared data: INOPSIO_SHARED, default ../shared beside the project."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def shared_root() -> Path:
    """Give the folder of the shared material, which may be absent."""
    given = os.environ.get("INOPSIO_SHARED")
    return Path(given) if given else ROOT.parent / "shared"


def shared_data(name: str) -> Path:
    """Give shared data folder `name`; without it skip, but where CI=true fail."""
    place = shared_root() / "data" / name
    if place.is_dir():
        return place
    reason = f"shared data '{name}' is not there; set INOPSIO_SHARED to the folder that has data/"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
