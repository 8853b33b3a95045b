"""Flatten a rule's condition into a tree over plain tests of one field each."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
    ConditionValueExpression,
)
from sigma.types import (
    Placeholder,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SpecialChars,
)

from detectors._sigma.bounds import MAX_ATOMS, check_placeholders
from detectors._sigma.modifiers import Encoded
from detectors._sigma.pattern import MAX_WEIGHT, needle, translate, weight
from storage.errors import InvalidRule

Op = Literal["text", "pattern", "cidr", "number", "compare", "null", "any", "ref", "part"]
Tree = int | tuple[str, tuple["Tree", ...]]
"""An atom's number, or ("and" | "or" | "not", children)."""

START: Final = "\x02"
END: Final = "\x03"
"""Stand around each value, so that starts, ends and whole values are plain substrings too."""

LACKS_VALUES: Final = "placeholder without values here"
"""How the reason begins why such a rule cannot run yet."""

MAX_DEPTH: Final = 64


@dataclass(frozen=True, slots=True)
class Atom:
    """Test one field: `field` '' = any field of the event.

    text: lower-cased value, between sentinels, holds `text`. pattern: value matches regex `text`
    (`lower`: the lower-cased value); `needle` is a text every match holds. cidr, number: `text`.
    compare: `more` is lt, lte, gt, gte or neq, `text` the number. null: the field is absent.
    any: it is there. ref: equals field `text`; `more` is '', starts, ends or contains.
    part: `more` (minute..year, then lt.. if not equal) of the moment against the number `text`.
    `shown`: words for people.
    """

    field: str
    op: Op
    text: str = ""
    needle: str = ""
    more: str = ""
    lower: bool = False
    shown: str = ""


class Flattening:
    """Collect the distinct atoms of one rule while its condition is walked."""

    def __init__(self, values: Mapping[str, tuple[str, ...]]) -> None:
        """Take the tenant's named lists, for `expand`."""
        self.atoms: dict[Atom, int] = {}
        self._values = values
        self._weight = 0

    def tree(self, node: object, depth: int = 0) -> Tree:
        """Give the tree below a pySigma condition node; InvalidRule for what cannot run."""
        if depth > MAX_DEPTH:
            raise InvalidRule(f"condition is nested deeper than {MAX_DEPTH}")
        if isinstance(node, ConditionAND | ConditionOR):
            word = "and" if isinstance(node, ConditionAND) else "or"
            return self._joined(word, [self.tree(a, depth + 1) for a in node.args])
        if isinstance(node, ConditionNOT):
            return ("not", (self.tree(node.args[0], depth + 1),))
        if isinstance(node, ConditionFieldEqualsValueExpression):
            return self._value(node.field, node.value)
        if isinstance(node, ConditionValueExpression):
            return self._value("", node.value)
        raise InvalidRule("condition is empty or refers to nothing")

    def joined(self, word: str, parts: Iterable[Tree]) -> Tree:
        """Join trees by "and" or "or"."""
        return self._joined(word, list(parts))

    def atom(self, atom: Atom) -> int:
        """Number an atom, the same one the same."""
        number = self.atoms.setdefault(atom, len(self.atoms))
        if number >= MAX_ATOMS:
            raise InvalidRule(f"rule has more than {MAX_ATOMS} tests")
        return number

    def _joined(self, word: str, parts: list[Tree]) -> Tree:
        flat: list[Tree] = []
        for part in parts:
            inner = part[1] if isinstance(part, tuple) and part[0] == word else (part,)
            flat.extend(p for p in inner if p not in flat[-1:])
        return flat[0] if len(flat) == 1 else (word, tuple(flat))

    def _value(self, field: str, value: object) -> Tree:
        if isinstance(value, SigmaExpansion):
            if not value.values:
                raise InvalidRule(f"nothing of the value of '{field}' can be looked for")
            return self._joined("or", [self._value(field, v) for v in value.values])
        if isinstance(value, SigmaString | SigmaRegularExpression):
            if value.contains_placeholder():
                text = value.regexp if isinstance(value, SigmaRegularExpression) else value
                check_placeholders(text.s, self._values)
                filled = value.replace_placeholders(self._fill)
                return self._joined("or", [self._value(field, v) for v in filled])
            if isinstance(value, SigmaRegularExpression):
                self._weight += weight(str(value.regexp.to_plain(True)))
                if self._weight > MAX_WEIGHT:
                    raise InvalidRule("the regular expressions of the rule are too large together")
                return self.atom(_regex(field, value))
            return self.atom(_string(field, value))
        if isinstance(value, SigmaExists):
            is_there = self.atom(Atom(field, "any", shown="is there"))
            return is_there if value.exists else ("not", (is_there,))
        return self.atom(_plain(field, value))

    def _fill(
        self, placeholder: Placeholder
    ) -> Iterator[str | SpecialChars | Placeholder | SigmaString]:
        if placeholder.name not in self._values:
            raise InvalidRule(f"{LACKS_VALUES}: %{placeholder.name}%; state them under 'values:'")
        yield from self._values[placeholder.name]


