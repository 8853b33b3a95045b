"""Run what the house's policy says: checked, never older than before, within this host's bounds.

`policy.offered` is what came, `policy.json` what runs: both signed orders in the data folder. The
signature is checked in a process of its own, so that the library is not kept in memory for it.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from agent.errors import AgentError, BadOrder
from agent.identity import write_private
from agent.questions import MOST, BadQuestion, questions
from agent.settings import Settings

OFFERED, RUNS = "policy.offered", "policy.json"
CHECK_S: Final = 30
LARGEST: Final = 256 << 10
KINDS: Final = (
    "isolate", "kill", "suspend", "collect", "maps", "block_ip", "block_hash", "query", "undo",
)  # fmt: skip
BEAT_S: Final = 15
REFUSED: Final = 3
"""Exit code of `check-order` for what is not to be obeyed."""
_SAYS: Final = "inopsio-agent: "
_WORDS: Final = frozenset(
    {
        "off",
        "watch_paths",
        "every_s",
        "spool_mb",
        "cpu_percent",
        "beat_s",
        "response",
        "four_eyes",
        "queries",
    }
)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the house wants of this agent; `version` 0: it said nothing."""

    version: int = 0
    off: tuple[str, ...] = ()
    watch_paths: tuple[str, ...] = ()
    every_s: Mapping[str, float] | None = None
    spool_mb: int | None = None
    cpu_percent: int | None = None
    beat_s: int = BEAT_S
    response: frozenset[str] = frozenset(KINDS)
    queries: tuple[Mapping[str, Any], ...] = ()


class BadPolicy(BadOrder):
    """The policy is the house's, but not one that this agent runs."""


def read(body: Mapping[str, Any]) -> Policy:
    """Read a policy out of a checked order; BadPolicy names the field that is out of its bounds.

    The house checks too. This agent does not lean on it: its bounds hold for every house.
    """
    said = body.get("policy")
    version = body.get("version")
    if not isinstance(said, dict) or not _is_whole(version, 1, 2**62):
        raise BadPolicy("it has no version or no content")
    unknown = sorted(set(said) - _WORDS)
    if unknown:
        raise BadPolicy(f"'{str(unknown[0])[:40]}' is unknown to this agent")
    paths = _texts(said, "watch_paths", 200, 300)
    if any(not p.startswith("/") or ".." in p.split("/") or not p.isprintable() for p in paths):
        raise BadPolicy("watch_paths: each is an absolute path without '..'")
    every = said.get("every_s", {})
    if not isinstance(every, dict) or len(every) > 40:
        raise BadPolicy("every_s: seconds by collector")
    for name, seconds in every.items():
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise BadPolicy("every_s: seconds by collector")
        if len(name) > 40 or not 1 <= seconds <= 86_400:
            raise BadPolicy(f"every_s.{name[:40]}: 1 to 86,400 seconds")
    return Policy(
        version=int(str(version)),
        off=_texts(said, "off", 40, 40),
        watch_paths=paths,
        every_s={str(k): float(v) for k, v in every.items()},
        spool_mb=_bounded(said, "spool_mb", 16, 65_536),
        cpu_percent=_bounded(said, "cpu_percent", 1, 100),
        beat_s=_bounded(said, "beat_s", 5, 300) or BEAT_S,
        response=frozenset(_texts(said, "response", 20, 40)) & set(KINDS),
        queries=_queries(said),
    )


