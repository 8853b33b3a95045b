"""Say that what is asked does not go together with what the ledger holds."""

from storage.errors import InvalidInput


class Conflict(InvalidInput):
    """The request is well-formed, but the document's state forbids it: HTTP 409."""


class OldVersion(Conflict):
    """Somebody else changed the document since it was read: read it again, then decide: 412."""
