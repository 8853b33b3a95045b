"""Open the lake that the settings name."""

import importlib

from storage.lake.cellar import Lake
from storage.lake.store import Store
from storage.settings import Settings


def open_lake(settings: Settings) -> Lake:
    """Give the house's lake: an object store if INOPSIO_LAKE_URL names one, else a folder.

    InvalidInput names the setting that is wrong; nothing is asked of the store yet.
    """
    root = settings.data_dir / "lake"
    if not settings.lake_url:
        return Lake(root)
    # By name: only who uses it pays for loading its client.
    store: Store = importlib.import_module("storage.lake.bucket").open_bucket(settings)
    return Lake(root, store)
