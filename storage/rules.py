"""Keep a tenant's own rules: checked texts, who wrote them, whether they run; every act audited.

Whether a text is a rule that can run is judged by a function that the caller hands in (`Check`):
storage knows no detectors. `api.rule_check.checker(settings)` gives it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

from storage.audit import write_audit
from storage.database.queries import execute, select
from storage.errors import InvalidInput, InvalidRule, NotFound
from storage.tenant import Scope

MOST_RULES: Final = 500
"""Rules of its own that a tenant may keep."""
LONGEST_TEXT: Final = 65_536
MOST_VERSIONS: Final = 200
"""Texts kept of one rule, the newest."""
GRANT: Final = "rules:write"


@dataclass(frozen=True, slots=True)
class CheckedRule:
    """What a check says of a text: the rule's id and title, and why it cannot run ('' = it can)."""

    rule_id: str
    title: str
    reason: str = ""


Check = Callable[[str, Mapping[str, str]], CheckedRule]
"""Judge a rule text beside the tenant's other texts (rule id -> text)."""


def save_rule(
    scope: Scope, tx: Connection[TupleRow], text: str, check: Check, comment: str = ""
) -> str:
    """Keep a rule text, or a new text of a rule that is there; give its id.

    Every text is kept as a version, with `comment`.
    Needs `rules:write`. `tx`: a transaction in the scope. InvalidRule says why a text cannot run;
    InvalidInput if it is too long or there are 500 already. The flows run it within about 10 s.
    """
    scope.require(GRANT)
    if len(text) > LONGEST_TEXT or "\x00" in text:
        raise InvalidInput(f"a rule's text is {LONGEST_TEXT} characters at most, without NUL")
    others = {str(r["rule_id"]): str(r["text"]) for r in select(tx, "tenant_rules_list")}
    checked = check(text, others)
    if checked.reason:
        raise InvalidRule(f"the rule cannot run: {checked.reason}")
    if checked.rule_id not in others and len(others) >= MOST_RULES:
        raise InvalidInput(f"there are {MOST_RULES} rules already; delete one first")
    execute(
        tx,
        "tenant_rule_put",
        rule_id=checked.rule_id,
        title=checked.title[:300],
        text=text,
        created_by=scope.actor.name,
    )
    made = select(
        tx,
        "rule_version_add",
        rule_id=checked.rule_id,
        title=checked.title[:300],
        text=text,
        comment=comment[:300],
        created_by=scope.actor.name,
    )
    execute(tx, "rule_versions_trim", rule_id=checked.rule_id, most=MOST_VERSIONS)
    word = "rule.change" if checked.rule_id in others else "rule.create"
    detail = {"title": checked.title[:200], **({"version": made[0]["version"]} if made else {})}
    write_audit(tx, scope, word, checked.rule_id, detail=detail)
    return checked.rule_id


def rule_versions(tx: Connection[TupleRow], rule_id: str) -> list[dict[str, object]]:
    """Give every text the scope's rule had, newest first: version, title, text, comment,
    created_by, created_at.
    """
    return select(tx, "rule_versions", rule_id=rule_id)


def roll_back(
    scope: Scope, tx: Connection[TupleRow], rule_id: str, version: int, check: Check
) -> str:
    """Let an earlier text of a rule run again, as a version of its own; give the rule's id.

    Needs `rules:write`. NotFound if there is no such version; InvalidRule if it cannot run (any
    more).
    """
    scope.require(GRANT)
    found = select(tx, "rule_version", rule_id=rule_id, version=version)
    if not found:
        raise NotFound(f"rule '{rule_id[:80]}' of your own has no version {version}")
    return save_rule(scope, tx, str(found[0]["text"]), check, f"rolled back to version {version}")


def enable_rule(scope: Scope, tx: Connection[TupleRow], rule_id: str, enabled: bool) -> None:
    """Let a rule run, or rest; NotFound if the tenant has none of that id."""
    scope.require(GRANT)
    if not execute(tx, "tenant_rule_enable", rule_id=rule_id, enabled=enabled):
        raise NotFound(f"there is no rule '{rule_id[:80]}' of your own")
    write_audit(tx, scope, "rule.enable" if enabled else "rule.disable", rule_id)


def delete_rule(scope: Scope, tx: Connection[TupleRow], rule_id: str) -> None:
    """Delete a rule; what it claimed stays. NotFound if the tenant has none of that id."""
    scope.require(GRANT)
    if not execute(tx, "tenant_rule_delete", rule_id=rule_id):
        raise NotFound(f"there is no rule '{rule_id[:80]}' of your own")
    write_audit(tx, scope, "rule.delete", rule_id)


def tenant_rules(tx: Connection[TupleRow]) -> list[dict[str, object]]:
    """Give the scope's own rules: rule_id, title, text, created_by, created_at, changed_at,
    enabled; by id.
    """
    return select(tx, "tenant_rules_list")


def capped_claims(tx: Connection[TupleRow]) -> dict[str, int]:
    """Give rule id -> the scope's claims of 30 days that were beyond the bound of what is kept."""
    return {str(r["rule_id"]): int(str(r["capped"])) for r in select(tx, "pages_rules_capped")}


def rule_marks(tx: Connection[TupleRow]) -> dict[str, str]:
    """Give tenant -> a mark that changes with its enabled rules; as the writer."""
    return {str(r["tenant_id"]): str(r["mark"]) for r in select(tx, "tenant_rules_marks")}


def rule_texts(tx: Connection[TupleRow], tenant_id: str) -> dict[str, str]:
    """Give rule id -> text of a tenant's enabled rules; as the writer."""
    rows = select(tx, "tenant_rules_texts", of_tenant=tenant_id)
    return {str(r["rule_id"]): str(r["text"]) for r in rows}
