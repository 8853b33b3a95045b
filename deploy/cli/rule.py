"""`inopsio rule`: check, try, back-test, deploy and roll back rules."""

import contextlib
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import cyclopts
from psycopg import Rollback

from api.rule_check import checker
from deploy.backtest import DAY_US, backtest
from deploy.cli.detect import HOUSE_RULES, rule_cache
from deploy.detect import detect_files
from deploy.house import known_tenant, opened
from deploy.output import DONE, FAILED, PARTLY, emit, progress, say, table
from deploy.rule_cost import costs_of, sample
from deploy.running import settings_for
from detectors.sigma import RuleReport, compile_rules, lint
from storage import rule_costs
from storage.errors import InvalidInput
from storage.rules import roll_back, rule_versions, save_rule, tenant_rules
from storage.tenant import Actor, Role, Scope

_MOST_FILES: Final = 500
_ENDINGS: Final = (".yml", ".yaml")


def rule_lint(*folders: Path, json: bool = False) -> int:
    """Say of every rule whether it can run, and why not; 3 if one cannot.

    Parameters
    ----------
    folders
        folders of Sigma rules, or single files; every .yml and .yaml below is looked at.
    json
        print one JSON object a rule.
    """
    if not folders:
        raise InvalidInput("name at least one folder of rules")
    total = 0
    idle: list[RuleReport] = []
    for report in lint(folders):
        total += 1
        if not report.executable:
            idle.append(report)
        if json:
            emit(_row(report))
    if not json and idle:
        table([_row(r) for r in idle], ["file", "rule_id", "reason"], widest=100)
    say(f"{total - len(idle)} of {total} rules and files can run")
    return PARTLY if idle else DONE


def _row(report: RuleReport) -> dict[str, object]:
    return {
        "rule_id": report.rule_id,
        "file": report.file,
        "executable": report.executable,
        "reason": report.reason,
    }


def rule_test(
    *rules: Path,
    data: Annotated[list[Path], cyclopts.Parameter(negative=())],
    expect: int | None = None,
    json: bool = False,
) -> int:
    """Run rules over files of logs and say what they hit; needs no server.

    Ends with 0 = as expected, 1 = another number of hits than expected, 3 = some records or files
    were refused, each named.

    Parameters
    ----------
    rules
        files or folders of Sigma rules; they may rest on the house's own.
    data
        a file, folder or archive of logs, may be given several times.
    expect
        how many events they must hit in all.
    json
        print one JSON object for each (file, rule) that hits.
    """
    if not rules:
        raise InvalidInput("name at least one rule")
    mine = {report.rule_id for report in lint(rules) if report.executable}
    if not mine:
        raise InvalidInput("none of these rules can run; see: inopsio rule lint")
    with _folders(rules) as folders:
        compiled = compile_rules([*folders, HOUSE_RULES], cache=rule_cache())
        refused: list[str] = []

        def refuse(file: str, reason: str) -> None:
            refused.append(file)
            say(f"{file}: {reason}")

        hits = [hit for hit in detect_files(data, compiled, refuse) if hit.rule_id in mine]
    if json:
        for hit in hits:
            emit(hit.row())
    elif hits:
        table([hit.row() for hit in hits], ["level", "count", "rule", "file"])
    total = sum(hit.count for hit in hits)
    say(f"{total} hits of {len({hit.rule_id for hit in hits})} rules, of {len(mine)} that ran")
    if expect is not None and total != expect:
        say(f"{expect} were expected")
        return FAILED
    return PARTLY if refused else DONE


@contextlib.contextmanager
def _folders(rules: tuple[Path, ...]) -> Iterator[list[Path]]:
    """Give folders that hold the rules: single files stand in one of their own."""
    with tempfile.TemporaryDirectory() as made:
        for number, file in enumerate(rules):
            if file.is_file():
                text = file.read_bytes()
                (Path(made) / f"{number}-{file.name}").write_bytes(text)
        yield [Path(made), *(folder for folder in rules if folder.is_dir())]


