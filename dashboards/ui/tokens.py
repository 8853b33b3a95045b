"""Turn the design's tokens into CSS variables, for light and dark."""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

_FILE: Final = Path(__file__).with_name("tokens.json")


@cache
def tokens() -> dict[str, Any]:
    """Give the tokens as written."""
    found = json.loads(_FILE.read_text(encoding="utf-8"))
    assert isinstance(found, dict)  # noqa: S101  our own file
    return found


def css() -> str:
    """Give the style sheet of variables; the scheme is an attribute of the root element."""
    told = tokens()
    shape = {"space": told["space"], "radius": told["radius"]}
    shape |= {f"type-{name}": value for name, value in told["type"].items()}
    dark = ':root[data-mantine-color-scheme="dark"]'
    return (
        f":root{{color-scheme:light;{_lines(shape)}{_lines(told['light'])}}}"
        f"{dark}{{color-scheme:dark;{_lines(told['dark'])}}}"
    )


def _lines(values: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in values.items())


def contrast(one: str, other: str) -> float:
    """Give the WCAG contrast of two colours, 1 (none) to 21.

    >>> round(contrast("#000000", "#ffffff"), 1)
    21.0
    """
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
