"""Read the times that feeds write."""

from datetime import UTC, datetime

from storage.errors import InvalidInput


def micros(text: object) -> int | None:
    """Give microseconds since 1970, UTC, of an RFC 3339 text; None stays None."""
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(str(text)[:40])
    except ValueError:
        raise InvalidInput(f"{str(text)[:40]!r} is no time: write 2026-01-31T00:00:00Z") from None
    if when.tzinfo is None:
        raise InvalidInput(f"{str(text)[:40]!r} has no zone: end it with Z")
    since = when - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