def rule_backtest(
    rule: Path,
    *,
    tenant: str,
    days: int = 30,
    until: datetime | None = None,
    data: Path | None = None,
    json: bool = False,
) -> int:
    """Run a rule over the tenant's history as the flows would have, and count what it says.

    Parameters
    ----------
    rule
        a file with a Sigma rule, correlation or filter.
    tenant
        whose history.
    days
        how many days back.
    until
        the moment they end at (default now).
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object.
    """
    if not 1 <= days <= 366:
        raise InvalidInput("--days is 1 to 366")
    text = _text(rule)
    end = until or datetime.now(UTC)
    until_us = int((end if end.tzinfo else end.replace(tzinfo=UTC)).timestamp() * 1_000_000)
    with opened(settings_for(data)) as house:
        known_tenant(house, tenant)
        tell = (lambda _: None) if json else (lambda events: say(f"{events:,} events read"))
        scope = _scope(tenant)
        found = backtest(house, scope, text, until_us - days * DAY_US, until_us, tell)
    if json:
        emit(found)
        return DONE
    _show(found, days)
    return DONE


def _show(found: dict[str, Any], days: int) -> None:
    table([{"day": day, "hits": hits} for day, hits in found["by_day"]], ["day", "hits"])
    table(
        [{"type": kind, "entity": name, "hits": n} for kind, name, n in found["entities"][:10]],
        ["type", "entity", "hits"],
    )
    removed = found["removed"]
    taken = "" if removed is None else f"; the filter takes away {removed:,}"
    cut = f"; {found['cut']}" if found["cut"] else ""
    say(
        f"{found['hits']:,} hits in {found['events']:,} events of {days} days, "
        f"{found['a_day']:g} a day{taken}{cut}; {found['cost_us']:,.0f} us of CPU for 1,000 events"
    )


def rule_cost(
    *rules: Path,
    data: Annotated[list[Path], cyclopts.Parameter(negative=())],
    events: int = 50_000,
    most: int = 20,
    keep: bool = False,
    json: bool = False,
) -> int:
    """Say which rules cost most: CPU of each alone over the same events, the dearest first.

    Parameters
    ----------
    rules
        files or folders of Sigma rules (default: the house's own).
    data
        a file, folder or archive of logs, may be given several times.
    events
        how many events are taken, the first.
    most
        how many rules are shown; --json prints all.
    keep
        write the costs down in the data folder, where the console's list of rules shows them.
    json
        print one JSON object a rule.
    """
    refused: list[str] = []

    def refuse(file: str, reason: str) -> None:
        refused.append(file)
        say(f"{file}: {reason}")

    frames = sample(data, max(events, 1), refuse)
    if not frames:
        raise InvalidInput("there is no event in these files")
    with _folders(rules or (HOUSE_RULES,)) as folders:
        chosen = compile_rules(folders, cache=rule_cache()).rules
    counted = progress(costs_of(chosen, frames), len(chosen), "rules")
    told = sorted(counted, key=lambda one: -one.cpu_us)
    for one in told if json else ():
        emit(one.row())
    if not json:
        table([one.row() for one in told[:most]], ["cpu_us", "hits", "rule"])
    read = sum(frame.height for frame in frames)
    if keep:
        costs = {one.rule.rule_id: round(one.cpu_us, 1) for one in told}
        at = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        rule_costs.keep(settings_for().data_dir, at, read, costs)
    whole = sum(one.cpu_us for one in told)
    say(
        f"CPU microseconds for 1,000 events, each rule alone, over {read:,} events; "
        f"{len(told)} rules, in sum {whole:,.0f}: together they share most of it"
    )
    return PARTLY if refused else DONE


