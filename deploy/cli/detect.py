"""`inopsio detect`: what do the rules say of these files? Needs no server."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import cyclopts

from deploy.detect import RuleHit, detect_files
from deploy.output import DONE, PARTLY, emit, say, table
from detectors.sigma import RuleSet, compile_rules
from storage.errors import InvalidInput

HOUSE_RULES: Final = Path(__file__).resolve().parents[2] / "detectors" / "rules"
_GRAVEST: Final = ("critical", "high", "medium", "low", "informational")


def rule_cache() -> Path:
    """Give the file in which compiled rules are kept for this user."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "inopsio" / "sigma-rules.json"


def detect(
    *paths: Path,
    rules: Annotated[list[Path], cyclopts.Parameter(negative=())] | None = None,
    json: bool = False,
) -> int:
    """Run Sigma rules over files and folders of logs; formats are found by content.

    Ends with 0 = all was read, 3 = some records or files were refused, each named.

    Parameters
    ----------
    paths
        files, folders, archives (zip, gz, zst, tar); a zip counts as one file.
    rules
        a folder of Sigma rules, may be given several times (default: the house's own).
    json
        print one JSON object for each (file, rule) that hits.
    """
    if not paths:
        raise InvalidInput("name at least one file or folder")
    compiled = compile_rules(rules or [HOUSE_RULES], cache=rule_cache())
    _warn(compiled)
    refused: list[str] = []

    def refuse(file: str, reason: str) -> None:
        refused.append(file)
        say(f"{file}: {reason}")

    found = detect_files(paths, compiled, refuse)
    if json:
        for hit in found:
            emit(hit.row())
    else:
        _show(found)
    return PARTLY if refused else DONE


def _warn(rules: RuleSet) -> None:
    idle = sum(not r.executable for r in rules.reports)
    if idle:
        say(f"{idle} of {len(rules.reports)} rules and files cannot run; see: inopsio rule lint")


def _show(found: Iterable[RuleHit]) -> None:
    hits = sorted(found, key=lambda h: (_GRAVEST.index(h.level), h.file, h.rule))
    if hits:
        table([h.row() for h in hits], ["level", "count", "rule", "file"])
    events = sum(h.count for h in hits)
    say(f"{len(hits)} pairs of file and rule, {events} hits on events")


def register(app: cyclopts.App) -> None:
    """Add `detect`."""
    app.command(detect)
