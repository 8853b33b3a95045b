"""Read a CloudEvents message into an Event that a business module can handle."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
from psycopg import Connection
from psycopg.rows import TupleRow

from storage.errors import InvalidInput
from storage.log import Message
from storage.wire import check_schema

Transaction: TypeAlias = Connection[TupleRow]
"""An open transaction, held to one tenant by row-level security."""


@dataclass(frozen=True, slots=True)
class Event:
    """One fact as a business module gets it. `event_id`: UUID text, the same for a repeat."""

    event_id: str
    type: str
    topic: str
    data: Mapping[str, Any]


class _Envelope(msgspec.Struct):
    id: str
    type: str
    data: dict[str, Any]


def read_event(message: Message) -> Event:
    """Decode the envelope; InvalidInput says what is missing, or that it is of a newer version."""
    check_schema(message.headers)
    try:
        envelope = msgspec.json.decode(message.value, type=_Envelope)
        event_id = str(uuid.UUID(envelope.id))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"message is no CloudEvents envelope: {str(error)[:200]}") from error
    return Event(event_id, envelope.type, message.topic, envelope.data)
