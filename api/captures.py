"""Tell the metrics what the sensors of the asking tenant last said of their packets."""

from typing import Final

from api.desk import Desk
from storage import telemetry
from storage.database.queries import select
from storage.tenant import Scope

MOST: Final = 1_000


def tell_captures(desk: Desk, scope: Scope) -> None:
    """Bring the counts of packets and of drops up to date."""
    with desk.database.app(scope) as tx:
        rows = select(tx, "captures_list", limit=MOST)
    for name, column in (
        ("inopsio_capture_packets_total", "packets"),
        ("inopsio_capture_dropped_total", "dropped"),
    ):
        told: dict[tuple[str, ...], float] = {
            (str(r["sensor"]), str(r["interface"])): float(str(r[column])) for r in rows
        }
        telemetry.replace(name, scope.tenant_id, told)
