"""Poll the feeds that are due, each in a process of its own, a few at once, one of a tenant.

`python -m deploy.polling TENANT ID` polls one. What a page brings is kept together with how far the
poll is: killed at any moment it loses and doubles nothing. What a feed sends is hostile: it is read
in a process with bounds on memory, CPU and time.
"""

import base64
import contextlib
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import structlog

from deploy import waiting
from deploy.house import House, opened
from pipelines.intel import Page, documents, misp, taxii
from pipelines.intel.fetch import Auth, Fetcher
from pipelines.intel.reach import networks
from storage.errors import InopsioError, NotFound
from storage.indicators import put_indicators
from storage.sealing import Seal
from storage.settings import Secret, Settings
from storage.subscriptions import (
    Poll,
    end_poll,
    fail_poll,
    left_poll,
    poll_goes_on,
    poll_of,
    take_poll,
    waiting_subscriptions,
)
from storage.tenant import Actor, Role, Scope

log = structlog.get_logger()
AT_ONCE: Final = 4
STOP_S: Final = 300.0
"""After so long a poll stops at the next page and goes on in a minute."""
END_S: Final = 600.0
"""After so long nothing is fetched any more."""
BEAT_S: Final = 15.0
CPU_S: Final = 600
DATA_BYTES: Final = 3 << 30
NICE: Final = 10
_SHOWN: Final = 5
LEFT: Final = (
    "its process ended before it was done: the feed is too large or the machine too busy;"
    " tried again later"
)


def serve(house: House, stop: threading.Event) -> None:
    """Poll what is due until told to stop."""

    def failed(tenant: str, subscription_id: str) -> None:
        with contextlib.suppress(InopsioError), house.database.app(_scope(tenant)) as tx:
            left_poll(tx, subscription_id, LEFT)

    waiting.serve(house, stop, waiting_subscriptions, "deploy.polling", AT_ONCE, failed)


def run(house: House, tenant: str, subscription_id: str) -> bool:
    """Poll one and write how it ended; False if it is not due or somebody else has it."""
    scope = _scope(tenant)
    with house.database.app(scope) as tx:
        poll_id = take_poll(tx, subscription_id)
    if not poll_id:
        return False
    secret = Secret("")
    try:
        seal = Seal.of(house.settings)
        with house.database.app(scope) as tx:
            poll = poll_of(scope, tx, seal, subscription_id, poll_id)
        secret = poll.secret
        with _beating(house, scope, poll):
            told = _polled(house, scope, poll)
    except InopsioError as wrong:
        reason = without(secret, str(wrong))
        log.warning("feed_not_polled", tenant=tenant, reason=reason[:300])
        with house.database.app(scope) as tx:
            fail_poll(tx, subscription_id, poll_id, reason)
        return True
    has_more = bool(told.pop("has_more"))
    with house.database.app(scope) as tx:
        end_poll(tx, poll, json.loads(without(secret, json.dumps(told))), has_more=has_more)
    return True


def _polled(house: House, scope: Scope, poll: Poll) -> dict[str, Any]:
    """Keep page after page; give what came in all."""
    until_s = time.monotonic() + STOP_S
    told: dict[str, Any] = {"indicators": 0, "refused": 0, "pages": 0, "has_more": False}
    reasons: list[str] = []
    for page in pages(house.settings, poll):
        with house.database.app(scope) as tx:
            poll_goes_on(tx, poll, page.cursor)
            kept = put_indicators(
                scope,
                tx,
                poll.feed,
                page.feed.indicators,
                retold=page.feed.told,
                is_whole=page.is_whole,
            )
        told["indicators"] += kept
        told["refused"] += len(page.feed.refused)
        told["pages"] += 1
        told["has_more"] = page.has_more
        reasons += [f"{bad.record}: {bad.reason}"[:300] for bad in page.feed.refused[:_SHOWN]]
        if time.monotonic() > until_s:
            told["has_more"] = True
            break
    return told | {"reasons": reasons[:_SHOWN]}


def pages(settings: Settings, poll: Poll) -> Iterator[Page]:
    """Ask the feed for what it has since the poll's cursor."""
    fetcher = Fetcher(
        home=poll.url,
        auth=Auth(poll.auth, poll.secret),
        named=networks(settings.feed_addresses),
        until_s=time.monotonic() + END_S,
    )
    if poll.kind == "taxii":
        yield from taxii.poll(fetcher, poll.url, poll.collection, poll.feed, poll.cursor)
    elif poll.kind == "misp":
        yield from misp.poll(fetcher, poll.url, poll.feed, poll.cursor)
    else:
        yield from documents.poll(fetcher, poll.kind, poll.url, poll.feed, poll.cursor)


def without(secret: Secret, text: str) -> str:
    """Take the secret out of a text in every form in which it was sent: a server may repeat it."""
    whole = secret.reveal()
    forms = {whole, whole.rpartition(":")[2], base64.b64encode(whole.encode()).decode()}
    for form in sorted(filter(None, forms), key=len, reverse=True):
        text = text.replace(form, "***").replace(json.dumps(form)[1:-1], "***")
    return text


@contextlib.contextmanager
def _beating(house: House, scope: Scope, poll: Poll) -> Iterator[None]:
    """Say every some seconds that the poll goes on, however long a page takes."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(BEAT_S):
            try:
                with house.database.app(scope) as tx:
                    poll_goes_on(tx, poll)
            except NotFound:
                return  # the next page will not be kept
            except InopsioError as down:
                log.warning("poll_does_not_beat", reason=str(down)[:300])

    beater = threading.Thread(target=beat, name="beat", daemon=True)
    beater.start()
    try:
        yield
    finally:
        done.set()
        beater.join()


def _scope(tenant: str) -> Scope:
    return Scope(tenant, Actor("system", "feeds"), frozenset({Role.ANALYST}))


def main() -> None:
    """Poll the one that the command line names."""
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 10))
    resource.setrlimit(resource.RLIMIT_DATA, (DATA_BYTES, DATA_BYTES))
    tenant, subscription_id = sys.argv[1:]
    with opened(Settings.read()) as house:
        run(house, tenant, subscription_id)


if __name__ == "__main__":
    main()
