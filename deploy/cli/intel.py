"""`inopsio intel`: bring in what others call hostile, poll feeds, look for it in the past."""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import cyclopts

from deploy import matching, polling
from deploy.house import House, known_tenant, opened
from deploy.output import DONE, FAILED, PARTLY, emit, say, table
from deploy.running import settings_for
from pipelines.intel import csv_list, stix
from pipelines.replay import replay
from storage.errors import InvalidInput
from storage.indicator_matches import get_match, waiting_matches
from storage.indicators import drop_feed, indicator_feeds, put_indicators, sightings
from storage.sealing import Seal
from storage.settings import Secret, Settings
from storage.subscriptions import (
    NewSubscription,
    add_subscription,
    drop_subscription,
    list_subscriptions,
    poll_now,
)
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
    file
        a .json with STIX objects, or a .csv with the columns type,value,valid_from.
    tenant
        who they count for.
    feed
        what the feed is called (default: the file's name).
    match
        look for those that are new in the history at once.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object.
    """
    name = feed or file.stem
    raw = _bytes(file)
    is_stix = raw.lstrip()[:1] in {b"{", b"["}
    found = (stix if is_stix else csv_list).read(raw, name)
    for bad in found.refused:
        say(f"{file}: record {bad.record}: {bad.reason}")
    with opened(settings_for(data)) as house:
        known_tenant(house, tenant)
        scope = _scope(tenant)
        with house.database.app(scope) as tx:
            kept = put_indicators(scope, tx, name, found.indicators, past=match)
        seen = _searched(house, tenant) if match else 0
    if json:
        emit({"feed": name, "kept": kept, "refused": len(found.refused), "findings": seen})
    else:
        say(f"{kept} indicators kept, {len(found.refused)} refused, {seen} new findings in 90 days")
    return PARTLY if found.refused else DONE


def _searched(house: House, tenant: str) -> int:
    """Run the search that waits, or wait for who runs it; give its new findings."""
    with house.database.writer() as tx:
        waiting = [match_id for of, match_id in waiting_matches(tx, 0) if of == tenant]
    scope, seen = _scope(tenant), 0
    for match_id in waiting:
        matching.run(house, tenant, match_id)
        while True:
            with house.database.app(scope) as tx:
                told = get_match(scope, tx, match_id)
            if told["status"] in {"done", "failed"}:
                break
            time.sleep(0.5)
        if told["reason"]:
            say(f"the history was not searched whole: {told['reason']}")
        seen += int(told["findings"])
    return seen


def intel_match(
    *, tenant: str, days: int = 90, data: Path | None = None, json: bool = False
) -> int:
    """Look for the tenant's indicators in its history; what is claimed already is not doubled.

    Parameters
    ----------
    tenant
        whose history.
    days
        how many days back.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object.
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
    """List the tenant's feeds, subscriptions, and the indicators that were seen.

    Parameters
    ----------
    tenant
        whose.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object a feed, then one a subscription, then one a sighting.
    """
    with opened(settings_for(data)) as house:
        known_tenant(house, tenant)
        scope = _scope(tenant)
        with house.database.app(scope) as tx:
            feeds, seen = indicator_feeds(scope, tx), sightings(scope, tx)
            polled = list_subscriptions(scope, tx)
    for row in [*feeds, *polled, *seen] if json else ():
        emit({name: str(v) if isinstance(v, datetime) else v for name, v in row.items()})
    if not json:
        table(feeds, ["feed", "indicators", "expired"])
        table(polled, ["feed", "kind", "url", "every_minutes", "paused", "last_error"])
        table(seen, ["value", "feed", "sightings", "entities"])
    return DONE


def intel_subscribe(
    feed: str,
    kind: str,
    url: str,
    *,
    tenant: str,
    collection: str = "",
    auth: str = "none",
    secret_file: Path | None = None,
    every: int = 60,
    data: Path | None = None,
    json: bool = False,
) -> int:
    """Subscribe to a feed; it is polled while the house is up, or by `inopsio intel poll`.

    Parameters
    ----------
    feed
        what the feed is called.
    kind
        taxii, misp, stix or csv.
    url
        of the TAXII server or API root, the folder of the MISP feed, the bundle or the CSV.
    tenant
        who it counts for.
    collection
        of TAXII, its id, alias or title (default: the only one).
    auth
        how the secret is sent: none, basic (name:password), bearer, key (bare, as MISP wants it).
    secret_file
        a file that holds the secret, or - for standard input.
    every
        minutes from poll to poll.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object.
    """
    secret = Secret(_secret(secret_file)) if secret_file else Secret("")
    new = NewSubscription(feed, kind, url, collection, auth, secret, every)
    with opened(settings_for(data)) as house:
        known_tenant(house, tenant)
        scope = _scope(tenant)
        with house.database.app(scope) as tx:
            made = add_subscription(scope, tx, Seal.of(house.settings), new)
    if json:
        emit({"feed": feed, "subscription_id": made})
    else:
        say(f"subscribed to '{feed}', polled every {every} minutes")
    return DONE


def intel_poll(feed: str, *, tenant: str, data: Path | None = None, json: bool = False) -> int:
    """Poll a feed now and tell what came; ends with 1 if the poll did not end well.

    Parameters
    ----------
    feed
        name of a subscription.
    tenant
        whose.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object.
    """
    with opened(settings_for(data)) as house:
        known_tenant(house, tenant)
        scope = _scope(tenant)
        with house.database.app(scope) as tx:
            poll_now(scope, tx, feed)
            of = {str(row["feed"]): row for row in list_subscriptions(scope, tx)}
        polling.run(house, tenant, str(of[feed]["subscription_id"]))
        told = of[feed] | {"is_polling": True}
        while told["is_polling"]:  # the running house may have been quicker
            with house.database.app(scope) as tx:
                told = {str(row["feed"]): row for row in list_subscriptions(scope, tx)}[feed]
            time.sleep(0.2 if told["is_polling"] else 0)
    result = told["last_result"] or {}
    if json:
        emit({"feed": feed, "error": told["last_error"], **result})
    elif told["last_error"]:
        say(str(told["last_error"]))
    else:
        say(f"{result.get('indicators', 0)} indicators kept, {result.get('refused', 0)} refused")
    return FAILED if told["last_error"] else DONE


def intel_unsubscribe(
    feed: str, *, tenant: str, data: Path | None = None, json: bool = False
) -> int:
    """Poll a feed no more; its indicators stay until `inopsio intel drop`.

    Parameters
    ----------
    feed
        name of the subscription.
    tenant
        whose.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object.
    """
    with opened(settings_for(data)) as house:
        known_tenant(house, tenant)
        scope = _scope(tenant)
        with house.database.app(scope) as tx:
            drop_subscription(scope, tx, feed)
    if json:
        emit({"feed": feed, "dropped": True})
    else:
        say(f"'{feed}' is polled no more")
    return DONE


def _secret(file: Path) -> str:
    """Read a secret from a file or standard input: a command line is for everybody to see."""
    text = sys.stdin.readline() if str(file) == "-" else _bytes(file).decode("utf-8", "replace")
    return text.strip()


def intel_drop(feed: str, *, tenant: str, data: Path | None = None, json: bool = False) -> int:
    """Forget the indicators of a feed; what was claimed by them stays.

    Parameters
    ----------
    feed
        name of the feed.
    tenant
        whose.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object.
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
    group.command(intel_subscribe, name="subscribe")
    group.command(intel_poll, name="poll")
    group.command(intel_unsubscribe, name="unsubscribe")
    app.command(group)
