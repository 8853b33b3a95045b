"""`inopsio intel`: bring in what others call hostile, and look for it in the past."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import cyclopts

from deploy.house import House, known_tenant, opened
from deploy.output import DONE, PARTLY, emit, say, table
from deploy.running import settings_for
from pipelines.intel import csv_list, stix
from pipelines.replay import replay
from storage.errors import InvalidInput
from storage.indicators import drop_feed, indicator_feeds, put_indicators, sightings
from storage.settings import Settings
from storage.tenant import Actor, Role, Scope

_DAY_US: Final = 86_400_000_000
_LARGEST: Final = 64 * 1024 * 1024


def intel_import(
    file: Path,
    *,
    tenant: str,
    feed: str = "",
    match: bool = True,
    data: Path | None = None,
    json: bool = False,
) -> int:
    """Bring in a STIX 2.1 bundle or a CSV of indicators, and look for them in 90 days of history.

    Ends with 3 if some records were refused, each named with its reason.

    Parameters
    ----------
    file: a .json with STIX objects, or a .csv with the columns type,value,valid_from.
    tenant: who they count for.
    feed: what the feed is called (default: the file's name).
    match: look for them in the history at once.
    data: data folder (default INOPSIO_DATA_DIR).
    json: print one JSON object.
    """
    name = feed or file.stem
    raw = _bytes(file)
    is_stix = raw.lstrip()[:1] in {b"{", b"["}
    found = (stix if is_stix else csv_list).read(raw, name)
    for bad in found.refused:
        say(f"{file}: record {bad.record}: {bad.reason}")
    settings = settings_for(data)
    with opened(settings) as house:
        known_tenant(house, tenant)
        scope = _scope(tenant)
        with house.database.app(scope) as tx:
            kept = put_indicators(scope, tx, name, found.indicators)
        seen = _match(settings, house, tenant, 90) if match and kept else 0
    if json:
        emit({"feed": name, "kept": kept, "refused": len(found.refused), "findings": seen})
    else:
        say(f"{kept} indicators kept, {len(found.refused)} refused, {seen} new findings in 90 days")
    return PARTLY if found.refused else DONE


def intel_match(
    *, tenant: str, days: int = 90, data: Path | None = None, json: bool = False
) -> int:
    """Look for the tenant's indicators in its history; what is claimed already is not doubled.

    Parameters
    ----------
    tenant: whose history.
    days: how many days back.
    data: data folder (default INOPSIO_DATA_DIR).
    json: print one JSON object.
    """
    if not 1 <= days <= 3650:
        raise InvalidInput("--days is 1 to 3650")
    settings = settings_for(data)
    with opened(settings) as house:
        known_tenant(house, tenant)
        seen = _match(settings, house, tenant, days)
    if json:
        emit({"findings": seen})
    else:
        say(f"{seen} new findings in {days} days")
    return DONE


def _match(settings: Settings, house: House, tenant: str, days: int) -> int:
    until_us = int(datetime.now(UTC).timestamp() * 1_000_000)
    told = replay(
        settings,
        house.database,
        house.lake,
        until_us - days * _DAY_US,
        until_us,
        tenant=tenant,
        only=frozenset({"indicators"}),
    )
    return told.new


def intel_list(*, tenant: str, data: Path | None = None, json: bool = False) -> int:
    """List the tenant's feeds, and the indicators that were seen.

    Parameters
    ----------
    tenant: whose.
    data: data folder (default INOPSIO_DATA_DIR).
    json: print one JSON object a feed, then one a sighting.
    """
    with opened(settings_for(data)) as house:
        known_tenant(house, tenant)
        scope = _scope(tenant)
        with house.database.app(scope) as tx:
            feeds, seen = indicator_feeds(scope, tx), sightings(scope, tx)
    for row in [*feeds, *seen] if json else ():
        emit({name: str(v) if isinstance(v, datetime) else v for name, v in row.items()})
    if not json:
        table(feeds, ["feed", "indicators", "expired"])
        table(seen, ["value", "feed", "sightings", "entities"])
    return DONE


def intel_drop(feed: str, *, tenant: str, data: Path | None = None, json: bool = False) -> int:
    """Forget the indicators of a feed; what was claimed by them stays.

    Parameters
    ----------
    feed: name of the feed.
    tenant: whose.
    data: data folder (default INOPSIO_DATA_DIR).
    json: print one JSON object.
    """
    with opened(settings_for(data)) as house:
        known_tenant(house, tenant)
        scope = _scope(tenant)
        with house.database.app(scope) as tx:
            gone = drop_feed(scope, tx, feed)
    if json:
        emit({"feed": feed, "dropped": gone})
    else:
        say(f"{gone} indicators of '{feed}' are forgotten")
    return DONE


def _bytes(file: Path) -> bytes:
    try:
        if file.stat().st_size > _LARGEST:
            raise InvalidInput(f"{file} is over 64 MiB; split it")
        return file.read_bytes()
    except OSError as wrong:
        raise InvalidInput(f"{file} cannot be read: {wrong.strerror or wrong}") from None


def _scope(tenant: str) -> Scope:
    return Scope(tenant, Actor("system", "inopsio"), frozenset({Role.ADMIN, Role.ANALYST}))


def register(app: cyclopts.App) -> None:
    """Add the group `intel`."""
    group = cyclopts.App(name="intel", help="Bring in indicators, and look for them.")
    group.command(intel_import, name="import")
    group.command(intel_match, name="match")
    group.command(intel_list, name="list")
    group.command(intel_drop, name="drop")
    app.command(group)
