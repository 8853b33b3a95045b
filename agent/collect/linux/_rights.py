"""Try what the kernel and the rights of this process allow, and undo it at once."""

from collections.abc import Iterator

from agent.collect.linux._touched import Fanotify
from agent.collect.linux.processes import open_source


def rights() -> Iterator[tuple[str, str, str, str]]:
    """Give (what, why not or nothing, what works, what would mend it)."""
    fix = "run as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"
    try:
        source, tried = open_source()
        source.close()
        text = f"seen by {source.name}" + (f"; not by {tried}" if tried else "")
        yield "processes", "", text, fix
    except OSError as wrong:
        yield "processes", str(wrong), "", fix
    fix = "run as root, or with CAP_SYS_ADMIN; without it changes are seen, but not by whom"
    try:
        Fanotify().close()
        yield "files", "", "changes are seen with who made them", fix
    except (OSError, AttributeError) as wrong:
        yield "files", str(wrong), "", fix
