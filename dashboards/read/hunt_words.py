r"""Read the words of a simple hunt and turn them into SQL or into a rule; nothing else gets in.

Words: `field=value`, `field!=value`, `field~part`, `field!~part`, `field>5`, `field<5`, or a bare
word that is looked for in every telling field. A value with spaces stands in double quotes, where
`\"` and `\\` mean themselves. `*` in a value stands for anything. All words must hold.
"""

import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import yaml

from storage.schema.classes import CLASSES
from storage.schema.columns import COLUMNS, UNMAPPED

MOST_WORDS: Final = 20
LONGEST: Final = 1000
SIGNS: Final = ("!=", "!~", "=", "~", ">", "<")
TELLING: Final = (
    "device.hostname",
    "actor.user.name",
    "user.name",
    "process.file.path",
    "process.cmd_line",
    "process.parent_process.file.path",
    "file.path",
    "query.hostname",
    "src_endpoint.ip",
    "dst_endpoint.ip",
    "email.from",
    "email.to",
    "email.subject",
    "document.uid",
    "vendor.uid",
    "vendor.name",
    "customer.name",
    "api.operation",
    "message",
)
"""Where a bare word is looked for."""
_KNOWN: Final = {c.name: str(c.dtype) for c in COLUMNS if c.name != "tenant_id"}
_CLASS: Final = {str(c.class_uid): c.name for c in CLASSES if c.class_uid}
_WORD: Final = re.compile(
    r"""(?:(?P<field>[A-Za-z_][\w.\-]*)(?P<sign>!=|!~|=|~|>|<))?"""
    r"""(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s"]+))""",
    re.DOTALL,
)
_SPECIAL: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Word:
    """One condition; `field` '' looks in every telling field."""

    field: str
    sign: str
    value: str

    def said(self) -> str:
        r"""Write it so that reading gives it again.

        >>> Word("device.hostname", "=", 'a "b"').said()
        'device.hostname="a \\"b\\""'
        """
        quoted = self.value.replace("\\", "\\\\").replace('"', '\\"')
        is_plain = re.fullmatch(r"[^\s\"\\=~<>!]+", self.value) is not None
        return f"{self.field}{self.sign}" + (self.value if is_plain else f'"{quoted}"')


def read_words(text: str) -> list[Word]:
    """Read the words; what is no condition of a known form is a bare word.

    >>> [w.sign for w in read_words('class_uid=1007 process.cmd_line~"-enc " ann')]
    ['=', '~', '~']
    """
    found: list[Word] = []
    for match in _WORD.finditer(text.replace("\x00", "")[:4000]):
        quoted = match["quoted"]
        value = _SPECIAL.sub(r"\1", quoted) if quoted is not None else match["bare"]
        if value and len(found) < MOST_WORDS:
            found.append(Word(match["field"] or "", match["sign"] or "~", value[:LONGEST]))
    return found


def say_words(words: Iterable[Word]) -> str:
    """Write words one after another."""
    return " ".join(
        w.said() if w.field else Word("", "", w.value).said() for w in dict.fromkeys(words)
    )


def unknown_fields(words: Iterable[Word]) -> list[str]:
    """Give the fields that no event can have: neither a column nor a source's own field."""
    return sorted(
        {w.field for w in words if w.field and not w.field.startswith(UNMAPPED)} - set(_KNOWN)
    )


def condition(words: Sequence[Word]) -> str:
    r"""Give the words as an SQL condition: names quoted, values as literals, no other text.

    >>> condition([Word("user.name", "=", "o'neil")])
    '"user.name" = \'o\'\'neil\''
    """
    return " AND ".join(_condition(w) for w in words) or "true"


def _condition(word: Word) -> str:
    if not word.field:
        names = ", ".join(literal(name) for name in TELLING)
        return (
            f"concat_ws(' ', *COLUMNS(lambda c: list_contains([{names}], c))) "
            f"ILIKE {_pattern(word.value)} ESCAPE '\\'"
        )
    name = identifier(word.field)
    text = name if _KNOWN.get(word.field, "String") == "String" else f"CAST({name} AS VARCHAR)"
    if word.sign in {">", "<"}:
        return f"TRY_CAST({name} AS DOUBLE) {word.sign} {_number(word.value)}"
    if word.sign in {"~", "!~"}:
        held = f"coalesce({text}, '') ILIKE {_pattern(word.value)} ESCAPE '\\'"
        return held if word.sign == "~" else f"NOT {held}"
    if "*" in word.value:
        held = f"coalesce({text}, '') ILIKE {_pattern(word.value, is_whole=True)} ESCAPE '\\'"
        return held if word.sign == "=" else f"NOT {held}"
    return f"{text} {'=' if word.sign == '=' else 'IS DISTINCT FROM'} {literal(word.value)}"


def identifier(name: str) -> str:
    """Give a column's name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Give a text as an SQL literal; DuckDB reads no escapes in it but the doubled quote."""
    return "'" + text.replace("\x00", "").replace("'", "''") + "'"


def _pattern(value: str, is_whole: bool = False) -> str:
    safe = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
    return literal(safe if is_whole else f"%{safe}%")


def _number(value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        return "NULL"
    return repr(number) if abs(number) < 1e300 else "NULL"


def sigma_of(words: Sequence[Word], title: str, level: str, author: str, now: datetime) -> str:
    """Give the words as a Sigma rule: a text to read and edit before it is saved.

    A class becomes the log source; every other word a part of the detection, all of them must hold.
    """
    parts: dict[str, Any] = {}
    category = ""
    wanted: list[str] = []
    left_out: list[str] = []
    for word in words:
        if word.field == "class_uid" and word.sign == "=" and word.value in _CLASS:
            category = _CLASS[word.value]
            continue
        name, is_not = f"part_{len(parts) + 1}", word.sign.startswith("!")
        parts[name] = _detection(word)
        (left_out if is_not else wanted).append(name)
    condition_text = " and ".join([*wanted, *(f"not {name}" for name in left_out)])
    rule = {
        "title": title,
        "id": str(uuid.uuid4()),
        "status": "experimental",
        "description": f"Saved from a hunt: {say_words(words)}"[:500],
        "author": author,
        "date": now.date().isoformat(),
        "logsource": {"category": category} if category else {"product": "inopsio"},
        "detection": {**parts, "condition": condition_text},
        "falsepositives": ["Unknown"],
        "level": level,
    }
    return yaml.safe_dump(rule, sort_keys=False, allow_unicode=True, width=100)


def _detection(word: Word) -> object:
    value: object = int(word.value) if word.value.isdecimal() else word.value
    if not word.field:
        return [{f"{name}|contains": word.value} for name in TELLING]
    field = word.field.removeprefix(UNMAPPED)
    if word.sign == ">":
        return {f"{field}|gt": value}
    if word.sign == "<":
        return {f"{field}|lt": value}
    return {f"{field}|contains" if "~" in word.sign else field: value}
