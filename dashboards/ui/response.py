"""Show policies and actions of agents: states, results, the form that asks."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import dash_mantine_components as dmc
from dash import dcc, html

from api.action_kinds import UNDOABLE
from api.agent_actions import MAYBE_DONE
from dashboards.read.response import WORDS
from dashboards.ui.controls import act_button
from dashboards.ui.icons import icon
from dashboards.ui.marks import moment, short
from dashboards.ui.panels import pill, size_of, table
from dashboards.ui.states import Part, empty
from storage.plain import one_line

Row = Mapping[str, Any]
_STATES: Final = {
    "waits": ("Waits for a second person", "medium", "clock"),
    "ready": ("Waits for the agent", "plain", "clock"),
    "sent": ("Sent", "plain", "clock"),
    "done": ("Done", "good", "check"),
    "failed": ("Failed", "high", "alert"),
    "refused": ("Refused by the agent", "medium", "alert"),
    "denied": ("Denied", "plain", "close"),
    "expired": ("Too late", "plain", "clock"),
}
_POLICY: Final = {
    "applied": ("Applied", "good", "check"),
    "behind": ("Behind", "medium", "clock"),
    "refused": ("Refused", "high", "alert"),
}
_MOST_ROWS: Final = 200
_MOST_COLUMNS: Final = 40


def policy_badge(agent: Row, wanted: int) -> Part:
    """Say whether the agent runs the policy that it should: applied, behind or refused and why."""
    if not wanted:
        return html.Span("none set", className="muted")
    state = "applied" if agent["policy_version"] == wanted else agent["policy_state"]
    state = state if state in _POLICY and agent["beat_at"] else "behind"
    if state == "applied" and agent["policy_version"] != wanted:
        state = "behind"
    words, look, mark = _POLICY[state]
    badge = pill(f"{words} {wanted}", look, mark)
    why = one_line(agent["policy_reason"])
    said = short(why, 120) if state != "applied" else ""
    if state == "behind" and agent["policy_version"] and not why:
        said = f"runs {agent['policy_version']}"
    return html.Div([badge, html.Div(said, className="muted small") if said else None])


def ask_form(kinds: Sequence[str], incident: str = "") -> Part:
    """Offer the kinds of actions that the agent takes."""
    plain = {"transitionProps": {"duration": 0}}
    return html.Div(
        [
            dmc.Select(
                id="agent-ask-kind",
                label="What to do",
                data=[{"value": k, "label": w} for k, w in WORDS.items() if k in kinds],
                value="query" if "query" in kinds else None,
                comboboxProps=plain,
            ),
            dmc.TextInput(id="agent-ask-what", label="On what", placeholder="processes"),
            html.P(id="agent-ask-hint", className="muted small"),
            dmc.NumberInput(
                id="agent-ask-minutes",
                label="For how many minutes, at most",
                value=60,
                min=1,
                max=1440,
                hideControls=True,
            ),
            dmc.TextInput(
                id="agent-ask-note", label="Why", placeholder="beacon to a known address"
            ),
            dmc.Checkbox(id="agent-ask-dry", label="Dry run: say what would be done", checked=True),
            dcc.Store(id="agent-ask-incident", data=incident),
            html.Div(act_button("Ask", "agent-ask", "plus", second=False), className="actions"),
            html.Div(id="agent-ask-said", **{"aria-live": "polite"}),
        ],
        className="stack",
    )


def actions_table(found: Sequence[Row], now: datetime, who: str, may: frozenset[str]) -> Part:
    """Show actions, the newest first, each with what can be done about it now."""
    if not found:
        return empty("Nothing was asked yet", "What is asked of this host is listed here.")
    rows = [
        (
            moment(a["asked_at"], now),
            html.Div([action_words(a), html.Div(_about(a), className="muted small break-words")]),
            html.Div([action_state(a, now), _why(a)]),
            html.Div([html.Div(name_of(a["asked_by"])), _approver(a)], className="small names"),
            html.Div(_acts(a, now, who, may), className="actions"),
        )
        for a in found[:50]
    ]
    return table("Actions on this host", ("Asked", "What", "State", "Who", "Act"), rows)


def action_words(action: Row) -> str:
    """Name what was asked."""
    words = WORDS.get(str(action["kind"]), str(action["kind"]))
    return f"{words} (dry run)" if action["is_dry"] else words


def _about(action: Row) -> str:
    told = {k: v for k, v in action["arguments"].items() if k != "tree"}
    about = one_line(", ".join(f"{k} {v}" for k, v in told.items()))
    return f"{about}: {action['note']}" if about else str(action["note"])


def action_state(action: Row, now: datetime) -> Part:
    """Say how an action stands now: also whether it is in force, over or undone."""
    if action["undone_at"] is not None:
        return pill("Done, and undone", "plain", "undo")
    until = action["in_force_until"]
    if until is not None:
        return (
            pill(f"In force to {until:%d %b %H:%M} UTC", "medium", "alert")
            if until > now
            else pill("Over", "plain", "check")
        )
    return pill(*_STATES.get(str(action["state"]), (str(action["state"]), "plain", "")))


def _why(action: Row) -> Part:
    why = str((action["result"] or {}).get("why", ""))
    return html.Div(short(one_line(why), 200), className="muted small break-words") if why else None


def _approver(action: Row) -> Part:
    if not action["approved_by"]:
        return None
    word = "denied" if action["state"] == "denied" else "approved"
    return html.Div(f"{word} by {name_of(action['approved_by'])}", className="muted")


def name_of(who: str) -> str:
    """Name who acts for people: a person by the name alone, a program as what it is.

    >>> name_of("user:ann"), name_of("token:soar"), name_of("system:inopsio agent act")
    ('ann', 'soar (token)', 'inopsio agent act (shell)')
    """
    kind, _, name = one_line(who).partition(":")
    words = {"user": "", "token": " (token)", "system": " (shell)"}
    return f"{name}{words[kind]}" if kind in words else one_line(who)


def _acts(action: Row, now: datetime, who: str, may: frozenset[str]) -> list[Part]:
    state, offered = action["state"], []
    if (
        state == "waits"
        and "approve" in may
        and who not in {action["asked_by"], action["asked_behind"]}
    ):
        offered.append(("approve", "Approve"))
    if state in {"waits", "ready"} and "ask" in may:
        offered.append(("deny", "Deny"))
    if _may_be_in_force(action, now) and "ask" in may:
        offered.append(("undo", "Undo"))
    if action["result"]:
        offered.append(("show", "Result"))
    return [
        html.Button(
            words,
            id={"type": f"agent-{act}", "action": action["action_id"]},
            className="act second",
            type="button",
            **{"aria-label": f"{words}: {action_words(action)}"},
        )
        for act, words in offered
    ]


def _may_be_in_force(action: Row, now: datetime) -> bool:
    """Answer whether there is something to take back: also of what failed half-way."""
    if action["undone_at"] is not None or action["is_dry"] or action["kind"] not in UNDOABLE:
        return False
    if action["state"] == "done":
        return action["in_force_until"] is not None and bool(action["in_force_until"] > now)
    return action["state"] in MAYBE_DONE and action["sent_at"] is not None


def result_of(action: Row, may_take: bool) -> Part:
    """Show what came of an action: rows of a query, evidence, or the words of the agent."""
    told = dict(action["result"] or {})
    if isinstance(told.get("rows"), list):
        return _rows(told["rows"], bool(told.get("is_cut")))
    is_whole = action["state"] == "done" and not action["is_dry"]
    if isinstance(told.get("evidence"), dict) and is_whole:
        found = told["evidence"]
        source = one_line(found.get("source", ""))
        facts = f"{source}: {size_of(int(found['size_bytes']))}, SHA-256 {found['sha256']}"
        href = f"/v1/evidence/{action['action_id']}/content"
        link = html.A([icon("down"), "Take it"], href=href, className="button second")
        return html.Div(
            [html.P(facts, className="break-words"), link if may_take else None], className="stack"
        )
    written = json.dumps(told, indent=1, ensure_ascii=False)
    text = "\n".join(one_line(line) for line in written.split("\n"))
    label = {"aria-label": "Result"}
    return html.Pre(text[:20_000], className="command", tabIndex=0, role="region", **label)


def _rows(rows: Sequence[object], is_cut: bool) -> Part:
    if not rows:
        return empty("No rows", "The host has nothing in this table.")
    objects = [row if isinstance(row, dict) else {"value": row} for row in rows[:_MOST_ROWS]]
    names = list(dict.fromkeys(str(name) for row in objects for name in row))[:_MOST_COLUMNS]
    shown = [[short(one_line(row.get(n, "")), 200) for n in names] for row in objects]
    heads = [one_line(name) for name in names]
    more = is_cut or len(rows) > _MOST_ROWS
    note = f"The first {len(shown)} rows; the API has more." if more else f"{len(shown)} rows."
    return html.Div([table("Rows of the answer", heads, shown), html.P(note, className="muted")])
