"""Make the Sigma benchmark's events: E, what was recorded; P, process starts multiplied."""

import random
import re
from pathlib import Path
from typing import Final

import polars as pl

from detectors.sigma import SYSMON_CHANNEL
from pipelines.parsing import parse_stream
from pipelines.sources.files import walk

_NUMBER: Final = re.compile(r"\d{3,}")
_GUID_HEAD: Final = re.compile(r"\{[0-9A-Fa-f]{8}-")
_NAMES: Final = [f"{a}.{b}" for a in ("ann", "bob", "eve", "kim", "lou", "max", "pat", "zoe")
                 for b in ("lee", "roe", "fox", "day", "ray", "may", "orr", "pym")]  # fmt: skip
_VARIED: Final = ("CommandLine", "ParentCommandLine", "CurrentDirectory", "ProcessGuid",
                  "ParentProcessGuid", "LogonGuid", "ProcessId", "ParentProcessId")  # fmt: skip


def read_events(folder: Path, suffix: str = ".evtx") -> pl.DataFrame:
    """Read every event of the folder's files of one kind into one frame."""
    frames: list[pl.DataFrame] = []
    for item in walk([folder]):
        if item.reason is None and item.file.endswith(suffix):
            log_format, chunks = item.detected()
            parsed = parse_stream(
                log_format,
                chunks,
                tenant_id="t",
                source=item.file,
                ingested_at_us=1_700_000_000_000_000,
            )
            frames += [batch.frame for batch, _ in parsed]
    return pl.concat(frames, how="diagonal")


def process_starts(events: pl.DataFrame) -> pl.DataFrame:
    """Give the Sysmon events 1, with the columns that any of them fills."""
    found = events.filter(
        pl.col("metadata.log_name") == SYSMON_CHANNEL, pl.col("metadata.event_code") == "1"
    )
    return found.select(c for c in found.columns if found.get_column(c).null_count() < found.height)


def multiplied(real: pl.DataFrame, rows: int, seed: int = 1) -> pl.DataFrame:
    """Give `rows` process starts like the real ones: users, numbers, GUID heads, suffixes varied.

    Each real row comes about equally often, in an order of the seed; two thirds of the rows vary.
    """
    draw = random.Random(seed)
    order = [i % real.height for i in range(rows)]
    draw.shuffle(order)
    found = real[order]
    users = {u for u in real.get_column("unmapped.User").drop_nulls() if len(u) > 3}
    words = sorted({u.rpartition("\\")[2] for u in users} - {"SYSTEM"}, key=len, reverse=True)
    known = re.compile("|".join(map(re.escape, words)), re.IGNORECASE)
    names = [draw.choice(_NAMES) if draw.random() < 2 / 3 else None for _ in range(rows)]

    def varied(text: str | None, name: str | None) -> str | None:
        if text is None or name is None:
            return text
        text = known.sub(name, text)
        text = _NUMBER.sub(lambda m: str(draw.randrange(10 ** len(m.group()))), text)
        return _GUID_HEAD.sub(lambda _: f"{{{draw.randrange(1 << 32):08x}-", text)

    columns: list[pl.Series] = []
    for column in ("User", *_VARIED):
        full = f"unmapped.{column}"
        if full in found.columns:
            texts = [varied(t, n) for t, n in zip(found.get_column(full), names, strict=True)]
            if column == "CommandLine":  # half of them end in a word of their own
                texts = [
                    f"{t} {draw.randrange(1 << 32):x}" if t and draw.random() < 1 / 2 else t
                    for t in texts
                ]
            columns.append(pl.Series(full, texts, dtype=pl.String))
    return found.with_columns(columns)
