"""Judge the host's settings by rules (TOML): what fails, why it matters, how to mend it."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any, Final

from agent import checks
from agent.collect import Event, Look, Notes
from agent.collect._shape import event
from agent.collect.linux._keywords import keywords
from agent.collect.linux._proc import user_name
from agent.collect.linux._states import States, changes
from agent.errors import AgentError

NAME: Final = "configuration"
EVERY_S: Final = 600.0
OWN_RULES: Final = Path("/etc/inopsio-agent/checks")
"""Rules of the house's own, read after those that come with the agent; the same id replaces."""
_INCLUDING: Final = frozenset({"sshd_config", "ssh_config"})
_LOG: Final = 1
_PASSED, _FAILED = 1, 2
Rule = dict[str, Any]


def collect(notes: Notes, now_us: int) -> Look:
    """Give an event for each rule whose verdict is new or changed."""
    found = rules()
    verdicts: States = {}
    for name, rule in found.items():
        verdict = judge(rule)
        if verdict is not None:
            verdicts[name] = verdict
    events = [
        _event(found[name], was, now, now_us)
        for name, was, now in changes(notes.get("verdicts", {}), verdicts)
        if now is not None
    ]
    return Look(events, {"verdicts": verdicts})


def rules(own: Path = OWN_RULES) -> dict[str, Rule]:
    """Read all rules; AgentError names a file that cannot be read or a rule that lacks a word."""
    found: dict[str, Rule] = {}
    texts = [("linux.toml", Path(checks.__path__[0], "linux.toml").read_text("utf-8"))]
    texts += [(str(path), path.read_text("utf-8")) for path in sorted(own.glob("*.toml"))]
    for name, text in texts:
        try:
            for rule in tomllib.loads(text)["rule"]:
                for word in ("id", "title", "why", "fix", "severity"):
                    rule[word]
                found[rule["id"]] = rule
        except (ValueError, KeyError) as wrong:
            raise AgentError(f"{name}: {wrong} is missing or wrong in a rule") from wrong
    return found


def judge(rule: Rule) -> str | None:
    """Give `pass`, or `fail: what was found`, or None where the rule does not apply."""
    if "sysctl" in rule:
        return _want(rule, _read(Path("/proc/sys", rule["sysctl"])))
    if "absent" in rule:
        return f"fail: {rule['absent']} exists" if Path(rule["absent"]).exists() else "pass"
    if "mount" in rule:
        return _mounted(rule)
    if "setting" in rule:
        return _setting(rule)
    return _rights(rule)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _want(rule: Rule, value: str | None) -> str | None:
    if value is None:
        return None
    if re.fullmatch(rule["want"], value, re.IGNORECASE):
        return "pass"
    return f"fail: it is {value[:100]!r}"


def _setting(rule: Rule) -> str | None:
    main = Path(rule["file"])
    if not main.exists():
        return None
    name = rule["setting"].lower()
    # ssh's own files say themselves what is read with them (Include), others have a folder beside.
    beside = () if main.name in _INCLUDING else sorted(Path(f"{main}.d").glob("*.conf"))
    for path in (*beside, main):
        for word, value in keywords(path):
            if word == name:
                return _want(rule, value)
    return _want(rule, rule["default"])


def _rights(rule: Rule) -> str | None:
    try:
        told = os.stat(rule["file"])  # noqa: PTH116  as the rule names it
    except OSError:
        return None
    mode = told.st_mode & 0o7777
    if mode & ~int(rule["mode_at_most"], 8):
        return f"fail: its rights are {mode:04o}"
    owner = user_name(told.st_uid)
    if owner != rule.get("owner", owner):
        return f"fail: it belongs to {owner}"
    return "pass"


def _mounted(rule: Rule) -> str | None:
    # The agent's own unit may see a private /tmp: what counts is what the first process sees.
    table = _read(Path("/proc/1/mounts")) or _read(Path("/proc/self/mounts")) or ""
    for line in table.splitlines():
        _, place, _, options, *_ = line.split(" ")
        if place == rule["mount"]:
            ok = rule["option"] in options.split(",")
            return "pass" if ok else f"fail: it is mounted {options}"
    return None


def _event(rule: Rule, was: str | None, now: str, now_us: int) -> Event:
    passed = now == "pass"
    more: Event = {
        "message": f"{rule['title']}: {now}",
        "status_id": _PASSED if passed else _FAILED,
        "status_detail": None if passed else now.removeprefix("fail: "),
        "check": {"uid": rule["id"], "title": rule["title"], "why": rule["why"]},
    }
    if not passed:
        more["check"]["fix"] = rule["fix"]
    if was is not None:
        more["check"]["before"] = was
    seen = event(5002, _LOG, now_us, more)
    seen["severity_id"] = 1 if passed else int(rule["severity"])
    seen["metadata"]["event_code"] = "check"
    return seen
