"""Fold columns into findings; pure, found by folder. The contract: `storage.schema.detection`."""

from typing import Final

CONTRACT: Final = ("META", "detect")
