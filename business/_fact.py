"""Tell a fact of business in the transaction that makes it true, and say who acted.

A fact goes two ways with the same data: as a CloudEvents record to the module's own topic, and as
one OCSF line to the events flow, where detectors see it beside sign-ins and processes.
"""

import ipaddress
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec
import polars as pl

from business._event import Transaction
from storage.database.queries import execute, select
from storage.errors import InvalidInput, NotAllowed, PluginError
from storage.identity import event_ids
from storage.log import Record
from storage.outbox import tell
from storage.schema.classes import class_named
from storage.tenant import Scope
from storage.wire import FIRST, HEADER, RAW

RAW_TOPIC: Final = "raw.events"
IMPORT: Final = "facts:import"
AHEAD_US: Final = 5 * 60 * 1_000_000
"""How far a claimed moment may lie ahead, µs; the flow would take a later one for a wrong clock."""
_FIRST_US: Final = 946_684_800_000_000
_LONGEST: Final = 200
_PRODUCT: Final = "inopsio"
_SYSTEM: Final = "system"
Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Fact:
    """Say what happened to a business document.

    `topic`: `erp.payment`, `crm.deal`, ...; `class_name` and `activity` as in
    `storage.schema.classes` (`payment`, `Approve`); `data`: the schema's dotted columns, other
    names become `unmapped.<name>`, None and '' are left out; `subject`: id of the document;
    `version`: of the topic's published schema, as its module's `TELLS` says.
    """

    topic: str
    class_name: str
    activity: str
    data: Mapping[str, Value]
    subject: str
    version: str = FIRST


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request states of who acted elsewhere, when, and from where; '' and None = nothing."""

    on_behalf_of: str = ""
    occurred_at_us: int | None = None
    device_uid: str = ""
    src_ip: str = ""


@dataclass(frozen=True, slots=True)
class Acting:
    """Who acts: `name` = the account, `at_us` = when it happened, `now_us` = when it was told.

    `through`: who brought it, where that is another (`token:bridge`), else ''. Times are UTC µs.
    """

    name: str
    at_us: int
    now_us: int
    device_uid: str = ""
    src_ip: str = ""
    through: str = ""
    trace_id: str = ""

    def columns(self) -> dict[str, Value]:
        """Give the columns of a fact that say who acted and from where."""
        return {
            "actor.user.name": self.name,
            "device.uid": self.device_uid,
            "src_endpoint.ip": self.src_ip,
        }

    def detail(self, **more: object) -> dict[str, object]:
        """Give the detail of an audit entry: who acted, if not the one who asks, and what more."""
        behalf = {"on_behalf_of": self.name} if self.through else {}
        return behalf | {k: v for k, v in more.items() if v not in (None, "")}


def acting(
    scope: Scope,
    claim: Claim = Claim(),
    *,
    now_us: int | None = None,
    src_ip: str = "",
    trace_id: str = "",
) -> Acting:
    """Say who acts in this scope: whoever asks, now, unless the scope may state another.

    Only a program with the grant `facts:import` may; a signed-in person is always itself.
    `now_us`: UTC µs, the clock's if None. NotAllowed for a claim of anybody else, InvalidInput for
    a moment before 2000 or over five minutes ahead, and for what is no name or address.
    """
    now = time.time_ns() // 1000 if now_us is None else now_us
    own = _SYSTEM if scope.actor.kind == "system" else scope.actor.name
    if claim == Claim():
        return Acting(own, now, now, src_ip=src_ip, trace_id=trace_id)
    if scope.actor.kind == "user" or not scope.may(IMPORT):
        raise NotAllowed(
            f"{scope.actor.name} may not say who acted elsewhere; that takes a token with "
            f"the grant '{IMPORT}'"
        )
    at = now if claim.occurred_at_us is None else claim.occurred_at_us
    if not _FIRST_US <= at <= now + AHEAD_US:
        raise InvalidInput("occurred_at is before the year 2000 or over five minutes ahead")
    name = checked_text("on_behalf_of", claim.on_behalf_of, empty=True) or own
    device = checked_text("device_uid", claim.device_uid, empty=True)
    through = f"{scope.actor.kind}:{scope.actor.name}"
    return Acting(name, at, now, device, _address(claim.src_ip), through, trace_id)


def checked_text(name: str, text: str, most: int = _LONGEST, *, empty: bool = False) -> str:
    """Give the text without blanks around it; InvalidInput if empty, too long or unprintable.

    >>> checked_text("name", " Bolt & Sons ")
    'Bolt & Sons'
    """
    kept = text.strip()
    if not (kept or empty) or len(kept) > most or not kept.isprintable():
        least = 0 if empty else 1
        raise InvalidInput(f"{name} must have {least} to {most} printable characters")
    return kept


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text)) if text else ""
    except ValueError:
        raise InvalidInput(f"src_ip {text[:60]!r} is no address") from None


def announce(
    scope: Scope, tx: Transaction, module: str, fact: Fact, at_us: int, trace_id: str = ""
) -> str:
    """Leave the fact for the log, in the transaction of the change; give its event id.

    The id is the one the event has in the events flow too. The fact's position is taken under a
    lock that lasts to the end of the transaction: facts reach the log in the order of their
    positions. `at_us`: when it happened, UTC µs. InvalidInput for what the log would not take.
    """
    kind = class_named(fact.class_name)
    activity = next((n for n, name in kind.activities.items() if name == fact.activity), None)
    if activity is None:
        raise PluginError(f"class '{fact.class_name}' has no activity '{fact.activity}'")
    source = f"business:{module}"
    position = int(str(select(tx, "fact_position_take", module=module)[0]["position"]))
    event_id = str(event_ids(scope.tenant_id, source, pl.Series([at_us]), pl.Series([position]))[0])
    data = {k: v for k, v in fact.data.items() if v is not None and v != ""} | {
        "time": at_us,
        "class_uid": kind.class_uid,
        "activity_id": activity,
        "metadata.product.name": _PRODUCT,
    }
    traced = {"trace_id": trace_id} if trace_id else {}
    envelope = {
        "specversion": "1.0",
        "id": event_id,
        "type": f"inopsio.{fact.topic}.{fact.activity.lower().replace(' ', '_')}",
        "source": f"/business/{module}",
        "subject": fact.subject,
        "time": datetime.fromtimestamp(at_us / 1_000_000, UTC).isoformat(),
        "tenantid": scope.tenant_id,
        "datacontenttype": "application/json",
        "data": data,
    }
    key = f"{scope.tenant_id}/{source}".encode()
    place = {"source": source, "position": str(position), "format": "ocsf_json", "name": source}
    try:
        own, line = msgspec.json.encode(envelope), msgspec.json.encode(data) + b"\n"
    except UnicodeEncodeError as error:
        raise InvalidInput("a text of the fact is not valid Unicode") from error
    subject = f"{scope.tenant_id}/{fact.subject}".encode()
    kept = {"id": event_id, "type": str(envelope["type"]), HEADER: f"{fact.topic}/{fact.version}"}
    tell(tx, fact.topic, Record(subject, own, {**kept, **traced}))
    tell(tx, RAW_TOPIC, Record(key, line, {**place, HEADER: RAW, **traced}))
    return event_id


def take_turn(tx: Transaction, module: str) -> None:
    """Wait until no other command of the tenant's module is at work; held to the transaction's end.

    Commands of one module and tenant stand in line at their facts' positions anyway; taking the
    turn first keeps what they read true until they commit, and two of them from a deadlock.
    """
    execute(tx, "fact_turn", module=module)
