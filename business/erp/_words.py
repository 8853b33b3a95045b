"""Check what a command is given: ids, money, versions; know a repeat of what was done before."""

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, Literal

import msgspec

from business._conflict import Conflict, OldVersion
from business._fact import IMPORT, Acting
from storage.errors import InvalidInput
from storage.identity import new_id
from storage.schema.entity import canonical
from storage.settings import Settings
from storage.tenant import Scope

MODULE: Final = "erp"
Row = dict[str, Any]
Confirmation = Literal["none", "phone", "letter", "declared"]
"""How a bank account was checked with its holder on another channel."""
FourEyes = Literal["off", "invoices", "payments", "all"]
MOST_CENTS: Final = 10**15
LONGEST_NOTE: Final = 2000
LONGEST_REASON: Final = 1000
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,99}")
_ACCOUNT: Final = re.compile(r"[A-Z0-9-]{4,64}")
_ISO: Final = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD "
    "CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS "
    "GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW "
    "KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR "
    "MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR "
    "SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX "
    "USD UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG"
)
CURRENCIES: Final = frozenset(_ISO.split())
"""ISO 4217, national currencies in use."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the house asks beyond the commands' own rules; both come from the settings.

    `payment_wait_s`: how long after its proposal a payment is paid at the earliest, seconds.
    `four_eyes`: whose maker may not approve: off, invoices, payments or all.
    """

    payment_wait_s: int = 60
    four_eyes: str = "off"

    @classmethod
    def of(cls, settings: Settings) -> "Policy":
        """Take it from the settings."""
        return cls(settings.payment_wait_s, settings.four_eyes)

    def check_approver(self, kind: str, maker: str, approver: str) -> None:
        """Pass, or raise Conflict where the maker of an `invoices` or `payments` row approves."""
        if self.four_eyes in {"all", kind} and is_same_person(maker, approver):
            raise Conflict(f"{approver} made it; with four_eyes={self.four_eyes} another approves")


PLAIN: Final = Policy()
"""The policy of a house that set nothing."""


def is_same_person(one: str, other: str) -> bool:
    r"""Answer whether two account names mean one person.

    >>> is_same_person("CORP\\Ann.Lee", "ann.lee@corp.example")
    True
    """
    return canonical("user", one) == canonical("user", other)


def person(name: str) -> str:
    """Give the one name of an account."""
    return canonical("user", name)[1]


def document_id(name: str, given: str) -> str:
    """Give the id that a client chose, or a new one for ''; InvalidInput for an odd one."""
    if not given:
        return new_id(time.time_ns() // 1000)
    if not _ID.fullmatch(given):
        raise InvalidInput(f"{name} must be 1 to 100 of letters, digits and . _ : @ + -")
    return given


def known_id(name: str, given: str) -> str:
    """Give the id of a document that is to be there already."""
    if not given:
        raise InvalidInput(f"{name} is missing")
    return document_id(name, given)


def money(amount_cents: int, currency: str) -> None:
    """Pass for 1 to 10^15 minor units of a currency of ISO 4217, else InvalidInput."""
    if type(amount_cents) is not int or not 1 <= amount_cents <= MOST_CENTS:
        raise InvalidInput(f"amount_cents must be a whole number of 1 to {MOST_CENTS} minor units")
    if currency not in CURRENCIES:
        raise InvalidInput(f"currency {currency[:10]!r} is not in ISO 4217")


def account(text: str) -> str:
    """Give a bank account without blanks, in capitals; InvalidInput for what is none.

    >>> account("de89 3704 0044 0532 0130 00")
    'DE89370400440532013000'
    """
    kept = "".join(text.split()).upper()
    if not _ACCOUNT.fullmatch(kept):
        raise InvalidInput("bank_account must have 4 to 64 letters, digits or '-'")
    return kept


def moment(at_us: int) -> datetime:
    """Give UTC µs as an aware datetime."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC)


def fingerprint(*parts: str | int | bool | date | None) -> str:
    """Give what a repeat of the same request has in common with it."""
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()


def is_repeat(row: Mapping[str, Any] | None, made_from: str, what: str) -> bool:
    """Answer whether the document is there from the same request; Conflict if from another."""
    if row is None:
        return False
    if row["made_from"] != made_from:
        raise Conflict(f"{what} is there already with another content")
    return True


def command_of(
    scope: Scope,
    row: Mapping[str, Any],
    what: str,
    version: int | None,
    by: Acting,
    *content: str | int,
) -> str | None:
    """Give the fingerprint of a change; None if it is a repeat of the last one; else OldVersion.

    `version` None: a bridge tells what happened elsewhere and does not know the house's versions;
    its changes are told apart by moment and content, and must not come after later ones.
    """
    if version is None and (scope.actor.kind == "user" or not scope.may(IMPORT)):
        raise InvalidInput("say the version that the change is meant for")
    when = by.at_us if version is None else version
    command = fingerprint(what, version is None, when, person(by.name), *content)
    is_last = row["last_command"] == command
    if is_last and (version is None or row["version"] == version + 1):
        return None
    if version is not None and row["version"] != version:
        raise OldVersion(
            f"it is at version {row['version']}, not {version}; read it again and decide anew"
        )
    changed_at = row.get("bank_changed_at") or row.get("changed_at")
    if version is None and changed_at is not None and moment(by.at_us) < changed_at:
        raise OldVersion(f"a change of {changed_at.isoformat()} is there already")
    return command


def shown(row: Mapping[str, Any]) -> Row:
    """Give the row without what only the commands need."""
    inner = {"made_from", "last_command", "changed_at", "acted", "fact_position"}
    inner |= {"invoice_status", "invoice_approved_by"}
    return {k: v for k, v in row.items() if k not in inner}
