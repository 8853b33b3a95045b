"""Keep the long history: Parquet files by tenant, class and day, listed in a manifest.

A file exists for readers when its row in `lake_files` is committed, with the offsets that made it;
a file without a row is a leftover of a crash and is swept away.
"""

from storage.lake.cellar import Lake
from storage.lake.hunt import HuntLimits, Result

__all__ = ["HuntLimits", "Lake", "Result"]
