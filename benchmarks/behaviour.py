"""Judge the detector `behaviour` on calm months of the demo company, and on oddities put in.

    python -m benchmarks.behaviour [--seeds 1,2] [--days 30] [--people 120]

The calm company has no stories in it, so whatever is claimed is claimed of nothing: signals a day
and 1,000 entities against the rate asked for, by span, and the events taken in a CPU-second. Then
oddities are put into the last week of the first seed, fast and slow ones; which of them are claimed
is told, and by which span first. Log lines go through the parsers, facts of the books as columns.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from deploy.demo.calendar import Calendar
from deploy.demo.company import Company, found
from deploy.demo.month import stream
from deploy.demo.rows import FORMATS, Row
from detectors import behaviour
from detectors._models.spans import SPANS
from pipelines.parsing import parse_stream
from storage.identity import event_ids
from storage.schema import MAX_BATCH_ROWS, Context, EventBatch, Finding, State
from storage.schema.columns import dtypes

FIRST_US: Final = 1_780_272_000_000_000
"""2026-06-01, a Monday."""
DAY_US: Final = 86_400_000_000
MINUTE_US: Final = 60_000_000
TENANT: Final = "acme"
_NUMBERS: Final = {"record_count": "record_count"}


def day_of(company: Company, seed: int, day: int) -> pl.DataFrame:
    """Give a calm day of the company as events, in order of time."""
    calendar = Calendar(FIRST_US)
    rows = stream(company, calendar, seed, range(day, day + 1), lambda _: (), books_before_d=0)
    lines: dict[str, list[bytes]] = {}
    facts: list[dict[str, Any]] = []
    for row in rows:
        if row.command is not None:
            facts.append(fact(row))
        elif row.line:
            lines.setdefault(row.source, []).append(row.line)
    frames = [
        batch.frame
        for source, told in lines.items()
        for batch, _ in parse_stream(
            FORMATS[source],
            [b"\n".join(told) + b"\n"],
            tenant_id=TENANT,
            source=f"{source}.{day}",
            ingested_at_us=FIRST_US + (day + 1) * DAY_US,
        )
    ]
    return pl.concat([*frames, events(facts, f"books.{day}")], how="diagonal").sort(
        "time", maintain_order=True
    )


def fact(row: Row) -> dict[str, Any]:
    """Give what the books say of a command, as far as the detector reads it."""
    command = row.command
    if command is None:
        raise ValueError("this row is a line of a log")
    class_uid, activity_id, uid = command.fact
    return {
        "time_us": row.time_us,
        "class_uid": class_uid,
        "activity_id": activity_id,
        "document.uid": uid,
        "actor.user.name": command.who["on_behalf_of"],
        "record_count": command.body.get("record_count"),
        "customer.uid": command.body.get("customer_uid"),
    }


def events(rows: list[dict[str, Any]], source: str) -> pl.DataFrame:
    """Give rows (time_us, class_uid, ...) as events of the tenant."""
    if not rows:
        return pl.DataFrame()
    frame = pl.DataFrame(rows, infer_schema_length=None)
    known: Any = {n: t for n, t in dtypes().items() if n in frame.columns}
    times = frame["time_us"]
    return frame.cast(known).select(
        pl.exclude("time_us"),
        times.cast(pl.Datetime("us", "UTC")).alias("time"),
        event_ids(TENANT, source, times, pl.int_range(len(rows), eager=True)).alias("event_id"),
        tenant_id=pl.lit(TENANT),
        is_late=pl.lit(value=False),
    )


class Run:
    """Take a stream in, and count CPU-seconds and claims."""

    def __init__(self) -> None:
        self.state: State = behaviour.META.empty_state()
        self.claims: list[Finding] = []
        self.rows, self.cpu_s = 0, 0.0
        self.entities: set[str] = set()

    def take(self, frame: pl.DataFrame) -> None:
        """Take a frame in, in batches as the flow makes them."""
        for part in frame.iter_slices(MAX_BATCH_ROWS):
            newest = int(part["time"].dt.epoch("us").max())  # type: ignore[arg-type]
            began = time.process_time()
            self.state, found_ = behaviour.detect(
                self.state, EventBatch(part), Context(watermark_us=newest)
            )
            self.cpu_s += time.process_time() - began
            self.claims += found_
            self.rows += part.height
            self.entities |= set(self.state["usual"]["key"].str.replace(r"/\w+", ""))


def odd(company: Company, day: int) -> dict[str, list[dict[str, Any]]]:
    """Give oddities of a day: entity and feature -> rows."""
    begin = FIRST_US + day * DAY_US
    sellers, finance = company.by("sales"), company.by("finance")
    name, seller, clerk = (p.account for p in (company.people[0], sellers[0], finance[0]))
    at_ten, hour = begin + 10 * 60 * MINUTE_US, 60 * MINUTE_US

    def many(count: int, gap_us: int, **more: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        return [{"time_us": at_ten + n * gap_us, **more} for n in range(count)]

    sign_in = {"class_uid": 3002, "activity_id": 1, "status_id": 2, "user.name": name}
    deal = {"class_uid": 999013, "activity_id": 6, "actor.user.name": seller}
    bank = {"class_uid": 999003, "activity_id": 5, "actor.user.name": clerk}
    mail = {"class_uid": 4009, "activity_id": 1, "actor.user.name": sellers[1].account}
    export = {"class_uid": 999014, "activity_id": 1, "actor.user.name": sellers[2].account}
    approve = {"class_uid": 999002, "activity_id": 6, "actor.user.name": finance[1].account}
    read = {"class_uid": 999011, "activity_id": 2, "actor.user.name": sellers[3].account}
    start = {"class_uid": 1007, "activity_id": 1, "device.hostname": "srv-odd"}
    del start
    return {
        "200 failed sign-ins in a minute": many(200, 250_000, **sign_in),
        "25 discounts over a day": many(25, hour // 4, **deal),
        "9 bank changes over a day": many(9, hour // 2, **bank),
        "a mailing to 40,000": many(1, 1, **mail, record_count=40_000),
        "300 mails in vain": many(300, 2_000_000, **{**mail, "status_id": 2}),
        "9 exports of 400 records over a day": many(9, hour // 2, **export, record_count=400),
        "8 own payments approved": [
            {**row, "user.name": finance[1].account} for row in many(8, hour // 2, **approve)
        ],
        "60 customers of others read over a day": [
            {**row, "customer.uid": c.uid}
            for row, c in zip(many(60, hour // 8, **read), company.customers, strict=False)
        ],
    }


def told(run: Run, days: int, asked: float) -> Iterator[str]:
    """Give the lines on a calm run."""
    per = 1_000 / days / max(len(run.entities), 1)
    by_span = Counter(next(s.per for s in SPANS if f"in {s.per}:" in c.title) for c in run.claims)
    spans = ", ".join(f"{n} in {per_}" for per_, n in by_span.items()) or "none"
    yield (
        f"{run.rows:,} events, {len(run.entities)} entities, {days} days: {len(run.claims)} claims"
        f" ({spans}), {len(run.claims) * per:.2f} a day and 1,000 entities (asked {asked:.0f});"
        f" {run.rows / run.cpu_s:,.0f} events/CPU-s"
    )
    what = Counter(c.reasons[0].name for c in run.claims)
    yield f"    {', '.join(f'{n} x {name}' for name, n in what.most_common(6))}"


def main() -> None:
    """Print calm months, then what is found of oddities."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--people", type=int, default=120)
    given = parser.parse_args()
    for number, seed in enumerate(int(s) for s in given.seeds.split(",")):
        company, run, kept = found(seed, given.people), Run(), None
        for day in range(given.days):
            if day == given.days - 3:
                kept = run.state
            run.take(day_of(company, seed, day))
        print(f"seed {seed}: ", *told(run, given.days, behaviour.ASKED_RATE), sep="")
        if number == 0 and kept is not None:
            judge(company, seed, given.days, kept, run.claims)


def judge(company: Company, seed: int, days: int, kept: State, calm: list[Finding]) -> None:
    """Print which oddities, each put into the third day from the last, are claimed."""
    known = {c.finding_id for c in calm}
    frames = [day_of(company, seed, day) for day in range(days - 3, days)]
    for name, rows in odd(company, days - 2).items():
        run = Run()
        run.state = kept
        for n, frame in enumerate(frames):
            more = [events(rows, "odd")] if n == 1 else []
            run.take(pl.concat([frame, *more], how="diagonal").sort("time", maintain_order=True))
        fresh = [c for c in run.claims if c.finding_id not in known]
        said = "; ".join(
            f"{c.title} ({c.reasons[0].value}, usual {c.reasons[0].expected})" for c in fresh[:2]
        )
        print(f"  {name}: {said or 'NOT CLAIMED'}")


if __name__ == "__main__":
    main()
