"""Open the log that the settings name."""

from storage.log import EventLog
from storage.log.sqlite import SqliteLog
from storage.settings import Settings


def open_log(settings: Settings) -> EventLog:
    """Give the house's log: the embedded one in `data_dir`; Unavailable if it cannot be opened.

    This is the one place that chooses a home: callers know the `EventLog` interface only.
    """
    return SqliteLog(settings.data_dir / "log.sqlite", partitions=settings.partitions)
