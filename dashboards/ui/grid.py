"""Show many rows in a grid: cells are text nodes, rows come from the server block by block."""

from collections.abc import Sequence
from typing import Any, Final

import dash_ag_grid as dag

from dashboards.ui.states import Part

CACHED_BLOCKS: Final = 10
ROW_PX: Final = 38
_REACH: Final = (
    "min(calc(42px + var(--rows, 999) * var(--row-px, 38px)), "
    "max(400px, calc(100vh - var(--above, 320px) - 50px)))"
)
"""To the end of the window, not beyond the rows; assets/grid.js measures what stands above."""


def column(
    field: str, title: str, width: int, cell: str = "", flex: int = 0, **more: object
) -> dict[str, Any]:
    """Describe a column; `cell` names one of our renderers in assets/grid.js."""
    told: dict[str, Any] = {"field": field, "headerName": title, "width": width, **more}
    if cell:
        told["cellRenderer"] = cell
    if flex:
        told |= {"flex": flex, "minWidth": min(width, 180)}
    return told


def block_grid(name: str, label: str, columns: Sequence[dict[str, Any]], block_rows: int) -> Part:
    """Give a grid that asks the server for blocks of rows as one scrolls."""
    return dag.AgGrid(
        id=name,
        columnDefs=list(columns),
        rowModelType="infinite",
        defaultColDef=_PLAIN,
        dashGridOptions={
            **_options(label),
            "cacheBlockSize": block_rows,
            "maxBlocksInCache": CACHED_BLOCKS,
            "infiniteInitialRowCount": 1,
            "rowBuffer": 0,
        },
        dangerously_allow_code=False,
        className="grid",
        style={"height": _REACH},
    )


def row_grid(
    name: str,
    label: str,
    columns: Sequence[dict[str, Any]],
    rows: Sequence[dict[str, Any]],
    row_px: int = ROW_PX,
) -> Part:
    """Give a grid of rows that are here already: at most a thousand; no higher than they are."""
    return dag.AgGrid(
        id=name,
        columnDefs=list(columns),
        rowData=list(rows[:1000]),
        defaultColDef={**_PLAIN, "sortable": True},
        dashGridOptions={**_options(label), "rowHeight": row_px},
        dangerously_allow_code=False,
        className="grid",
        style={"height": _REACH, "--rows": max(len(rows), 2), "--row-px": f"{row_px}px"},
    )


_PLAIN: Final = {
    "sortable": False,
    "resizable": True,
    "suppressMovable": True,
    "suppressHeaderMenuButton": True,
}


def _options(label: str) -> dict[str, Any]:
    return {
        "rowHeight": ROW_PX,
        "headerHeight": ROW_PX,
        "animateRows": False,
        "suppressCellFocus": False,
        "enableCellTextSelection": True,
        "ensureDomOrder": True,
        "suppressColumnVirtualisation": True,
        "localeText": {"ariaLabel": label},
        "suppressScrollOnNewData": False,
    }
