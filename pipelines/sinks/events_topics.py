"""Put the normalised events on topics `events.TENANT` too, for readers outside of the house.

Only where the settings say so. The batches lie in the outbox until the log has them, so an event is
told if and only if it is stored; a message told twice has the same header `id`.
"""

import uuid
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

import polars as pl
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from storage.database.queries import execute
from storage.errors import InvalidInput
from storage.outcome import Outcome
from storage.settings import Settings
from storage.tenant import tenant_name
from storage.wire import EVENTS, HEADER
from storage.wire.batches import CONTENT, written

NAME: Final = "events_topics"
EVERYONE: Final = "all"
TOPICS: Final = "events."
"""How their names begin."""
_IDS: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:inopsio:events")


def choose(settings: Settings) -> Callable[[Connection[TupleRow], Outcome], None] | None:
    """Give what writes for the tenants of the settings; None if for none."""
    names = [name.strip() for name in settings.events_topics.split(",") if name.strip()]
    if names == [EVERYONE]:
        return write
    try:
        tenants = frozenset(tenant_name(name) for name in names)
    except InvalidInput as error:
        raise InvalidInput(f"INOPSIO_EVENTS_TOPICS: {error}; or: {EVERYONE}") from error
    return partial(write, tenants=tenants) if tenants else None


def topic_of(tenant_id: str) -> str:
    """Give the topic of a tenant: who may read it reads no other tenant's events."""
    return f"{TOPICS}{tenant_id}"


def write(
    tx: Connection[TupleRow], outcome: Outcome, tenants: Collection[str] | None = None
) -> None:
    """Leave the outcome's events for the log, of these tenants or of all.

    A message's id follows from the step; the commit's offset check lets a step through only once.
    """
    frames = [batch.frame for batch in outcome.batches if len(batch)]
    if not frames:
        return
    moved = [s for s in outcome.steps if s.next_offset > s.expected]
    place = ",".join(f"{s.topic}/{s.partition}@{s.expected}-{s.next_offset}" for s in moved)
    whole = pl.concat(frames, how="diagonal")
    for (tenant,), frame in whole.group_by("tenant_id", maintain_order=True):
        if tenants is None or tenant in tenants:
            _tell(tx, str(tenant), place, frame)


def _tell(tx: Connection[TupleRow], tenant: str, place: str, frame: pl.DataFrame) -> None:
    parts = list(written(frame))
    headers = [
        Jsonb(
            {
                "id": str(uuid.uuid5(_IDS, f"{tenant}\x1f{place}\x1f{number}")),
                "tenant": tenant,
                HEADER: EVENTS,
                "content_type": CONTENT,
                "events": str(rows),
            }
        )
        for number, (rows, _) in enumerate(parts)
    ]
    execute(
        tx,
        "outbox_put",
        topic=topic_of(tenant),
        tenants=[tenant] * len(parts),
        keys=[tenant] * len(parts),
        headers=headers,
        values=[value for _, value in parts],
    )
