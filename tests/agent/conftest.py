"""Lend a house with its agents' listener, and an agent that has enrolled in it."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from storage.database import Database
from storage.settings import Settings
from storage.tenant import Scope
from tests.agent.ordered_house import Agent, enrolled
from tests.api.agents_house import House, listening


@pytest.fixture
def house(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope], tmp_path: Path
) -> Iterator[House]:
    """Give a house that listens for agents until the end of the test."""
    own = replace(settings, data_dir=tmp_path / "house")
    with listening(own, database, two_tenants, tmp_path) as made:
        yield made


@pytest.fixture
def agent(house: House) -> Iterator[Agent]:
    """Give an agent of tenant acme, its halves to be driven by the test."""
    with ExitStack() as stack:
        yield enrolled(house, "ws-1", stack)
