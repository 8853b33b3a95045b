"""`inopsio replay`: run what the lake holds through today's detectors."""

from datetime import UTC, datetime
from pathlib import Path

import cyclopts

from deploy.house import known_tenant, opened
from deploy.output import DONE, emit, say
from deploy.running import settings_for
from pipelines.replay import replay
from storage.errors import InvalidInput


def moment_us(text: str, option: str) -> int:
    """Read a moment: ISO 8601 (UTC if it says no zone), as UTC µs.

    >>> moment_us("2026-01-02T03:04:05Z", "--from")
    1767323045000000
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"{option} {text!r} is not a moment; write 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return round(at.timestamp() * 1_000_000)


def replay_(
    *,
    from_: str,
    to: str,
    tenant: str | None = None,
    rules: list[Path] | None = None,
    data: Path | None = None,
    json: bool = False,
) -> int:
    """Run the events of a span through today's detectors; what stands already is not doubled.

    Parameters
    ----------
    from_
        first moment, ISO 8601.
    to
        moment after the last, ISO 8601.
    tenant
        only this tenant; all if not given.
    rules
        further Sigma rule folders for this replay.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object.
    """
    since_us, until_us = moment_us(from_, "--from"), moment_us(to, "--to")
    if since_us >= until_us:
        raise InvalidInput(f"--from {from_} is not before --to {to}")
    settings = settings_for(data)
    with opened(settings) as house:
        if tenant is not None:
            known_tenant(house, tenant)
        told = replay(
            settings,
            house.database,
            house.lake,
            since_us,
            until_us,
            tenant=tenant,
            rules=tuple(rules or ()),
        )
    if json:
        emit({"events": told.events, "findings": told.findings, "new": told.new})
    else:
        say(f"{told.events} events read, {told.findings} findings, {told.new} of them new")
    return DONE


def register(app: cyclopts.App) -> None:
    """Add `replay`."""
    app.command(replay_, name="replay")
