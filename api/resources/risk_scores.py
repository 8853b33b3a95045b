"""Read risks: which entities carry most, and what makes one."""

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from pydantic import AwareDatetime, BaseModel

from api.auth import require
from api.desk import desk_of
from business import crm, erp, risk
from business._event import Transaction
from storage.schema.entity import canonical
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["risk"])
Reader = Annotated[Scope, require("findings:read")]
At = Annotated[AwareDatetime | None, Query(description="moment to reckon for; default: now")]
Name = Annotated[str, Path(min_length=1, max_length=512, pattern=r"^[^\x00]*$")]
_BUSINESS: Final = frozenset({"document", "vendor", "customer", "item"})


class PartView(BaseModel):
    """One reason; the shares of all parts add up to the score."""

    factor: risk.Factor
    rule_id: str
    title: str
    level: str
    claims: int
    points: float
    share: float
    last_time: datetime | None


class RiskView(BaseModel):
    """An entity's risk, 0 to 100."""

    entity_type: str
    entity: str
    score: float
    band: risk.Band
    parts: list[PartView]


class DayView(BaseModel):
    """The score at one moment."""

    at: datetime
    score: float


class RiskDetail(RiskView):
    """An entity's risk with its history, oldest first."""

    history: list[DayView]


class RiskList(BaseModel):
    """Entities with most risk, gravest first."""

    at: datetime
    items: list[RiskView]


@router.get("/risk-scores", summary="List the entities with most risk, and what makes it")
def ranked(
    request: Request,
    scope: Reader,
    at: At = None,
    kind: Annotated[str | None, Query(max_length=40, pattern="^[a-z_]+$")] = None,
    limit: Annotated[int, Query(ge=1, le=risk.MOST_RANKED)] = 50,
) -> RiskList:
    """Give the ranking at a moment."""
    desk = desk_of(request)
    moment = at or desk.now()
    with desk.database.app(scope) as tx:
        pairs = risk.ranking(scope, tx, moment, kind, limit)
        near = risk.behind(scope, tx, pairs, moment)
        money = {pair: _money(scope, tx, [pair, *others]) for pair, others in near.items()}
        found = risk.risks(scope, tx, pairs, moment, money)
    found.sort(key=lambda one: (-one.score, one.entity_type, one.entity))
    return RiskList(at=moment, items=[_view(one) for one in found])


@router.get("/risk-scores/{kind}/{name}", summary="Read one entity's risk and its history")
def read(
    request: Request,
    scope: Reader,
    kind: Annotated[str, Path(max_length=40, pattern="^[a-z_]+$")],
    name: Name,
    at: At = None,
) -> RiskDetail:
    """Give the risk; 0 without parts for an entity of which nothing is claimed."""
    desk = desk_of(request)
    moment = at or desk.now()
    pair = canonical(kind, name)
    with desk.database.app(scope) as tx:
        near = risk.behind(scope, tx, [pair], moment)[pair]
        cents, said = _money(scope, tx, [pair, *near])
        found = risk.risk_of(scope, tx, *pair, moment, {pair: (cents, said)})
        days = risk.history(scope, tx, *pair, moment, cents)
    told = [DayView(at=day.at, score=day.score) for day in days]
    return RiskDetail(**_view(found).model_dump(), history=told)


def _money(scope: Scope, tx: Transaction, pairs: list[tuple[str, str]]) -> tuple[int, str]:
    """Give the largest sum of one currency behind entities, and that sum in words."""
    asked = [pair for pair in dict.fromkeys(pairs) if pair[0] in _BUSINESS]
    rows: list[erp.Exposure | crm.Exposure] = []
    if asked and scope.may("erp:read"):
        rows += erp.exposure(scope, tx, asked)
    if asked and scope.may("crm:read"):
        rows += crm.exposure(scope, tx, asked)
    sums: dict[str, int] = {}
    for row in rows:
        sums[row.currency] = sums.get(row.currency, 0) + row.amount_cents
    currency = max(sums, key=lambda name: sums[name], default="")
    cents = sums.get(currency, 0)
    return cents, f"{cents / 100:,.2f} {currency}"


def _view(found: risk.Risk) -> RiskView:
    parts = [
        PartView(**{name: getattr(part, name) for name in PartView.model_fields})
        for part in found.parts
    ]
    return RiskView(
        entity_type=found.entity_type,
        entity=found.entity,
        score=found.score,
        band=found.band,
        parts=parts,
    )
