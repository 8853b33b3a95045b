"""`inopsio topic`: look into the log, and drive refused records again."""

from pathlib import Path

import cyclopts

from deploy.house import House, opened
from deploy.output import DONE, emit, say, table
from deploy.running import settings_for
from pipelines.dead_letter import dead_letters, retry
from storage.log import Message


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
    *, tenant: str | None = None, count: int = 50, data: Path | None = None, json: bool = False
) -> int:
    """Show refused records: whose, from where, why."""
    with opened(settings_for(data)) as house:
        rows = dead_letters(house.log, tenant, count)
    if json:
        for row in rows:
            emit(row)
    else:
        table(rows, ["tenant", "name", "format", "position", "reason"])
    return DONE


def again(*, tenant: str | None = None, data: Path | None = None, json: bool = False) -> int:
    """Drive refused records through the pipelines again, for example after a parser was mended."""
    with opened(settings_for(data)) as house:
        driven = retry(house.log, tenant)
    if json:
        emit({"driven": driven})
    else:
        say(f"{driven} records were put on the log again")
    return DONE


def register(app: cyclopts.App) -> None:
    """Add `topic list|tail|dead-letters|retry`."""
    group = cyclopts.App(name="topic", help="Look into the log; drive refused records again.")
    group.command(list_, name="list")
    group.command(tail)
    group.command(letters, name="dead-letters")
    group.command(again, name="retry")
    app.command(group)
