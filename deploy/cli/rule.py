"""`inopsio rule`: look after rules."""

from pathlib import Path

import cyclopts

from deploy.output import DONE, PARTLY, emit, say, table
from detectors.sigma import RuleReport, lint
from storage.errors import InvalidInput


def rule_lint(*folders: Path, json: bool = False) -> int:
    """Say of every rule whether it can run, and why not; 3 if one cannot.

    Parameters
    ----------
    folders: folders of Sigma rules, or single files; every .yml and .yaml below is looked at.
    json: print one JSON object a rule.
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


def register(app: cyclopts.App) -> None:
    """Add `rule lint`."""
    rule = cyclopts.App(name="rule", help="Look after rules.")
    rule.command(rule_lint, name="lint")
    app.command(rule)
