"""Read the rules: texts of the house's own and the tenant's, their claims and their verdicts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, get_args

import yaml

from api import rule_check
from api.rule_check import checker, own_rules, reports_of
from dashboards.read.detectors import DetectorText, detector_of, detectors, title_of
from storage.database import Database
from storage.database.queries import select
from storage.rules import capped_claims, enable_rule, save_rule, tenant_rules
from storage.schema.finding import Level
from storage.settings import Settings
from storage.tenant import Scope

Row = dict[str, Any]
_FOLDER: Final = Path(__file__).resolve().parents[2] / "detectors" / "rules"
"""Read as files: windows see no detector."""
_EXAMPLES: Final = re.compile(r"^inopsio:\n(?:[ \t]+.*\n?|\n)*", re.MULTILINE)
_PARTS: Final = re.compile(r"^---\s*$", re.MULTILINE)
_TECHNIQUE: Final = re.compile(r"attack\.(t\d{4}(?:\.\d{3})?)$", re.IGNORECASE)
STEP: Final = timedelta(hours=6)
STEPS: Final = 28
"""Seven days in steps of six hours: the last four are the day."""
QUERY_MS: Final = "10000"


@dataclass(frozen=True, slots=True)
class RuleText:
    """Hold a rule as written, without its own test examples.

    `kind`: rule, correlation, filter, values or model; `base`: names or ids of the rules a
    correlation rests on; `owner`: house or tenant; `problem`: why it cannot run, '' if it can;
    `enabled`: a tenant's own rule may rest; `detector`: the code that is this rule, None for a
    text; `is_of_folder`: it lies in a folder of the settings, its text is read when asked for.
    """

    title: str
    description: str
    text: str
    false_positives: tuple[str, ...]
    rule_id: str = ""
    name: str = ""
    level: str = "informational"
    kind: str = "rule"
    attack: tuple[str, ...] = ()
    area: str = ""
    base: tuple[str, ...] = ()
    owner: str = "house"
    problem: str = ""
    enabled: bool = True
    created_by: str = ""
    detector: DetectorText | None = None
    is_of_folder: bool = False


@dataclass(frozen=True, slots=True)
class RuleFigures:
    """Say what a rule did: claims a step of the last seven days, verdicts, its last claim.

    `capped`: claims of 30 days beyond what is kept of one rule in 10 minutes.
    """

    steps: tuple[int, ...] = (0,) * STEPS
    claims: int = 0
    last_time: datetime | None = None
    right: int = 0
    wrong: int = 0
    capped: int = 0

    @property
    def week(self) -> int:
        """Give the claims of seven days."""
        return sum(self.steps)

    @property
    def day(self) -> int:
        """Give the claims of the last day."""
        return sum(self.steps[-4:])

    @property
    def judged(self) -> int:
        """Give how many incidents with a verdict its claims are in."""
        return self.right + self.wrong

    @property
    def precision(self) -> float | None:
        """Give true / (true + false); None before the first verdict."""
        return self.right / self.judged if self.judged else None


@dataclass(frozen=True, slots=True)
class Listed:
    """Put a rule's text beside its figures."""

    rule: RuleText
    figures: RuleFigures = field(default_factory=RuleFigures)
    parts: tuple[str, ...] = ()

    @property
    def rule_ids(self) -> list[str]:
        """Give the ids its claims have: its own and those of a detector's `parts`."""
        return [self.rule.rule_id, *self.parts]


def rule_text(settings: Settings, rule_id: str) -> RuleText | None:
    """Give the rule of that id, of the house or of the settings' folders; None if it is neither."""
    wanted = rule_id.lower()
    found = house_rules().get(wanted)
    if found is not None or not settings.rules_dirs:
        return found
    rows = rule_check.house_reports(settings, {})
    row = next((r for r in rows if str(r["rule_id"]).lower() == wanted), None)
    return None if row is None else _whole(settings, _of_folder(row))


@cache
def house_rules() -> Mapping[str, RuleText]:
    """Give id -> every rule that the house brings; a file may hold several."""
    found: dict[str, RuleText] = {}
    for file in sorted(_FOLDER.rglob("*.yml")):
        written = file.read_text(encoding="utf-8")
        for rule in read_rules(written, file.parent.name):
            found[rule.rule_id.lower()] = rule
    return MappingProxyType(found)


def read_rules(written: str, area: str = "", owner: str = "house") -> list[RuleText]:
    """Read the rules of a Sigma file; what is no rule is left out."""
    found = []
    for part in _PARTS.split(written):
        text = _EXAMPLES.sub("", part).strip()
        try:
            told = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError):
            continue
        if isinstance(told, dict) and told.get("id"):
            found.append(_rule(told, text, area, owner))
    return found


