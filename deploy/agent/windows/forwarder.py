"""Make `python3.dll`, which packages of the stable ABI ask for: it hands on to the real one.

What the jar lacks is written anew from the list of names in its `python3.lib`.
"""

import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_HEAD: Final = 60
"""Bytes before each member of an archive; the first member begins behind its 8 letters."""
_SHORT: Final = b"\0\0\xff\xff"
"""How an import object begins that is nothing but a name (PE format, "Import Library Format")."""
_IS_DATA: Final = 1
TOOL: Final = "x86_64-w64-mingw32-"


def names(library: bytes) -> Iterator[tuple[str, bool]]:
    r"""Give each name in an import library, and whether it is a variable.

    >>> member = _SHORT + bytes(14) + bytes([_IS_DATA, 0]) + b"Py_None" + bytes(1)
    >>> head = b"x/".ljust(48) + str(len(member)).encode().ljust(10) + b"`\n"
    >>> list(names(b"!<arch>\n" + head + member))
    [('Py_None', True)]
    """
    place = 8
    while place + _HEAD <= len(library):
        size = int(library[place + 48 : place + 58])
        body = library[place + _HEAD : place + _HEAD + size]
        if body.startswith(_SHORT):
            (kind,) = struct.unpack_from("<H", body, 18)
            yield body[20:].split(b"\0", 1)[0].decode("ascii"), (kind & 3) == _IS_DATA
        place += _HEAD + size + size % 2


def write(library: Path, real: str, out: Path) -> None:
    """Write the library that hands every name on to `real` (a name without `.dll`)."""
    lines = [
        f"  {name} = {real}.{name}{' DATA' if is_data else ''}"
        for name, is_data in sorted(names(library.read_bytes()))
    ]
    spoken = out.with_suffix(".def")
    spoken.write_text(f"LIBRARY {out.name}\nEXPORTS\n" + "\n".join(lines) + "\n", encoding="ascii")
    table = out.with_suffix(".exp")
    _run("dlltool", "-d", str(spoken), "-D", out.name, "-e", str(table))
    words = ["-shared", "-e", "0", "--dynamicbase", "--nxcompat", "-s", "-o", str(out)]
    _run("ld", *words, str(table))
    spoken.unlink()
    table.unlink()


def _run(tool: str, *words: str) -> None:
    subprocess.run([TOOL + tool, *words], check=True)
