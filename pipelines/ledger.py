"""Say what the flow asks of its ledger, the one authority for offsets and state."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from psycopg import Connection
from psycopg.rows import TupleRow

from storage.database import Database
from storage.database.commit import (
    Fenced,
    Sink,
    claim_lane,
    commit,
    flow_position,
    flow_state,
    source_positions,
)
from storage.outcome import ALL, Outcome


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a flow stands. `offsets`, `watermarks_us`: by partition; `state`: (table, shard) ->
    bytes, as `Outcome.state` wrote them.
    """

    offsets: Mapping[int, int]
    watermarks_us: Mapping[int, int]
    state: Mapping[tuple[str, int], bytes]


class Ledger(Protocol):
    """Keep where the flow stands and what it made, together."""

    def standing(self, flow: str, topic: str) -> Standing:
        """Give where the flow stands; Unavailable if the ledger is down."""

    def positions(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Give the next record number of each known (tenant, source)."""

    def commit(self, outcome: Outcome) -> bool:
        """Write all of it in one transaction; False, and nothing written, if the ledger stands
        elsewhere than where the step began.
        """

    def check(self, outcome: Outcome) -> None:
        """Write it all and take it back: raises what `commit` would raise."""


class _TakenBack(Exception):
    """Ends a transaction that was only a trial."""


class DatabaseLedger:
    """Keep it in PostgreSQL; the sinks write inside the transaction that moves the offsets."""

    def __init__(
        self, database: Database, sinks: Sequence[Sink], lane: int = ALL, owner: str = ""
    ) -> None:
        """Keep the database and the sinks, in the order in which they write.

        `lane`: a partition that this process alone is to work, as `owner`; the first `standing`
        claims it.
        """
        self._database = database
        self._sinks = tuple(sinks)
        self.lane = lane
        self._owner = owner
        self._epoch: int | None = None
        self.is_lost = False
        """Whether another process has claimed the lane, or moved what this one works on."""

    def standing(self, flow: str, topic: str) -> Standing:
        """Read offsets, watermarks and state of the flow; of its lane only, if it has one."""
        if self.lane != ALL and self._epoch is None:
            self._epoch = claim_lane(self._database, flow, self.lane, self._owner)
        places = {
            partition: place
            for (name, partition), place in flow_position(self._database, flow).items()
            if name == topic and self.lane in {ALL, partition}
        }
        return Standing(
            {partition: offset for partition, (offset, _) in places.items()},
            {partition: watermark for partition, (_, watermark) in places.items()},
            flow_state(self._database, flow, self.lane),
        )

    def positions(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Read how far the origins were read."""
        return source_positions(self._database, pairs)

    def commit(self, outcome: Outcome) -> bool:
        """Commit the outcome and what the sinks make of it."""
        try:
            commit(self._database, self._ours(outcome), self._sinks)
        except Fenced:
            self.is_lost = True
            return False
        return True

    def check(self, outcome: Outcome) -> None:
        """Write all of it and roll back."""

        def take_back(_tx: Connection[TupleRow], _outcome: Outcome) -> None:
            raise _TakenBack

        with suppress(_TakenBack):
            commit(self._database, self._ours(outcome), (*self._sinks, take_back))

    def _ours(self, outcome: Outcome) -> Outcome:
        return replace(outcome, lane=self.lane, epoch=self._epoch)