def rule_deploy(
    *rules: Path,
    tenant: str,
    dry_run: bool = False,
    comment: str = "",
    data: Path | None = None,
    json: bool = False,
) -> int:
    """Save rules as the tenant's own, all or none; what is there already unchanged stays.

    Parameters
    ----------
    rules
        files, or folders of which every .yml and .yaml is taken.
    tenant
        whose rules.
    dry_run
        only say what would change.
    comment
        why, for the list of versions.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object a rule.
    """
    files = _files(rules)
    settings = settings_for(data)
    scope, check = _scope(tenant), checker(settings)
    told: list[dict[str, object]] = []
    with opened(settings) as house:
        known_tenant(house, tenant)
        with house.database.app(scope) as tx:
            before = {str(r["rule_id"]): str(r["text"]) for r in tenant_rules(tx)}
            for file in files:
                text = _text(file)
                try:
                    rule_id = save_rule(scope, tx, text, check, comment)
                except InvalidInput as wrong:
                    raise type(wrong)(f"{file}: {wrong}; nothing was saved") from wrong
                what = "added" if rule_id not in before else "changed"
                change = "unchanged" if before.get(rule_id) == text else what
                told.append({"rule_id": rule_id, "change": change, "file": str(file)})
            if dry_run:
                raise Rollback
    for row in told if json else ():
        emit(row)
    if not json:
        table(told, ["change", "rule_id", "file"])
    counts = [
        f"{sum(t['change'] == c for t in told)} {c}" for c in ("added", "changed", "unchanged")
    ]
    say(("would be: " if dry_run else "") + ", ".join(counts))
    return DONE


def _files(rules: tuple[Path, ...]) -> list[Path]:
    found = []
    for given in rules:
        if given.is_dir():
            found += sorted(f for f in given.rglob("*") if f.suffix.lower() in _ENDINGS)
        else:
            found.append(given)
    if not found or len(found) > _MOST_FILES:
        raise InvalidInput(f"name 1 to {_MOST_FILES} files of rules; these are {len(found)}")
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidInput(f"{file} is not UTF-8 text") from None
    except OSError as wrong:
        raise InvalidInput(f"{file} cannot be read: {wrong.strerror or wrong}") from None


def rule_versions_(
    rule_id: str, *, tenant: str, data: Path | None = None, json: bool = False
) -> int:
    """List every text that a rule of the tenant's own had.

    Parameters
    ----------
    rule_id
        id of the rule.
    tenant
        whose rule.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object a version, with its text.
    """
    with opened(settings_for(data)) as house:
        known_tenant(house, tenant)
        with house.database.app(_scope(tenant)) as tx:
            rows = rule_versions(tx, rule_id)
    if not rows:
        raise InvalidInput(f"there is no rule '{rule_id[:80]}' of this tenant's own")
    for row in rows if json else ():
        emit(row | {"created_at": str(row["created_at"])})
    if not json:
        shown = [row | {"created_at": str(row["created_at"])[:19]} for row in rows]
        table(shown, ["version", "created_at", "created_by", "title", "comment"])
    return DONE


def rule_rollback(
    rule_id: str, *, to: int, tenant: str, data: Path | None = None, json: bool = False
) -> int:
    """Let an earlier text of a rule run again, as its newest version.

    Parameters
    ----------
    rule_id
        id of the rule.
    to
        number of the version.
    tenant
        whose rule.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object.
    """
    settings = settings_for(data)
    with opened(settings) as house:
        known_tenant(house, tenant)
        scope = _scope(tenant)
        with house.database.app(scope) as tx:
            roll_back(scope, tx, rule_id, to, checker(settings))
    if json:
        emit({"rule_id": rule_id, "version": to})
    else:
        say(f"rule {rule_id} runs as in version {to}")
    return DONE


def _scope(tenant: str) -> Scope:
    return Scope(tenant, Actor("system", "inopsio"), frozenset({Role.ADMIN, Role.ANALYST}))


def register(app: cyclopts.App) -> None:
    """Add the group `rule`."""
    rule = cyclopts.App(name="rule", help="Check, try, back-test, deploy and roll back rules.")
    rule.command(rule_lint, name="lint")
    rule.command(rule_test, name="test")
    rule.command(rule_backtest, name="backtest")
    rule.command(rule_cost, name="cost")
    rule.command(rule_deploy, name="deploy")
    rule.command(rule_versions_, name="versions")
    rule.command(rule_rollback, name="rollback")
    app.command(rule)