def _queries(said: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Give what is asked on a schedule as it was said, once it was seen to be within bounds."""
    found = said.get("queries", [])
    try:
        questions(found)
    except BadQuestion as wrong:
        raise BadPolicy(str(wrong)) from None
    return tuple(found)


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _bounded(said: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    value = said.get(name)
    if value is not None and not _is_whole(value, least, most):
        raise BadPolicy(f"{name}: a whole number from {least} to {most}")
    return value


def _texts(said: Mapping[str, Any], name: str, most: int, longest: int) -> tuple[str, ...]:
    value = said.get(name, [])
    if not isinstance(value, list) or len(value) > most:
        raise BadPolicy(f"{name}: a list of up to {most}")
    if any(not isinstance(v, str) or not 0 < len(v) <= longest for v in value):
        raise BadPolicy(f"{name}: texts of up to {longest} characters")
    return tuple(value)


def merged(said: Settings, policy: Policy) -> Settings:
    """Give the settings to run by: the host's own bounds, and within them what the policy says.

    A collector that either turns off is off; the smaller bound counts; the policy's paths, rates
    and queries come before the host's. A host that answers no questions answers none on a schedule.
    """
    if not policy.version:
        return said
    collect = {name: dict(table) for name, table in said.rest.get("collect", {}).items()}
    if policy.watch_paths:
        collect.setdefault("file_integrity", {})["paths"] = list(policy.watch_paths)
    for name, seconds in (policy.every_s or {}).items():
        collect.setdefault(name, {})["every_s"] = seconds
    if policy.queries and "query" in said.response:
        own = list(collect.setdefault("queries", {}).get("queries", []))
        named = {one["name"] for one in policy.queries}
        kept = [one for one in own if not isinstance(one, dict) or one.get("name") not in named]
        collect["queries"]["queries"] = [*policy.queries, *kept][:MOST]
    off = sorted({*said.rest.get("off", ()), *policy.off})
    return replace(
        said,
        spool_mb=min(said.spool_mb, policy.spool_mb or said.spool_mb),
        cpu_percent=min(said.cpu_percent, policy.cpu_percent or said.cpu_percent),
        rest={**said.rest, "collect": collect, "off": off},
    )


def allowed(said: Settings, policy: Policy) -> frozenset[str]:
    """Give the kinds of actions that this host and its policy both let through."""
    return frozenset(said.response) & policy.response


def checked(folder: Path, text: str, about: str = "policy") -> dict[str, Any]:
    """Have a process of its own check what is signed; AgentError says what is wrong."""
    # -P: what lies in the folder that this runs in is no code of ours.
    own = ["-P", "-m", "agent"] if not getattr(sys, "frozen", False) else []
    words = [sys.executable, *own]
    words += ["--data", str(folder), "check-order", about]
    given = text.encode("utf-8", "replace")
    try:
        done = subprocess.run(words, input=given, check=False, capture_output=True, timeout=CHECK_S)
    except (OSError, subprocess.TimeoutExpired) as wrong:
        raise AgentError(f"it could not be checked: {wrong}") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        # Only what the check itself said is its word: a process that died has judged nothing.
        if done.returncode == REFUSED and said.startswith(_SAYS):
            raise BadPolicy(said.removeprefix(_SAYS)[-300:])
        raise AgentError(f"it could not be checked: {said[-200:]} ({done.returncode})")
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise AgentError("it could not be checked: the check was cut off") from None
    return found


def text_of(path: Path) -> str:
    """Give what a file says, no more of it than an order may have; '' if it is not there."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(LARGEST + 1)
    except OSError:
        return ""


class Follower:
    """Take the policies that come: the newest good one runs; why one does not is kept to tell.

    `takes`: whether this process takes what is offered; the others follow what runs.
    """

    def __init__(self, folder: Path, *, takes: bool = True) -> None:
        """Begin with what ran before, if it is still good."""
        self._folder, self._takes = folder, takes
        self._seen: tuple[int, int] | None = None
        self._has_begun = not takes
        self.refused, self.reason = 0, ""
        self.policy = Policy()
        self._begin()

    @property
    def is_known(self) -> bool:
        """Answer whether the policy is: False while one lies there that could not be read."""
        return bool(self.policy.version) or not (self._folder / RUNS).exists()

    def _begin(self) -> None:
        """Read what ran before; what could not be checked is looked at again by the next look."""
        if self._has_begun:
            return
        try:
            if text := text_of(self._folder / RUNS):
                self.policy = read(checked(self._folder, text))
            self._has_begun = True
        except BadPolicy as wrong:
            self._has_begun = True
            self.reason = f"what ran before is not good any more: {wrong}"[:300]
        except AgentError as wrong:
            self.reason = f"what ran before was not read: {wrong}"[:300]

    def look(self) -> bool:
        """Look whether something came; True if another policy runs now."""
        self._begin()
        path = self._folder / (OFFERED if self._takes else RUNS)
        try:
            told = path.stat()
        except OSError:
            return False
        mark = told.st_mtime_ns, told.st_ino
        if mark == self._seen:
            return False
        text, version = text_of(path), 0
        if self._takes and self.policy.version and text == text_of(self._folder / RUNS):
            self._seen = mark  # it runs since before this process began
            return False
        try:
            body = checked(self._folder, text)
            version = body["version"] if _is_whole(body.get("version"), 1, 2**62) else 0
            found = read(body)
            if found.version <= self.policy.version:
                raise BadPolicy(f"version {found.version} is not above {self.policy.version}")
        except AgentError as wrong:
            # A check that could not be made says nothing: it is made again.
            self._seen = mark if isinstance(wrong, BadPolicy) else None
            self.refused, self.reason = version, str(wrong)[:300]
            return False
        self._seen = mark
        if self._takes:
            write_private(self._folder / RUNS, text)
        self.policy, self.refused, self.reason = found, 0, ""
        return True