def _rule(told: Mapping[str, Any], text: str, area: str, owner: str) -> RuleText:
    correlation = told.get("correlation")
    kinds = [
        name for name in ("correlation", "filter", "values") if isinstance(told.get(name), dict)
    ]
    base = correlation.get("rules") if isinstance(correlation, dict) else None
    tags = [_TECHNIQUE.search(str(tag)) for tag in _list(told.get("tags"))]
    return RuleText(
        title=str(told.get("title", "")),
        description=" ".join(str(told.get("description", "")).split()),
        text=text,
        false_positives=tuple(str(d) for d in _list(told.get("falsepositives"))),
        rule_id=str(told["id"]),
        name=str(told.get("name", "")),
        level=str(told.get("level", "informational")),
        kind=kinds[0] if kinds else "rule",
        attack=tuple(t[1].upper() for t in tags if t),
        area=area,
        base=tuple(str(b) for b in _list(base)),
        owner=owner,
    )


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def listed(database: Database, settings: Settings, scope: Scope) -> list[Listed]:
    """Give every rule with its figures, the loudest first; models and unknown ids too."""
    scope.require("findings:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        last = {str(r["rule_id"]): r for r in select(tx, "pages_rule_last")}
        figures = _figures(tx, last)
        own = tenant_rules(tx)
    texts = {str(r["rule_id"]): str(r["text"]) for r in own if r["enabled"]}
    told = rule_check.house_reports(settings, texts)
    problems = {str(r["rule_id"]).lower(): str(r["reason"]) for r in told if not r["executable"]}
    rules = {name: _judged(rule, problems) for name, rule in house_rules().items()}
    for row in told:
        if str(row["rule_id"]).lower() not in rules:
            rules[str(row["rule_id"]).lower()] = _of_folder(row)
    rules |= {rule.rule_id.lower(): rule for rule in _own(settings, own)}
    for rule_id, row in last.items():
        if rule_id.lower() not in rules:
            rules[rule_id.lower()] = _model(rule_id, row)
    found = [Listed(rule, figures.get(name, RuleFigures())) for name, rule in rules.items()]
    return sorted(found, key=lambda f: (-f.figures.week, -f.figures.claims, f.rule.title))


def _of_folder(row: Row) -> RuleText:
    """Give what is known of a rule in one of the settings' folders without its text."""
    file = Path(str(row["file"]))
    return RuleText(
        title=str(row["title"]),
        description="",
        text="",
        false_positives=(),
        rule_id=str(row["rule_id"]),
        level=str(row.get("level", "informational")),
        kind=row["type"] if row["type"] in {"rule", "filter", "values"} else "correlation",
        attack=tuple(map(str, row["attack"])),
        area=str(file.parent) if file.parent.name else file.name,
        problem=str(row["reason"]),
        is_of_folder=True,
    )


def _whole(settings: Settings, rule: RuleText) -> RuleText:
    """Read the text of a rule in a folder; of a file that is broken, as it is."""
    written = rule_check.text_of(settings, rule.rule_id)
    if rule.problem:
        return replace(rule, text=written)
    found = [r for r in read_rules(written, rule.area) if r.rule_id == rule.rule_id]
    whole = found[-1] if found else replace(rule, text=written)
    return replace(whole, is_of_folder=True)


def _judged(rule: RuleText, problems: Mapping[str, str]) -> RuleText:
    problem = problems.get(rule.rule_id.lower(), "")
    return replace(rule, problem=problem) if problem else rule


def _own(settings: Settings, rows: list[Row]) -> list[RuleText]:
    """Read the tenant's own rules, each with whether it runs and why not."""
    texts = {str(r["rule_id"]): str(r["text"]) for r in rows}
    told = reports_of(own_rules(settings, texts)) if texts else []
    problems = {str(r["rule_id"]).lower(): str(r["reason"]) for r in told if not r["executable"]}
    found = []
    for row in rows:
        read = read_rules(str(row["text"]), "your own", "tenant")
        rule_id, title = str(row["rule_id"]), str(row["title"])
        rule = read[-1] if read else RuleText(title, "", str(row["text"]), ())
        whole = replace(
            rule,
            rule_id=rule_id,
            text=str(row["text"]),
            owner="tenant",
            enabled=bool(row["enabled"]),
            created_by=str(row["created_by"]),
        )
        found.append(_judged(whole, problems))
    return found


def one(database: Database, settings: Settings, scope: Scope, rule_id: str) -> Listed | None:
    """Give the rule or detector of that id with its figures; None if there is none.

    A detector is one even before its first claim, and when all its claims are of its parts.
    """
    wanted = rule_id.lower()
    found = listed(database, settings, scope)
    exact = next((f for f in found if f.rule.rule_id.lower() == wanted), None)
    if exact is not None and exact.rule.is_of_folder:
        return replace(exact, rule=_whole(settings, exact.rule))
    if exact is not None or wanted not in detectors():
        return exact
    parts = [f for f in found if f.rule.rule_id.startswith(f"{wanted}.")]
    levels = {f.rule.level for f in parts}
    worst = [level for level in get_args(Level) if level in levels][-1:] or ["informational"]
    model = _model(wanted, {"level": worst[0]})
    return Listed(model, summed([f.figures for f in parts]), tuple(f.rule.rule_id for f in parts))


def summed(parts: Sequence[RuleFigures]) -> RuleFigures:
    """Add up what the parts of a detector did."""
    return RuleFigures(
        steps=tuple(map(sum, zip(*(p.steps for p in parts), strict=True))) or (0,) * STEPS,
        claims=sum(p.claims for p in parts),
        last_time=max((p.last_time for p in parts if p.last_time), default=None),
        right=sum(p.right for p in parts),
        wrong=sum(p.wrong for p in parts),
        capped=sum(p.capped for p in parts),
    )


def save(database: Database, settings: Settings, scope: Scope, text: str) -> str:
    """Keep a rule of the tenant's own; give its id. InvalidInput says why it cannot run."""
    with database.app(scope) as tx:
        return save_rule(scope, tx, text, checker(settings))


def let_run(database: Database, scope: Scope, rule_id: str, enabled: bool) -> None:
    """Let a rule of the tenant's own run, or rest; audited."""
    with database.app(scope) as tx:
        enable_rule(scope, tx, rule_id, enabled)


def claims(database: Database, scope: Scope, rule_ids: Sequence[str], limit: int = 50) -> list[Row]:
    """Give the newest claims of a rule: of these ids."""
    scope.require("findings:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        return select(tx, "pages_rule_claims", rule_ids=list(rule_ids), limit=limit)


def base_rules(rule: RuleText) -> list[RuleText | str]:
    """Give the rules that a correlation names, by name or id; the bare word where none is known."""
    known: dict[str, RuleText] = {}
    for found in house_rules().values():
        known |= {found.rule_id.lower(): found, **({found.name: found} if found.name else {})}
    return [known.get(word, known.get(word.lower(), word)) for word in rule.base]


def newest(database: Database, scope: Scope) -> datetime | None:
    """Give the time of the newest claim: seven days count back from it."""
    with database.app(scope) as tx:
        found = select(tx, "pages_newest_claim")[0]["last_time"]
    return found if isinstance(found, datetime) else None


def _model(rule_id: str, row: Row) -> RuleText:
    # A claim's title names its own entities; a detector's rule is called after the detector.
    found = detector_of(rule_id)
    is_named = found is not None or re.fullmatch(r"[a-z][a-z0-9_.]*", rule_id) is not None
    return RuleText(
        title=title_of(rule_id) if is_named else f"A rule no longer kept ({rule_id[:40]})",
        description=found.says[0] if found and found.says else "",
        text="",
        false_positives=(),
        rule_id=rule_id,
        level=str(row["level"]),
        kind="model" if is_named else "rule",
        attack=found.attack if found else (),
        area=", ".join(found.classes) or "every kind of event" if found else "",
        detector=found,
    )


def _figures(tx: Any, last: Mapping[str, Row]) -> dict[str, RuleFigures]:  # noqa: ANN401  a connection
    times = [r["last_time"] for r in last.values()]
    if not times:
        return {}
    until = max(times)
    since = until - STEP * STEPS
    steps: dict[str, list[int]] = {}
    asked = {"since": since, "until": until, "step_s": int(STEP.total_seconds())}
    for row in select(tx, "pages_rule_hits", **asked):
        held = steps.setdefault(str(row["rule_id"]), [0] * STEPS)
        held[min(int(str(row["bucket"])), STEPS - 1)] += int(str(row["claims"]))
    judged = {str(r["rule_id"]): r for r in select(tx, "pages_rule_verdicts")}
    capped = capped_claims(tx)
    return {
        rule_id.lower(): RuleFigures(
            steps=tuple(steps.get(rule_id, (0,) * STEPS)),
            claims=int(row["claims"]),
            last_time=row["last_time"],
            right=int(str(judged.get(rule_id, {}).get("right_ones", 0))),
            wrong=int(str(judged.get(rule_id, {}).get("wrong_ones", 0))),
            capped=capped.get(rule_id, 0),
        )
        for rule_id, row in last.items()
    }
