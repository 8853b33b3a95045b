"""Cut a detector's state into 64 shards and write only those that changed.

One key a shard, never one an entity: measured, 200,000 entities resume in 0.03 s instead of 85 s.
The shard of an entity is fixed for life, so the hash is our own (a library's may change between
versions) and works on bytes as columns.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.ipc

from storage.schema import DetectorMeta, State

SHARDS: Final = 64

_PRIME: Final = np.uint64(0x100000001B3)
_PACKED: Final = pyarrow.ipc.IpcWriteOptions(compression="lz4")
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)


def shard_of(tenant_id: pl.Series, key: pl.Series) -> pl.Series:
    """Give the shard, 0 to 63, of each (tenant, key); UInt8; the same in every process for ever.

    A polynomial over the UTF-8 bytes with an odd base, modulo 2**64, then mixed.

    >>> shard_of(pl.Series(["acme", "acme"]), pl.Series(["h1", "h2"])).to_list()
    [50, 49]
    """
    text = tenant_id.cast(pl.String).fill_null("") + "\x1f" + key.cast(pl.String).fill_null("")
    if text.is_empty():
        return pl.Series("shard", [], dtype=pl.UInt8)
    array = text.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_string())
    _, offsets_buffer, bytes_buffer = array.buffers()
    ends = np.frombuffer(offsets_buffer, dtype=np.int64)[
        array.offset : array.offset + len(text) + 1
    ]
    raw = np.frombuffer(bytes_buffer, dtype=np.uint8)[ends[0] : ends[-1]].astype(np.uint64)
    starts = ends[:-1] - ends[0]
    place = np.arange(len(raw), dtype=np.int64) - np.repeat(starts, np.diff(ends))
    with np.errstate(over="ignore"):
        weights = _powers(int(place.max()) + 1)
        hashed = np.add.reduceat((raw + np.uint64(1)) * weights[place], starts)
        mixed = (hashed ^ (hashed >> np.uint64(29))) * _MIX
    return pl.Series("shard", mixed >> np.uint64(58)).cast(pl.UInt8)


def _powers(count: int) -> npt.NDArray[np.uint64]:
    weights = np.full(count, _PRIME, dtype=np.uint64)
    weights[0] = 1
    return np.multiply.accumulate(weights, dtype=np.uint64)


def changed_shards(meta: DetectorMeta, before: State, after: State) -> dict[tuple[str, int], bytes]:
    """Give the Arrow IPC bytes of every shard that differs, keyed ("detector/table", shard).

    A shard that lost its last entity is written as a table without rows.
    """
    blobs: dict[tuple[str, int], bytes] = {}
    for table, columns in meta.tables.items():
        old, new = before.get(table), after.get(table)
        if new is old or new is None:
            continue
        touched = range(SHARDS) if old is None else _touched(old, new)
        if len(touched):
            for shard, blob in _cut(new.select(list(columns)), touched):
                blobs[(f"{meta.name}/{table}", shard)] = blob
    return blobs


def _touched(old: pl.DataFrame, new: pl.DataFrame) -> list[int]:
    """Give the shards of rows that one of the tables has more often than the other."""
    hashes = [frame.hash_rows(seed=7).to_numpy() for frame in (old, new)]
    _, place = np.unique(np.concatenate(hashes), return_inverse=True)
    signs = np.repeat(np.array([-1, 1]), [old.height, new.height])
    differs = (np.bincount(place, weights=signs) != 0)[place]
    owners = [
        frame.select("tenant_id", "key").filter(pl.Series(mask))
        for frame, mask in zip((old, new), np.split(differs, [old.height]), strict=True)
    ]
    both = pl.concat(owners)
    return shard_of(both["tenant_id"], both["key"]).unique().sort().to_list()


def _cut(frame: pl.DataFrame, shards: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Give each of these shards as bytes; laid in order first, so that a shard is a slice."""
    places = shard_of(frame["tenant_id"], frame["key"]).to_numpy()
    order = np.argsort(places, kind="stable")
    bounds = np.searchsorted(places[order], np.arange(SHARDS + 1)).tolist()
    # By Arrow's own writer: the frame library's takes ten times as long for a table so small.
    rows = frame[order].to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
    for shard in shards:
        yield shard, _to_ipc(rows.slice(bounds[shard], bounds[shard + 1] - bounds[shard]))


def _to_ipc(rows: pa.Table) -> bytes:
    buffer = io.BytesIO()
    with pyarrow.ipc.new_file(buffer, rows.schema, options=_PACKED) as file:
        file.write_table(rows)
    return buffer.getvalue()


def join_shards(meta: DetectorMeta, blobs: Mapping[tuple[str, int], bytes]) -> State:
    """Put the state together again from its shards.

    A table whose stored columns are not those of `meta` is dropped: its detector has a new shape,
    and begins anew rather than reading old numbers under new names.
    """
    state = meta.empty_state()
    for table, columns in meta.tables.items():
        want = dict(columns)
        parts = [
            frame
            for frame in _from_ipc(
                v for (name, _), v in sorted(blobs.items()) if name == f"{meta.name}/{table}"
            )
            if dict(frame.schema) == want
        ]
        if parts:
            state[table] = pl.concat(parts)
    return state


def _from_ipc(blobs: Iterable[bytes]) -> list[pl.DataFrame]:
    return [pl.read_ipc(io.BytesIO(blob)) for blob in blobs]
