"""Say what a change of a published schema would break for who reads or has written by the old one.

Readers of the old one must go on with new messages, and new readers with old messages. So a field
may be added, but not removed, renamed, retyped, newly required or no longer promised.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

Document = Mapping[str, Any]
_TOLD: Final = frozenset({"description", "title", "default", "$id"})
"""Keys that say nothing of what a message may hold."""
_SHAPES: Final = (
    *("type", "format", "pattern", "contentEncoding", "x-arrow"),
    *("minItems", "maxItems", "minLength", "maxLength"),
)


def version_of(document: Document) -> tuple[int, int]:
    """Give (major, minor) of a document's `$id`.

    >>> version_of({"$id": "urn:inopsio:schema:finding:1.4"})
    (1, 4)
    """
    major, _, minor = str(document["$id"]).rpartition(":")[2].partition(".")
    return int(major), int(minor)


def refusals(name: str, released: Document, now: Document | None) -> list[str]:
    """Say what hinders `now` to follow the newest released document; empty if nothing does."""
    if now is None:
        return [f"{name}: the schema is gone; topics that carry it must be told of with a new name"]
    before, after = version_of(released), version_of(now)
    if after < before:
        return [f"{name}: version {_text(after)} is older than the released {_text(before)}"]
    if after[0] > before[0]:
        return []
    way_out = (
        f"take it back (a new field beside the old one is fine), or raise the version to "
        f"{before[0] + 1}.0 and tell readers: those of {before[0]} refuse such messages"
    )
    broken = [f"{name}: {line}; {way_out}" for line in breaking(released, now)]
    if not broken and after == before and _bare(released) != _bare(now):
        next_one = f"{before[0]}.{before[1] + 1}"
        return [
            f"{name}: changed, but still of version {_text(before)}; name it {next_one} in the code"
        ]
    return broken


def breaking(old: Document, new: Document) -> list[str]:
    """List what breaks, each with the place of the field."""
    return list(_walk("", old, new, (old, new)))


def _walk(
    at: str, old: Document, new: Document, wholes: tuple[Document, Document]
) -> Iterator[str]:
    old, new = _resolved(old, wholes[0]), _resolved(new, wholes[1])
    place = at or "the message"
    for key in _SHAPES:
        if old.get(key) != new.get(key):
            yield f"{place} is retyped: {key} was {old.get(key)!r}, is {new.get(key)!r}"
    lost = _values(old) - _values(new)
    if _values(new) and (lost or not _values(old)):
        yield f"{place} no longer takes {sorted(lost) or 'any value'}"
    fields, kept = old.get("properties", {}), new.get("properties", {})
    for name, field in fields.items():
        if name in kept:
            yield from _walk(f"{at}.{name}" if at else name, field, kept[name], wholes)
        else:
            yield f"{place} lost field '{name}' (removed or renamed)"
    yield from _promises(place, old, new)
    for pattern in old.get("patternProperties", {}):
        if pattern not in new.get("patternProperties", {}):
            yield f"{place} lost the fields '{pattern}'"
    yield from _members(at, old, new, wholes)


def _promises(place: str, old: Document, new: Document) -> Iterator[str]:
    before, after = set(old.get("required", ())), set(new.get("required", ()))
    known = new.get("properties", {})
    for name in sorted(after - before):
        yield f"{place} newly requires '{name}': older messages lack it"
    for name in sorted(before - after):
        if name in known:
            yield f"{place} no longer promises '{name}': readers rely on it"


def _members(
    at: str, old: Document, new: Document, wholes: tuple[Document, Document]
) -> Iterator[str]:
    for key in ("items", "additionalProperties"):
        one, other = old.get(key), new.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _walk(f"{at}[]", one, other, wholes)
        elif one != other:
            yield f"{at or 'the message'} is retyped: {key} was {one!r}, is {other!r}"
    ours, theirs = old.get("prefixItems", ()), new.get("prefixItems", ())
    if len(ours) != len(theirs):
        yield f"{at} is retyped: {len(ours)} members, now {len(theirs)}"
    for number, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        yield from _walk(f"{at}[{number}]", one, other, wholes)


def _resolved(part: Document, whole: Document) -> Document:
    reference = part.get("$ref")
    if reference is None:
        return part
    found: Document = whole["$defs"][str(reference).rpartition("/")[2]]
    return found


def _values(part: Document) -> set[str]:
    given = [part["const"]] if "const" in part else part.get("enum", ())
    return {str(value) for value in given}


def _bare(part: Any) -> Any:  # noqa: ANN401  any JSON
    if isinstance(part, Mapping):
        # Under `properties` the keys are names of fields, whatever they are.
        return {
            k: {n: _bare(f) for n, f in v.items()} if k == "properties" else _bare(v)
            for k, v in part.items()
            if k not in _TOLD
        }
    if isinstance(part, list | tuple):
        return [_bare(one) for one in part]
    return part


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
