"""Feed the business modules from the log: each event once in effect, the poisonous set aside."""

import threading
import traceback
import uuid
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Final, Protocol

import structlog

from business._event import Event, Transaction, read_event
from storage.database import Database
from storage.database.queries import execute
from storage.errors import InvalidInput, Unavailable
from storage.log import EventLog, Message, Record
from storage.plugins import discover
from storage.tenant import Scope, system_scope, tenant_name

_LOG: Final = structlog.get_logger("business")
DEAD_LETTER: Final = "dead-letter"
CONTRACT: Final = ("TOPICS", "handle")
_AT_ONCE: Final = 200
_IDLE_S: Final = 0.25
_LONGEST_WAIT_S: Final = 30.0


class Handler(Protocol):
    """What the loop needs of a module."""

    @property
    def TOPICS(self) -> tuple[str, ...]:  # noqa: N802  the name that modules of the folder have
        """Say what it listens to."""

    def handle(self, scope: Scope, tx: Transaction, event: Event, /) -> None:
        """Take one event."""


def consume(db: Database, log: EventLog, stop: threading.Event, once: bool = False) -> None:
    """Run every business module until `stop` is set, or with `once` until all is read.

    Each module has a group of its own, `business.<module>`. Unavailable is retried with back-off
    and the offset stays; anything else that a message causes sends it to the dead letter.
    """
    modules = discover("business", CONTRACT)
    member = f"business-{uuid.uuid4().hex[:12]}"
    wait_s = _IDLE_S
    try:
        while not stop.is_set():
            try:
                handled = sum(consume_once(db, log, n, m, member) for n, m in modules.items())
                wait_s = _IDLE_S
            except Unavailable as error:
                handled = 0
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
                _LOG.warning("consumer_waits", reason=str(error)[:200], wait_s=wait_s)
            if handled == 0:
                if once:
                    return
                stop.wait(wait_s)
    finally:
        for name, module in modules.items():
            for topic in module.TOPICS:
                log.leave(f"business.{name}", topic, member)


def consume_once(
    db: Database, log: EventLog, name: str, module: ModuleType | Handler, member: str
) -> int:
    """Read and handle what lies ready for one module; give how many messages were read."""
    group = f"business.{name}"
    done = 0
    for topic in module.TOPICS:
        for partition in log.join(group, topic, member):
            start = log.committed(group, topic, partition)
            messages = log.read(topic, partition, start, limit=_AT_ONCE)
            for message in messages:
                _handle_one(db, log, name, module, message)
            if messages:
                log.commit(group, topic, partition, messages[-1].offset + 1)
            done += len(messages)
    return done


def _handle_one(
    db: Database, log: EventLog, name: str, module: ModuleType | Handler, message: Message
) -> None:
    try:
        event = read_event(message)
        scope = system_scope(tenant_name(message.headers.get("tenant", "")), name)
        with db.app(scope) as tx:
            if execute(tx, "inbox_mark", consumer=name, event_id=event.event_id):
                module.handle(scope, tx, event)
    except Unavailable:
        raise
    except InvalidInput as error:
        _set_aside(log, name, message, str(error))
    except Exception as error:  # noqa: BLE001  the consume loop: poison must not stop the flow
        # As text: a log renderer that shows local variables would show what events hold.
        _LOG.error("event_failed", consumer=name, trace=traceback.format_exc(limit=-8))
        _set_aside(log, name, message, f"{type(error).__name__} in {name}")


def _set_aside(log: EventLog, name: str, message: Message, reason: str) -> None:
    place: Mapping[str, str] = {
        "consumer": name,
        "reason": reason[:500],
        "topic": message.topic,
        "partition": str(message.partition),
        "offset": str(message.offset),
    }
    record: Sequence[Record] = (Record(message.key, message.value, {**message.headers, **place}),)
    log.append(DEAD_LETTER, record)
    _LOG.warning("event_set_aside", **place)
