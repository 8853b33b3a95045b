"""Score one series of numbers as it streams by; pure and online, nothing set per series.

Row by row: measures of strangeness (`pattern`, `context`, `profile`, `forecast`, `spread`,
`stillness`), each turned into how rare it is among the series' own last rows (`rarity`), added up
(`scorer`) and calibrated again (`calibration`), then one decision to alert at the onset (`alert`).
Decision record 014 says why.
"""

from detectors._series.alert import ALERT_SCORE, AlertOnce
from detectors._series.scorer import Scored, SeriesScorer

__all__ = ["ALERT_SCORE", "AlertOnce", "Scored", "SeriesScorer"]
