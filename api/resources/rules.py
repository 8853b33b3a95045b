"""Look after rules: the house's, which are read here, and a tenant's own, which are kept here."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from api.auth import require
from api.desk import desk_of
from api.rule_check import checker, house_reports, own_rules, reports_of
from storage import rules
from storage.errors import NotFound
from storage.schema.finding import Kind, Level
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["rules"])
Reader = Annotated[Scope, require("findings:read")]
Writer = Annotated[Scope, require(rules.GRANT)]
RuleId = Annotated[str, Path(max_length=200, pattern=r"^[^\x00]*$")]


class RuleView(BaseModel):
    """A rule, and whether it runs."""

    rule_id: str
    title: str
    owner: Literal["house", "tenant"]
    type: str = Field(description="rule, filter, values, or the type of correlation")
    level: Level | None = None
    kind: Kind | None = Field(None, description="what it makes: findings or signals")
    enabled: bool = True
    executable: bool
    reason: str = Field("", description="why it cannot run")
    file: str = Field("", description="of a rule of the house: where in its folder of rules")
    capped: int = Field(
        0, description="claims of 30 days beyond 1,000 in 10 min of event time, which are not kept"
    )
    created_by: str = ""
    created_at: datetime | None = None


class RuleDetail(RuleView):
    """A tenant's own rule with its text."""

    text: str


class RuleList(BaseModel):
    """Rules by id; `next` is null on the last page."""

    items: list[RuleView]
    next: str | None = Field(None, description="give it as `after` for the next page")


class NewRule(BaseModel):
    """A Sigma rule, correlation or filter, or a list of values, to keep."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(min_length=1, max_length=rules.LONGEST_TEXT)
    comment: str = Field("", max_length=300, description="why, for the list of versions")


class VersionView(BaseModel):
    """A text that the rule had."""

    version: int
    title: str
    text: str
    comment: str = Field(description="why it was saved, for example 'rolled back to version 2'")
    created_by: str
    created_at: datetime


class RollBack(BaseModel):
    """The version whose text is to run again."""

    model_config = ConfigDict(extra="forbid")
    version: int = Field(ge=1, le=2**31 - 1)


class RuleSaved(BaseModel):
    """The id of the rule that was kept."""

    rule_id: str


class RuleChange(BaseModel):
    """Whether the rule is to run."""

    model_config = ConfigDict(extra="forbid")
    enabled: bool


@router.get("/rules", summary="List rules: the house's and your own, with why one cannot run")
def listed(
    request: Request,
    scope: Reader,
    owner: Annotated[Literal["house", "tenant"] | None, Query()] = None,
    after: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> RuleList:
    """Give a page, by id."""
    desk = desk_of(request)
    found: list[dict[str, Any]] = []
    if owner != "tenant":
        with desk.database.app(scope) as tx:
            own = [row for row in rules.tenant_rules(tx) if row["enabled"]]
        texts = {str(r["rule_id"]): str(r["text"]) for r in own}
        found += [{**row, "owner": "house"} for row in house_reports(desk.settings, texts)]
    if owner != "house":
        found += _own(request, scope)
    rest = sorted((r for r in found if r["rule_id"] > after), key=lambda r: str(r["rule_id"]))
    shown = rest[:limit]
    more = str(shown[-1]["rule_id"]) if len(rest) > limit else None
    with desk.database.app(scope) as tx:
        capped = rules.capped_claims(tx)
    shown = [{**row, "capped": capped.get(str(row["rule_id"]), 0)} for row in shown]
    return RuleList.model_validate({"items": shown, "next": more})


@router.get("/rules/{rule_id}", summary="Read one of your own rules")
def read(request: Request, scope: Reader, rule_id: RuleId) -> RuleDetail:
    """Give the rule with its text."""
    for row in _own(request, scope):
        if row["rule_id"] == rule_id:
            return RuleDetail.model_validate(row)
    raise NotFound(f"there is no rule '{rule_id[:80]}' of your own")


@router.post("/rules", summary="Save a rule", status_code=201)
def save(request: Request, scope: Writer, new: NewRule) -> RuleSaved:
    """Keep a rule that can run; the text of one that is there already is replaced."""
    desk = desk_of(request)
    with desk.database.app(scope) as tx:
        check = checker(desk.settings)
        return RuleSaved(rule_id=rules.save_rule(scope, tx, new.text, check, new.comment))


@router.get("/rules/{rule_id}/versions", summary="List every text that a rule of your own had")
def versions(request: Request, scope: Reader, rule_id: RuleId) -> list[VersionView]:
    """Give the versions, newest first; a deleted rule has them still."""
    with desk_of(request).database.app(scope) as tx:
        found = rules.rule_versions(tx, rule_id)
    if not found:
        raise NotFound(f"there is no rule '{rule_id[:80]}' of your own")
    return [VersionView.model_validate(row) for row in found]


@router.post("/rules/{rule_id}/rollback", summary="Let an earlier text of a rule run again")
def roll_back(request: Request, scope: Writer, rule_id: RuleId, wanted: RollBack) -> RuleSaved:
    """Save the text of that version as the newest."""
    desk = desk_of(request)
    with desk.database.app(scope) as tx:
        check = checker(desk.settings)
        return RuleSaved(rule_id=rules.roll_back(scope, tx, rule_id, wanted.version, check))


@router.patch("/rules/{rule_id}", summary="Let a rule of your own run, or rest", status_code=204)
def change(request: Request, scope: Writer, rule_id: RuleId, wanted: RuleChange) -> None:
    """Enable or disable it."""
    with desk_of(request).database.app(scope) as tx:
        rules.enable_rule(scope, tx, rule_id, wanted.enabled)


@router.delete("/rules/{rule_id}", summary="Delete a rule of your own", status_code=204)
def delete(request: Request, scope: Writer, rule_id: RuleId) -> None:
    """Delete it; what it claimed stays."""
    with desk_of(request).database.app(scope) as tx:
        rules.delete_rule(scope, tx, rule_id)


def _own(request: Request, scope: Scope) -> list[dict[str, Any]]:
    desk = desk_of(request)
    with desk.database.app(scope) as tx:
        capped = rules.capped_claims(tx)
        kept = {
            str(row["rule_id"]): {**row, "capped": capped.get(str(row["rule_id"]), 0)}
            for row in rules.tenant_rules(tx)
        }
    compiled = own_rules(desk.settings, {i: str(row["text"]) for i, row in kept.items()})
    told = {row["rule_id"]: row for row in reports_of(compiled)}
    unread = {"type": "rule", "executable": False, "reason": "it cannot be read"}
    return [{**unread, **told.get(i, {}), **row, "owner": "tenant"} for i, row in kept.items()]
