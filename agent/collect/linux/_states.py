"""Compare named states of two looks: what is new, what changed, what is gone."""

from collections.abc import Iterator

States = dict[str, str]


def changes(before: States, after: States) -> Iterator[tuple[str, str | None, str | None]]:
    """Give (name, state before, state after) of each that differs, in order of names."""
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was != now:
            yield name, was, now
