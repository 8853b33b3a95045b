"""Speak the house's words: event columns, EventBatch, Finding and the detector's contract."""

from storage.schema.batch import MAX_BATCH_ROWS, EventBatch
from storage.schema.classes import CLASSES, EventClass, class_named
from storage.schema.columns import COLUMNS, ENVELOPE, UNMAPPED, Column, column_named, dtypes
from storage.schema.detection import Context, DetectorMeta, State
from storage.schema.entity import canonical, is_joining
from storage.schema.finding import Finding, Kind, Reason, finding_id

__all__ = [
    "CLASSES",
    "COLUMNS",
    "ENVELOPE",
    "MAX_BATCH_ROWS",
    "UNMAPPED",
    "Column",
    "Context",
    "DetectorMeta",
    "EventBatch",
    "EventClass",
    "Finding",
    "Kind",
    "Reason",
    "State",
    "canonical",
    "class_named",
    "column_named",
    "dtypes",
    "finding_id",
    "is_joining",
]
