"""Ask how a rule would have done on the past, before it runs: a job, and what came of it."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api.auth import require
from api.desk import desk_of
from api.rule_check import checker
from storage import backtests, rules
from storage.errors import InvalidRule
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["rules"])
Reader = Annotated[Scope, require("findings:read")]
Writer = Annotated[Scope, require(rules.GRANT)]


class NewBacktest(BaseModel):
    """A rule text, and how far to look back."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(min_length=1, max_length=rules.LONGEST_TEXT)
    days: int = Field(30, ge=1, le=backtests.MOST_DAYS)
    until: AwareDatetime | None = Field(None, description="default: now")


class BacktestAsked(BaseModel):
    """The id by which to ask for the result."""

    backtest_id: str


class BacktestView(BaseModel):
    """A back-test. `result` is there once it is done.

    `result`: events read, hits, a_day, by_day [[date, hits]], entities [[type, name, hits]], first
    (the first hits), removed (what a filter takes away), cut (why it stopped early), cpu_s,
    cost_us (CPU microseconds of the rule and what it rests on, for 1,000 events).
    """

    backtest_id: str
    title: str
    days: int
    until: datetime
    status: Literal["queued", "running", "done", "failed"]
    events: int
    result: dict[str, Any] | None
    reason: str
    created_by: str
    created_at: datetime


@router.post("/backtests", summary="Run a rule over the past, before it is saved", status_code=202)
def ask(request: Request, scope: Writer, new: NewBacktest) -> BacktestAsked:
    """Put it in line; a text that cannot run is refused at once."""
    desk = desk_of(request)
    with desk.database.app(scope) as tx:
        others = {str(r["rule_id"]): str(r["text"]) for r in rules.tenant_rules(tx)}
        checked = checker(desk.settings)(new.text, others)
        if checked.reason:
            raise InvalidRule(f"the rule cannot run: {checked.reason}")
        until = new.until or desk.now()
        made = backtests.request_backtest(scope, tx, new.text, checked.title, new.days, until)
    return BacktestAsked(backtest_id=made)


@router.get("/backtests", summary="List the newest back-tests")
def listed(request: Request, scope: Reader) -> list[BacktestView]:
    """Give the twenty newest."""
    with desk_of(request).database.app(scope) as tx:
        rows = backtests.newest_backtests(scope, tx)
    return [BacktestView.model_validate(row) for row in rows]


@router.get("/backtests/{backtest_id}", summary="Read a back-test: how far it is, what came of it")
def read(
    request: Request, scope: Reader, backtest_id: Annotated[str, Path(max_length=40)]
) -> BacktestView:
    """Give it."""
    with desk_of(request).database.app(scope) as tx:
        return BacktestView.model_validate(backtests.get_backtest(scope, tx, backtest_id))
