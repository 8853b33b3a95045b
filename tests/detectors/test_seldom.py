"""Hold the tenant's memory of things against sets that forget nothing, row by row."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors._models import seldom
from tests.detectors.streams import MINUTE_US, START_US

USES = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 4), st.sampled_from(["p", "q", "r", None])),
    max_size=40,
)


def rows_of(uses: Sequence[tuple[str, int, str | None]], step_us: int = MINUTE_US) -> pl.DataFrame:
    """Give such uses of a program and a customer, as `windows.named` does."""
    return pl.DataFrame(
        {
            "tenant_id": [tenant for tenant, _, _ in uses],
            "time": [START_US + n * step_us for n in range(len(uses))],
            "host": pl.Series([f"host\x1fh{who}" for _, who, _ in uses], dtype=pl.String),
            "person": pl.Series([f"user\x1fu{who}" for _, who, _ in uses], dtype=pl.String),
            **{
                name: pl.Series([thing for _, _, thing in uses], dtype=pl.String)
                for name in ("programs", "peers", "names", "customers")
            },
        },
        schema_overrides={"tenant_id": pl.String, "time": pl.Datetime("us", "UTC")},
    )


def by_sets(uses: Sequence[tuple[str, int, str | None]], name: str) -> list[tuple[bool, bool]]:
    """Say (lone, foreign) of each use as sets of groups would."""
    kind = "host\x1fh" if name == "programs" else "user\x1fu"
    names = pl.Series([f"{kind}{n}" for n in range(5)])
    groups = (names.hash(seldom._SEED) % 8).to_list()
    known: dict[tuple[str, str], set[int]] = {}
    told = []
    for tenant, who, thing in uses:
        users = known.setdefault((tenant, thing or ""), set())
        others = users - {groups[who]}
        is_used = thing is not None
        told.append((is_used and not others, is_used and bool(others) and groups[who] not in users))
        users.add(groups[who])
    return told


@settings(max_examples=60, deadline=None)
@given(uses=USES, cuts=st.lists(st.integers(0, 40), max_size=4))
def test_seldom_things_are_told_as_sets_tell_them_however_the_stream_is_cut(
    uses: list[tuple[str, int, str | None]], cuts: list[int]
) -> None:
    table = pl.DataFrame(schema=seldom.SELDOM)
    parts, edges = [], sorted({0, len(uses), *(c for c in cuts if c < len(uses))})
    rows = rows_of(uses)
    for begin, end in pairwise(edges):
        table, part = seldom.marked(table, rows.slice(begin, end - begin))
        parts.append(part)
    if not parts:
        return
    told = pl.concat(parts)
    assert told["lone_programs"].to_list() == [lone for lone, _ in by_sets(uses, "programs")]
    foreign = [foreign for _, foreign in by_sets(uses, "customers")]
    assert told["foreign_customers"].to_list() == foreign


def test_what_nobody_used_for_two_months_is_forgotten() -> None:
    uses: list[tuple[str, int, str | None]] = [("a", 0, "p"), ("a", 1, "p"), ("a", 1, "p")]
    near = seldom.marked(pl.DataFrame(schema=seldom.SELDOM), rows_of(uses, seldom.MONTH_US))[1]
    far = seldom.marked(pl.DataFrame(schema=seldom.SELDOM), rows_of(uses, 2 * seldom.MONTH_US))[1]
    assert near["lone_programs"].to_list() == [True, False, True]
    assert far["lone_programs"].to_list() == [True, True, True]


def test_a_full_table_is_silent() -> None:
    draw = np.random.default_rng(3)
    uses = [("a", int(draw.integers(5)), f"p{draw.integers(90_000)}") for _ in range(200_000)]
    table, _ = seldom.marked(pl.DataFrame(schema=seldom.SELDOM), rows_of(uses, 1000))
    fresh = rows_of([("a", n % 5, f"x{n}") for n in range(300)])
    assert seldom.marked(table, fresh)[1]["lone_programs"].sum() < 15
    assert table.estimated_size() < 200_000
