"""Turn windows into features for the ensemble, and scores into reasons that a person reads."""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._models.ensemble import Scored
from detectors._models.features import BITS, WORDS, how_many, how_many_new, words_of
from detectors._models.spans import COUNTS, NEW, SHARE, THINGS, WORDS_OF, Span
from storage.schema import Reason

Floats = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]
SHOWN: Final = 3
_LEAST: Final = 1.0
"""Deviations below which a feature is no reason."""
_OF_ALL: Final = ("lone_", "foreign_")


def words_in(windows: pl.DataFrame) -> Words:
    """Give the bitmaps of what is told from before, side by side: (n, things x WORDS)."""
    return windows.select([c for name in THINGS for c in words_of(name)]).to_numpy()


def steady(windows: pl.DataFrame, span: Span) -> Floats:
    """Give the logs of those features of windows that do not depend on what was seen before."""
    told = []
    for name in span.features:
        if name in COUNTS:
            told.append(np.log1p(windows[name].to_numpy().astype(np.float64)))
        elif name == SHARE:
            sent, got = (
                windows[n].to_numpy().astype(np.float64) for n in ("bytes_out", "bytes_in")
            )
            told.append(sent / np.maximum(sent + got, 1.0))
        elif not name.startswith(NEW):
            told.append(np.log1p(how_many(windows.select(words_of(name)).to_numpy())))
    return np.stack(told, axis=1)


def novelty(words: Words, seen: Words, span: Span) -> Floats:
    """Give the logs of how many things are new, kind by kind: (n, kinds that the span looks at)."""
    told = [
        how_many_new(_of(words, place), _of(seen, place))
        for place, name in enumerate(THINGS)
        if NEW + name in span.features
    ]
    return np.log1p(np.stack(told, axis=1))


def _of(words: Words, place: int) -> Words:
    return words[:, place * WORDS : (place + 1) * WORDS]


def rises(scored: Scored, place: int, span: Span) -> str | None:
    """Give the feature that adds most to a row's score, if it is above its usual; else None."""
    told = _told(scored, place, span)
    name = max(told, key=lambda n: told[n][0])
    return name if told[name][1] > _LEAST else None


def _told(scored: Scored, place: int, span: Span) -> dict[str, tuple[float, float, str]]:
    """Give each feature's share of the score, its larger deviation, and whose usual that is of.

    The ensemble sees each feature twice: as it differs from the entity's own, and as it is.
    """
    half = len(span.features)
    told = {}
    for column, name in enumerate(span.features):
        shares = scored.shares[place, [column, column + half]]
        own, peers = scored.deviations[place, [column, column + half]].tolist()
        level, most = ("self", own) if abs(own) >= abs(peers) else ("peers", peers)
        told[name] = (float(shares.sum()), most, "tenant" if name.startswith(_OF_ALL) else level)
    return told


def reasons(
    window: Mapping[str, Any], usual: Floats, windows: int, scored: Scored, place: int, span: Span
) -> tuple[Reason, ...]:
    """Give the three features that add most, with value, usual, p and whose usual it is.

    `usual`: the entity's usual logs (features,), from `windows` of its own. The weights are shares
    of the whole score: those of all features add up to 1.
    """
    told = _told(scored, place, span)
    best = sorted(told, key=lambda name: -told[name][0])[:SHOWN]
    total = max(float(scored.score[place]), 1e-12)
    return tuple(
        Reason(
            WORDS_OF[name],
            _value(window, name),
            _expected(name, told[name], float(usual[span.features.index(name)]), windows, span),
            round(told[name][0] / total, 4),
        )
        for name in best
    )


def _value(window: Mapping[str, Any], name: str) -> str:
    if name in COUNTS:
        return f"{int(window[name]):,}"
    if name == SHARE:
        sent, got = int(window["bytes_out"]), int(window["bytes_in"])
        return f"{100 * sent / max(sent + got, 1):.0f} %"
    bits = sum(int(window[word]).bit_count() for word in words_of(name.removeprefix(NEW)))
    some = f"about {BITS * math.log(BITS / max(BITS - bits, 0.5)):.0f}"
    return f"some of {some}" if name.startswith(NEW) else some


def _expected(
    name: str, told: tuple[float, float, str], usual: float, windows: int, span: Span
) -> str:
    _, deviation, level = told
    amount = f"{100 * usual:.0f} %" if name == SHARE else f"{math.expm1(usual):.1f}"
    p = math.erfc(abs(deviation) / math.sqrt(2.0))
    whose = {
        "self": f"itself, over {windows} windows",
        "peers": "its peers",
        "tenant": "everybody in the house",
    }[level]
    return f"about {amount} in {span.per}; p {p:.1g} against {whose}"
