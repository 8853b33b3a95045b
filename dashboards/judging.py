"""Judge, assign and gather findings from the queue: acts on their incidents, each with a way back.

A finding that is in no incident gets one when a person acts on it. What a browser sends names
groups or ids; which findings these are is read again in the scope of who acts.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from psycopg import Connection
from psycopg.rows import TupleRow

from business import incidents
from dashboards.read.filters import FindingFilter
from storage.audit import write_audit
from storage.database import Database
from storage.database.queries import execute, select
from storage.errors import InvalidInput, NotFound
from storage.tenant import Scope

UNDO: Final = "findings.act"
UNDO_VIEW: Final = "findings.view"
MOST_ROWS: Final = 100
MOST_CLAIMS: Final = 500
LONGEST_NAME: Final = 80
VERDICTS: Final = ("true_positive", "false_positive", "benign")
Row = dict[str, Any]
Transaction = Connection[TupleRow]


class Chosen(msgspec.Struct, forbid_unknown_fields=True):
    """Name one row of the queue: a group (`f` is its newest finding) or, flat, one finding."""

    f: str
    r: str = ""
    t: str = ""
    e: str = ""


def read_chosen(rows: object) -> list[Chosen]:
    """Check what a browser sends as rows; InvalidInput when it is none."""
    try:
        found = msgspec.convert(rows, list[Chosen])
    except msgspec.ValidationError as error:
        raise InvalidInput(f"these are no rows of the queue: {error}") from error
    if not 0 < len(found) <= MOST_ROWS:
        raise InvalidInput(f"choose 1 to {MOST_ROWS} rows")
    return found


def _claims(tx: Transaction, wanted: FindingFilter, rows: Sequence[Chosen]) -> list[list[Row]]:
    """Read the claims of each row, at most 500 in all."""
    newest = select(tx, "queue_edges")[0]["newest"]
    found: list[list[Row]] = []
    left = MOST_CLAIMS
    if wanted.shape == "flat":
        ids = [row.f for row in rows]
        return [[claim] for claim in select(tx, "queue_chosen_ones", ids=ids)]
    for row in rows:
        mine = wanted.but(rule=row.r, entity=row.e).params(newest)  # type: ignore[arg-type]  # a row's time
        claims = select(tx, "queue_chosen", **mine, entity_type=row.t, limit=left)
        left -= len(claims)
        if claims:
            found.append(claims)
        if left <= 0:
            break
    return found


def _incidents_of(scope: Scope, tx: Transaction, groups: Sequence[list[Row]]) -> dict[str, Row]:
    """Give the incidents of these claims as they stand; claims in none get one, a group each."""
    found: dict[str, Row] = {}
    for claims in groups:
        for which in {c["incident_id"] for c in claims if c["incident_id"]}:
            found.setdefault(which, incidents.get(scope, tx, which))
        alone = [c for c in claims if not c["incident_id"]]
        if alone:
            made = incidents.open_by_hand(
                scope, tx, _title(alone[0]), [c["finding_id"] for c in alone]
            )
            found[made["incident_id"]] = {**made, "is_made": True}
    if not found:
        raise NotFound("these findings are not there any more")
    return found


def _title(claim: Row) -> str:
    return incidents.title_of(claim["title"], claim["entity_type"], claim["entity"]) or "Finding"


def change(
    database: Database,
    scope: Scope,
    wanted: FindingFilter,
    rows: object,
    change_to: Mapping[str, str],
) -> tuple[str, Row]:
    """Change the incidents of the rows; give the words to show and what undoing needs.

    `change_to`: status, verdict, assignee ('' empties). NotAllowed without `incidents:write`.
    """
    scope.require("incidents:write")
    chosen = read_chosen(rows)
    change_ = msgspec.convert(dict(change_to), incidents.Change)
    with database.app(scope) as tx:
        groups = _claims(tx, wanted, chosen)
        found = _incidents_of(scope, tx, groups)
        before = []
        for which, row in found.items():
            after = incidents.change(scope, tx, which, change_, row["version"])
            before.append(_before(row, after["version"]))
    return _said(len(found), sum(map(len, groups)), change_to), {"incidents": before}


def _before(row: Row, version: int) -> Row:
    kept = {name: row[name] or "" for name in ("status", "verdict", "assignee")}
    if row.get("is_made"):
        # It was in none: closed without a verdict, its findings stand in the queue again.
        kept = {"status": "closed", "verdict": "", "assignee": ""}
    return {"id": row["incident_id"], "version": version, **kept}


def _said(count: int, claims: int, change_to: Mapping[str, str]) -> str:
    what = f"{count} incident{'' if count == 1 else 's'}"
    of = f"{claims} finding{'' if claims == 1 else 's'}"
    if "verdict" in change_to:
        return f"{what} closed as {change_to['verdict'].replace('_', ' ')} ({of})"
    who = change_to.get("assignee") or "nobody"
    return f"{what} assigned to {who} ({of})"


def gather(
    database: Database, scope: Scope, wanted: FindingFilter, rows: object
) -> tuple[str, str, Row]:
    """Make one incident of all claims of the rows; give words, its id and what undoing needs."""
    scope.require("incidents:write")
    chosen = read_chosen(rows)
    with database.app(scope) as tx:
        groups = _claims(tx, wanted, chosen)
        claims = [claim for group in groups for claim in group]
        if not claims:
            raise NotFound("these findings are not there any more")
        homes = {c["incident_id"] for c in claims if c["incident_id"]}
        before = [
            {
                **{n: incidents.get(scope, tx, h)[n] or "" for n in _KEPT},
                "ids": [c["finding_id"] for c in claims if c["incident_id"] == h],
            }
            for h in homes
        ]
        made = incidents.open_by_hand(
            scope, tx, _title(claims[0]), [c["finding_id"] for c in claims]
        )
    words = f"Incident opened with {len(claims)} finding{'' if len(claims) == 1 else 's'}"
    which = str(made["incident_id"])
    return words, which, {"made": which, "homes": before}


_KEPT: Final = ("title", "status", "verdict", "assignee")


class _Before(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    version: int
    status: str
    verdict: str
    assignee: str


class _Home(msgspec.Struct, forbid_unknown_fields=True):
    title: str
    status: str
    verdict: str
    assignee: str
    ids: list[str]


class _Undo(msgspec.Struct, forbid_unknown_fields=True):
    incidents: list[_Before] = []
    made: str = ""
    homes: list[_Home] = []


def undo(database: Database, scope: Scope, data: Mapping[str, Any]) -> str:
    """Put the incidents back as they were; VersionConflict if somebody changed them meanwhile."""
    scope.require("incidents:write")
    try:
        told = msgspec.convert(dict(data), _Undo)
        changes = [(b, _change_of(b)) for b in told.incidents]
        homes = [(h, _change_of(h)) for h in told.homes]
    except msgspec.ValidationError as error:
        raise InvalidInput(f"that cannot be undone: {error}") from error
    if len(changes) + len(homes) > MOST_CLAIMS:
        raise InvalidInput("that is too much to undo at once")
    with database.app(scope) as tx:
        for one, back in changes:
            incidents.change(scope, tx, one.id, back, one.version)
        for home, back in homes:
            again = incidents.open_by_hand(
                scope, tx, home.title or "Incident", home.ids, undoes=told.made
            )
            incidents.change(scope, tx, str(again["incident_id"]), back, again["version"])
        if told.made:
            made = incidents.get(scope, tx, told.made)
            if not made["merged_into"]:
                dismissed = incidents.Change(status="closed", verdict="")
                incidents.change(scope, tx, told.made, dismissed, made["version"])
    return "Undone"


def _change_of(one: _Before | _Home) -> incidents.Change:
    told = {"status": one.status, "verdict": one.verdict, "assignee": one.assignee}
    return msgspec.convert(told, incidents.Change)


def keep_view(database: Database, scope: Scope, page: str, name: str, search: str) -> str:
    """Keep a view of a page under a name of the person's own; the same name is written over."""
    words = " ".join(name.replace("\x00", "").split())
    if not words or len(words) > LONGEST_NAME:
        raise InvalidInput(f"a view's name has 1 to {LONGEST_NAME} characters")
    with database.app(scope) as tx:
        if not execute(tx, "saved_view_put", page=page, name=words, search=search[:4000]):
            raise InvalidInput("you keep 200 views already; remove one first")
        write_audit(tx, scope, "view.keep", f"{page}: {words}")
    return words


def drop_view(database: Database, scope: Scope, page: str, name: str) -> str:
    """Forget a view; give its query, so that it can be kept again. NotFound if there is none."""
    with database.app(scope) as tx:
        rows = select(tx, "saved_view_drop", page=page, name=name)
        if not rows:
            raise NotFound("you keep no view of that name")
        write_audit(tx, scope, "view.drop", f"{page}: {name}")
    return str(rows[0]["search"])
