"""Read the agent's settings: one TOML file, what the command line says comes before it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agent.errors import AgentError
from agent.release import RINGS
from agent.system import IS_POSIX, windows_home

CONFIG: Final = Path("/etc/inopsio-agent/agent.toml")
"""On Linux; elsewhere see `config_place`."""
AUTH_LOGS: Final = (Path("/var/log/auth.log"), Path("/var/log/secure"))
_WORDS: Final = frozenset(
    {
        *("url", "token_file", "ca", "logs", "off", "collect", "spool_mb", "memory_mb"),
        *("cpu_percent", "ring", "update_url", "response"),
    }
)
RESPONSES: Final = (
    "isolate", "kill", "suspend", "collect", "maps", "block_ip", "block_hash", "query",
)  # fmt: skip
"""Kinds of actions that the house may ask for."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the file says. `collect`: options of each collector; `off`: collectors not to run.

    `update_url`: folder of releases, https; of an enrolled host's server if not said.
    `response`: what this host lets the house do; none with `response = false`.
    """

    url: str = ""
    token_file: Path | None = None
    ca: Path | None = None
    logs: tuple[tuple[Path, str], ...] = ()
    spool_mb: int = 1024
    memory_mb: int = 128
    cpu_percent: int = 20
    ring: str = "all"
    update_url: str = ""
    rest: Mapping[str, Any] = field(default_factory=dict)
    response: tuple[str, ...] = RESPONSES


def config_place() -> Path:
    """Give where the settings lie on this system."""
    return CONFIG if IS_POSIX else windows_home() / CONFIG.name


def load(path: Path, is_needed: bool = False) -> Settings:
    """Read the file; without it the defaults. AgentError names what is wrong in it."""
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if is_needed:
            raise AgentError(f"{path} is not there") from None
        said = {}
    except (OSError, ValueError) as wrong:
        raise AgentError(f"{path} cannot be read: {wrong}") from wrong
    unknown = sorted(set(said) - _WORDS)
    if unknown:
        raise AgentError(
            f"{path}: {unknown[0]!r} is unknown; known are {', '.join(sorted(_WORDS))}"
        )
    numbers = {}
    for name in ("spool_mb", "memory_mb", "cpu_percent"):
        if name in said:
            if not isinstance(said[name], int) or said[name] < 1:
                raise AgentError(f"{path}: {name} is a whole number from 1 on")
            numbers[name] = said[name]
    if said.get("ring", "all") not in RINGS:
        raise AgentError(f"{path}: ring is one of {', '.join(RINGS)}")
    return Settings(
        url=str(said.get("url", "")),
        ring=said.get("ring", "all"),
        update_url=str(said.get("update_url", "")),
        token_file=Path(said["token_file"]) if "token_file" in said else None,
        ca=Path(said["ca"]) if "ca" in said else None,
        logs=logs_of(said["logs"]) if "logs" in said else default_logs(),
        rest={"collect": said.get("collect", {}), "off": said.get("off", [])},
        response=_responses(path, said.get("response", True)),
        **numbers,
    )


def _responses(path: Path, said: object) -> tuple[str, ...]:
    if isinstance(said, bool):
        return RESPONSES if said else ()
    if not isinstance(said, list) or set(said) - set(RESPONSES):
        raise AgentError(f"{path}: response is true, false or a list of {', '.join(RESPONSES)}")
    return tuple(said)


def logs_of(texts: list[str]) -> tuple[tuple[Path, str], ...]:
    """Read `PATH` or `PATH=FORMAT` each.

    >>> logs_of(["/var/log/audit/audit.log=auditd", "/var/log/syslog"])[0][1]
    'auditd'
    """
    found = []
    for text in texts:
        path, _, named = text.partition("=")
        found.append((Path(path), named or "syslog"))
    return tuple(found)


def default_logs() -> tuple[tuple[Path, str], ...]:
    """Give the log of sign-ins and rights, where the host has one."""
    return tuple((path, "syslog") for path in AUTH_LOGS if IS_POSIX and path.exists())