def _string(field: str, value: SigmaString) -> Atom:
    parts = list(value.s)
    star = SpecialChars.WILDCARD_MULTI
    if isinstance(value, Encoded) and not "".join(map(str, parts)).isascii():
        raise InvalidRule(
            "UTF-16 of other letters than ASCII is found as base64 or base64offset only"
        )
    if not field:  # a keyword may stand anywhere within a value
        parts = [star, *parts, star]
    while len(parts) > 1 and parts[0] is star and parts[1] is star:
        del parts[0]
    while len(parts) > 1 and parts[-1] is star and parts[-2] is star:
        del parts[-1]
    if parts == [star]:
        return Atom(field, "any", shown="is there")
    head, tail = parts[0:1] == [star], parts[-1:] == [star]
    inner = parts[head : len(parts) - tail]
    start, end = ("" if head else START), ("" if tail else END)
    word = {(0, 0): "is", (1, 0): "endswith", (0, 1): "startswith", (1, 1): "contains"}[head, tail]
    plain = "".join(p for p in inner if isinstance(p, str))
    if all(isinstance(p, str) for p in inner):
        text = start + plain.lower() + end
        shown = f"{word} {plain}"
        if isinstance(value, SigmaCasedString):
            shape = ("" if head else r"\A") + re.escape(plain) + ("" if tail else r"\z")
            return Atom(field, "pattern", f"(?s){shape}", text, "cased", shown=shown + " (cased)")
        if _is_plain(plain):
            return Atom(field, "text", text, text, shown=shown)
    return _glob(field, value, parts)


def _is_plain(text: str) -> bool:
    # The matcher writes \x01 where a value holds one of its sentinels.
    return not any(c in text for c in "\x01\x02\x03")


def _glob(field: str, value: SigmaString, parts: Sequence[object]) -> Atom:
    cased = isinstance(value, SigmaCasedString)
    shape, longest = "", ""
    for part in parts:
        if isinstance(part, str):
            text = part if cased else part.lower()
            shape += re.escape(text)
            longest = max(longest, text.lower(), key=len)
        else:
            shape += ".*" if part is SpecialChars.WILDCARD_MULTI else "."
    hint = longest if longest.isascii() and _is_plain(longest) else ""
    shown = f"is like {value}"
    return Atom(field, "pattern", rf"(?s)\A{shape}\z", hint, "", not cased, shown)


def _regex(field: str, value: SigmaRegularExpression) -> Atom:
    source = str(value.regexp.to_plain(True))
    flags = "".join(sorted(value.sigma_to_re_flag[f] for f in value.flags))
    rust = translate(source, flags)
    caseless = "i" in flags or "(?" in source
    hint = "" if caseless else needle(source)
    return Atom(field, "pattern", rust, hint if _is_plain(hint) else "", shown=f"matches {source}")


def _plain(field: str, value: object) -> Atom:
    if isinstance(value, SigmaNull):
        return Atom(field, "null", shown="is absent")
    if isinstance(value, SigmaBool):
        text = str(value.boolean).lower()
        full = f"{START}{text}{END}" if field else text
        return Atom(field, "text", full, full, shown=f"is {text}")
    if isinstance(value, SigmaTimestampPart):
        part = value.timestamp_part.name.lower()
        return Atom(field, "part", str(value.number), more=part, shown=f"{part} is {value.number}")
    if isinstance(value, SigmaNumber):
        number = str(value.number)
        if not field:
            return Atom(field, "text", number, number, shown=f"contains {number}")
        return Atom(field, "number", number, shown=f"is {number}")
    if isinstance(value, SigmaCompareExpression):
        word, number = value.op.name.lower(), str(value.number.number)
        if isinstance(value.number, SigmaTimestampPart):
            part = value.number.timestamp_part.name.lower()
            return Atom(
                field, "part", number, more=f"{part} {word}", shown=f"{part} {word} {number}"
            )
        return Atom(field, "compare", number, more=word, shown=f"{word} {number}")
    if isinstance(value, SigmaCIDRExpression):
        return Atom(field, "cidr", str(value.network), shown=f"is in {value.network}")
    if isinstance(value, SigmaFieldReference):
        edge = {(0, 0): "", (1, 0): "starts", (0, 1): "ends", (1, 1): "contains"}
        more = edge[value.starts_with, value.ends_with]
        return Atom(field, "ref", value.field, more=more, shown=f"{more or 'is'} {value.field}")
    raise InvalidRule(f"values of kind {type(value).__name__} are not known")
