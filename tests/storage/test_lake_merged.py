"""Files are put together by row groups: sorted, whole, without holding them all."""

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from storage.errors import Unavailable
from storage.lake import merged
from storage.lake.merged import merge_files
from tests.storage.made_events import batch_of


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merged, "ROW_GROUP", 50)


def _files(folder: Path, frames: list[pl.DataFrame]) -> list[Path]:
    paths = []
    for n, frame in enumerate(frames):
        paths.append(folder / f"{n}.parquet")
        frame.sort("time", "event_id").write_parquet(paths[-1], row_group_size=50)
    return paths


@pytest.mark.usefixtures("small_groups")
def test_interleaved_files_come_out_sorted_with_every_column(tmp_path: Path) -> None:
    whole = batch_of("acme", 1000, classes=(1007,)).frame
    frames = [whole.filter(pl.col("position") % 3 == n) for n in range(3)]
    frames[1] = frames[1].with_columns(pl.lit("x").alias("unmapped.More"))
    to = tmp_path / "to.parquet"
    rows, first, last = merge_files(_files(tmp_path, frames), to)
    times = whole["time"].dt.epoch("us")
    assert (rows, first, last) == (1000, times[0], times[-1])
    found = pl.read_parquet(to)
    assert_frame_equal(found.select(whole.columns), whole)
    assert found["unmapped.More"].count() == frames[1].height
    assert pq.ParquetFile(to).metadata.num_row_groups == 20


@pytest.mark.usefixtures("small_groups")
def test_only_what_overlaps_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = batch_of("acme", 1000, classes=(1007,)).frame
    paths = _files(tmp_path, [whole.slice(n * 100, 100) for n in range(10)])
    held: list[int] = []
    cut = merged._cut

    def watched(frames: list[pl.DataFrame], bound: int | None, names: list[str]) -> object:
        held.append(sum(map(len, frames)))
        return cut(frames, bound, names)

    monkeypatch.setattr(merged, "_cut", watched)
    merge_files(paths, tmp_path / "to.parquet")
    assert sum(held) >= 1000
    assert max(held) <= 100


def test_the_same_time_in_many_files_is_ordered_by_id(tmp_path: Path) -> None:
    whole = batch_of("acme", 90, classes=(1007,)).frame
    whole = whole.with_columns(pl.lit(whole["time"][0]).alias("time"))
    to = tmp_path / "to.parquet"
    merge_files(_files(tmp_path, [whole[::2], whole[1::2]]), to)
    assert pl.read_parquet(to)["event_id"].to_list() == sorted(whole["event_id"])


def test_what_is_no_parquet_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"PAR1 no")
    with pytest.raises(Unavailable, match="cannot be read"):
        merge_files([tmp_path / "a"], tmp_path / "to")
