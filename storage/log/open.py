"""Open the log that the settings name."""

import importlib

from storage.log import EventLog
from storage.log.sqlite import SqliteLog
from storage.settings import Settings


def open_log(settings: Settings) -> EventLog:
    """Give the house's log: Kafka if INOPSIO_LOG_URL names one, else the embedded one.

    This is the one place that chooses a home: callers know the `EventLog` interface only.
    InvalidInput if the address is wrong; Unavailable if the embedded log cannot be opened.
    """
    if settings.log_url:
        # By name: only who uses it pays for loading its client.
        log: EventLog = importlib.import_module("storage.log.kafka").open_kafka(settings)
        return log
    return SqliteLog(settings.data_dir / "log.sqlite", partitions=settings.partitions)
