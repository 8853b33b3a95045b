"""Do business with events: one file a module, found by folder; modules meet only at the log.

A module has:

    TOPICS: tuple[str, ...]                     what it listens to
    handle(scope: Scope, tx: Transaction, event: Event) -> None
    TELLS: tuple[Told, ...]                     (if it tells facts) its topics and their schemas

`handle` runs inside one transaction held to the event's tenant, in which the consume loop has
already put the event's id into the inbox: what `handle` writes and the mark "handled" are kept
together or not at all, so the same event twice gives the same ledger. Commands (`assign`,
`set_status`, ...) are plain functions, Scope first, transaction second.
"""

from business._consume import CONTRACT, consume, consume_once
from business._event import Event, Transaction

__all__ = ["CONTRACT", "Event", "Transaction", "consume", "consume_once"]
