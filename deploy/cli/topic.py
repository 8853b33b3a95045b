"""`inopsio topic`: look into the log, and drive refused records again."""

from pathlib import Path

import cyclopts

from deploy.house import House, opened
from deploy.output import DONE, emit, say, table
from deploy.running import settings_for
from pipelines.letters import counts_of, retry, rows_of
from storage.log import Message
from storage.outbox import relay


def list_(*, data: Path | None = None, json: bool = False) -> int:
    """List topics with their partitions and how many messages each holds."""
    with opened(settings_for(data)) as house:
        rows = [
            {"topic": topic, "partitions": count, "end": _ends(house, topic, count)}
            for topic, count in sorted(house.log.topics().items())
        ]
    if json:
        for row in rows:
            emit(row)
    else:
        table(rows, ["topic", "partitions", "end"])
    return DONE


def _ends(house: House, topic: str, count: int) -> int:
    return sum(house.log.end(topic, p) for p in range(count))


def tail(topic: str, *, count: int = 20, data: Path | None = None, json: bool = False) -> int:
    """Show the last messages of a topic.

    Parameters
    ----------
    topic
        for example raw.events, findings, dead-letter.
    count
        how many.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object a message.
    """
    with opened(settings_for(data)) as house:
        last: list[Message] = []
        for partition in range(house.log.partitions(topic)):
            start = max(0, house.log.end(topic, partition) - count)
            last += house.log.read(topic, partition, start, count)
        last.sort(key=lambda m: m.appended_at_us)
        rows = [_row(m) for m in last[-count:]]
    if json:
        for row in rows:
            emit(row)
    else:
        table(rows, ["partition", "offset", "headers", "value"], widest=90)
    return DONE


def _row(message: Message) -> dict[str, object]:
    return {
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "appended_at_us": message.appended_at_us,
        "headers": dict(message.headers),
        "value": message.value[:4096].decode("utf-8", "backslashreplace"),
    }


def letters(
    *,
    tenant: str | None = None,
    count: int = 50,
    by_reason: bool = False,
    data: Path | None = None,
    json: bool = False,
) -> int:
    """Show what was refused: whose, from where, why; the newest, or counted by reason.

    Parameters
    ----------
    tenant
        only this tenant's; all if not given.
    count
        how many of the newest.
    by_reason
        count all of them by tenant, consumer and reason instead.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object a line.
    """
    with opened(settings_for(data)) as house:
        if by_reason:
            rows = counts_of(house.log, tenant)
        else:
            rows = rows_of(house.database, house.log, tenant, count)
    shown = ["tenant", "consumer", "reason", "count"]
    if json:
        for row in rows:
            emit(row)
    else:
        table(rows, shown if by_reason else ["tenant", "place", "consumer", "name", "reason"])
    return DONE


def again(
    *,
    tenant: str | None = None,
    reason: str = "",
    letter: list[str] | None = None,
    data: Path | None = None,
    json: bool = False,
) -> int:
    """Put what was refused back on the topic it came from, for example after a parser was mended.

    Each goes back once, and the tenant's audit trail says so.

    Parameters
    ----------
    tenant
        only this tenant's; all if not given.
    reason
        only those whose reason holds this text.
    letter
        only these letter ids.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object.
    """
    only = frozenset(letter or ())
    with opened(settings_for(data)) as house:
        done = retry(house.database, house.log, "inopsio topic retry", tenant, reason, only)
        while relay(house.database.writer, house.log, is_after_break=True):
            pass  # who runs the outbox beside us takes its turn too; nothing goes twice
    if json:
        emit({"retried": done.put_back, "left": dict(done.left)})
    else:
        say(f"{done.put_back} records were put back")
        for why, left in sorted(done.left.items()):
            say(f"{left} were not: {why}")
    return DONE


def register(app: cyclopts.App) -> None:
    """Add `topic list|tail|dead-letters|retry`."""
    group = cyclopts.App(name="topic", help="Look into the log; drive refused records again.")
    group.command(list_, name="list")
    group.command(tail)
    group.command(letters, name="dead-letters")
    group.command(again, name="retry")
    app.command(group)
