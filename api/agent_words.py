"""Tell what the house sees of an agent as an event, so that rules find it."""

from typing import Final

import msgspec
from psycopg import Connection
from psycopg.rows import TupleRow

from storage.database.queries import select
from storage.log import Record
from storage.outbox import tell
from storage.plain import one_line
from storage.tenant import Scope
from storage.wire import HEADER, RAW

SOURCE: Final = "house:agents"
PROVIDER: Final = "inopsio-house"
_TOPIC: Final = "raw.events"
_MODULE: Final = "house:agents"


def tell_of(
    tx: Connection[TupleRow],
    scope: Scope,
    code: str,
    agent: tuple[str, str],
    message: str,
    now_us: int,
    **more: str | int,
) -> None:
    """Leave an event of class 0 for the log, in the transaction that saw it.

    `code`: its `metadata.event_code`; `agent`: id and host; `more`: fields of the source's own.
    """
    agent_id, host = agent
    position = int(str(select(tx, "fact_position_take", module=_MODULE)[0]["position"]))
    data = {
        "time": now_us,
        "class_uid": 0,
        "activity_id": 0,
        "metadata.product.name": "inopsio",
        "metadata.log_provider": PROVIDER,
        "metadata.event_code": code,
        "device.hostname": one_line(host),
        "message": one_line(message),
        "unmapped.agent": agent_id,
        **{f"unmapped.{name}": value for name, value in more.items()},
    }
    place = {"source": SOURCE, "position": str(position), "format": "ocsf_json", "name": SOURCE}
    key = f"{scope.tenant_id}/{SOURCE}".encode()
    tell(tx, _TOPIC, Record(key, msgspec.json.encode(data) + b"\n", {**place, HEADER: RAW}))
