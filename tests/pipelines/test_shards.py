"""State in shards: fixed places, only what changed is written, what was written comes back."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipelines.shards import SHARDS, changed_shards, join_shards, shard_of
from storage.schema import DetectorMeta

COLUMNS = {"tenant_id": pl.String(), "key": pl.String(), "n": pl.Int64(), "l": pl.List(pl.Int64())}
META = DetectorMeta(name="d", version="1", title="", tables={"t": COLUMNS})


def table(keys: list[str], n: int = 0) -> pl.DataFrame:
    rows = [("acme", key, n, [n]) for key in keys]
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def test_shard_of_an_entity_is_the_same_for_ever() -> None:
    place = shard_of(pl.Series(["acme", "globex"]), pl.Series(["srv-1", "ünïcode"]))
    assert place.to_list() == [54, 5]


def test_shards_are_filled_evenly() -> None:
    keys = pl.Series([f"host-{i}" for i in range(6400)])
    sizes = shard_of(pl.Series(["acme"] * 6400), keys).value_counts()["count"]
    assert len(sizes) == SHARDS
    assert 60 <= sizes.min() <= sizes.max() <= 140  # type: ignore[operator]  # integers


@given(st.lists(st.text(max_size=5), max_size=20), st.integers(0, 20))
def test_place_does_not_depend_on_the_neighbours(keys: list[str], cut: int) -> None:
    whole = shard_of(
        pl.Series(["t"] * len(keys), dtype=pl.String), pl.Series(keys, dtype=pl.String)
    )
    tail = pl.Series(keys, dtype=pl.String)[cut:]
    assert shard_of(pl.Series(["t"] * len(tail), dtype=pl.String), tail).equals(whole[cut:])


def test_only_changed_shards_are_written() -> None:
    before = {"t": table([f"h{i}" for i in range(1000)])}
    after = {"t": pl.concat([before["t"].filter(pl.col("key") != "h7"), table(["h7"], 1)])}
    assert len(changed_shards(META, before, after)) == 1
    assert changed_shards(META, before, before) == {}


def test_state_comes_back_from_its_shards() -> None:
    first = {"t": table([f"h{i}" for i in range(1000)])}
    blobs = changed_shards(META, META.empty_state(), first)
    second = {"t": first["t"].filter(pl.col("key") != "h7")}
    blobs |= changed_shards(META, first, second)
    assert join_shards(META, blobs)["t"].sort("key").equals(second["t"].sort("key"))


def test_state_of_another_shape_is_not_read_under_new_names() -> None:
    blobs = changed_shards(META, META.empty_state(), {"t": table(["h"])})
    other = DetectorMeta(
        name="d", version="2", title="", tables={"t": {**COLUMNS, "m": pl.Int64()}}
    )
    assert join_shards(other, blobs)["t"].is_empty()
