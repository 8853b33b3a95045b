"""Answer a question from a fixed list of tables; there is no other way to ask, and no shell."""

from typing import Final

from agent.act import Host, Refuses, Told
from agent.collect.linux._tables import answer
from agent.questions import Asked, BadQuestion, asked

KIND: Final = "query"


def plan(arguments: Told, _host: Host) -> Told:
    """Say what would be answered."""
    read = _read(arguments)
    return {"table": read.table, "most_rows": read.limit}


def _read(arguments: Told) -> Asked:
    try:
        return asked(arguments)
    except BadQuestion as wrong:
        raise Refuses(str(wrong)) from None


def do(_id: str, arguments: Told, _host: Host) -> Told:
    """Give the rows, as many as were asked for and fit; `is_cut` says that there are more."""
    read = _read(arguments)
    try:
        rows, is_cut = answer(read)
    except OSError as wrong:
        raise Refuses(f"{read.path or read.table}: {wrong.strerror}") from None
    return {"table": read.table, "rows": rows, "is_cut": is_cut}
