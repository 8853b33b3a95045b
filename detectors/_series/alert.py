"""Alert once: at the onset, then quiet."""

import math
from typing import Final

ALERT_SCORE: Final = math.log(70)
"""About one row in 70 is that strange by chance."""
WARM_UP_ROWS: Final = 300
QUIET_ROWS: Final = 200


class AlertOnce:
    """Remember the row of the last alert."""

    def __init__(self) -> None:
        self._next = WARM_UP_ROWS

    def is_alert(self, row: int, score: float) -> bool:
        """Say whether this row opens an alert: strange, warmed up, and none in the last rows."""
        if score < ALERT_SCORE or row < self._next:
            return False
        self._next = row + QUIET_ROWS + 1
        return True
