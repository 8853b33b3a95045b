"""Ask for back-tests and read them; read and roll back the versions of a rule of one's own."""

from datetime import datetime
from typing import Any, Final

from api.rule_check import checker
from dashboards.read.newest import end_of
from storage.backtests import get_backtest, request_backtest
from storage.database import Database
from storage.errors import InvalidRule
from storage.rules import roll_back, rule_versions, tenant_rules
from storage.settings import Settings
from storage.tenant import Scope

Row = dict[str, Any]
DAYS: Final = 30


def ask(database: Database, settings: Settings, scope: Scope, text: str, now: datetime) -> str:
    """Put a text in line to be run over the last thirty days; InvalidRule if it cannot run."""
    with database.app(scope) as tx:
        others = {str(r["rule_id"]): str(r["text"]) for r in tenant_rules(tx)}
        try:
            title = checker(settings)(text, others)
            reason = title.reason
            name = title.title
        except InvalidRule as wrong:
            # A rule of the house is run as it is: its id is taken, and that is no reason here.
            if "is a rule of the house" not in str(wrong):
                raise
            reason, name = "", "A rule of the house"
        if reason:
            raise InvalidRule(f"the rule cannot run: {reason}")
        return request_backtest(scope, tx, text, name, DAYS, end_of(tx, now))


def read(database: Database, scope: Scope, backtest_id: str) -> Row:
    """Give one; NotFound if it is none of the scope's."""
    with database.app(scope) as tx:
        return get_backtest(scope, tx, backtest_id)


def versions(database: Database, scope: Scope, rule_id: str) -> list[Row]:
    """Give the texts that a rule of one's own had, newest first."""
    scope.require("findings:read")
    with database.app(scope) as tx:
        return rule_versions(tx, rule_id)


def rolled_back(
    database: Database, settings: Settings, scope: Scope, rule_id: str, version: int
) -> None:
    """Let an earlier text run again."""
    with database.app(scope) as tx:
        roll_back(scope, tx, rule_id, version, checker(settings))
