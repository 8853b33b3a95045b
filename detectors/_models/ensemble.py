"""Score rows by six measures, each calibrated, their sum calibrated again; learn what is calm.

The measures: mean deviation of the features, what 5 and what 10 main directions leave unexplained,
how empty the place is in half-space trees, how far outside it is to a one-class SVM, how rare the
rarest single feature is. Their surprises (-log p) add up to the score, and each is shared out among
the features, so that shares of features add up to the score too.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from detectors._models.calibration import Calibration
from detectors._models.extremes import Extremes
from detectors._models.gate import Gate
from detectors._models.moments import CUT, Moments, Profile
from detectors._models.one_class import DIRECTIONS, OneClass
from detectors._models.residual import Residual
from detectors._models.trees import HalfSpaceTrees

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
MEASURES: Final = ("deviation", "residual_5", "residual_10", "emptiness", "outside", "rarest")
_HELD_OUT: Final = 0.3
"""Share of the first rows that calibrates instead of being fitted to."""
_LENIENT: Final = 0.25
"""How much stranger than what was judged harmless still is."""
_REFIT: Final = 1_000
"""Rows learned after which the main directions are renewed."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much an ensemble holds: trees, directions, and the calm scores it is calibrated by.

    `single`: weight of the rarest single feature. Five measures look at the whole of a row and say
    much the same; where very rare rows alone are told, one feature must be able to outvote them.
    """

    trees: int = 50
    height: int = 8
    window: int = 1_000
    kept: int = 8_192
    directions: int = DIRECTIONS
    single: float = 1.0


WHOLE: Final = Sizes()


@dataclass(frozen=True, slots=True)
class Scored:
    """Answers for a batch of n rows.

    `score`: (n,), 0 or more, unbounded; `p`: (n,), how rare that score is among calm rows;
    `shares`: (n, features), add up to `score`; `deviations`, `expected`: (n, features).
    """

    score: Floats
    p: Floats
    shares: Floats
    deviations: Floats
    expected: Floats


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the measures of some rows are made of: where each model sees them.

    `measures`: (n,) each; `parts`: what each is made of, feature by feature, (n, features).
    """

    deviations: Floats
    expected: Floats
    sizes: Floats
    leaves: Ints
    waves: Floats
    measures: list[Floats]
    parts: list[Floats]


class Ensemble:
    """The models of one population of rows (a tenant's entities of one class)."""

    def __init__(self, features: int, seed: int = 1, sizes: Sizes = WHOLE) -> None:
        self.sizes = sizes
        self.moments = Moments(features)
        self.profile = Profile(features)
        self.residuals = [Residual(features, 5), Residual(features, 10)]
        self.trees = HalfSpaceTrees.grown(features, sizes.trees, sizes.height, sizes.window, seed)
        self.extremes = Extremes(features)
        self.one_class = OneClass(features, sizes.directions, seed)
        self.calibrations = self._uncalibrated()
        self.whole = Calibration(sizes.kept, unit=1.0, surprises=True)
        self.gate = Gate()
        self.fresh = 0

    @classmethod
    def fitted(
        cls, rows: Floats, hours: Ints | None = None, seed: int = 1, sizes: Sizes = WHOLE
    ) -> Self:
        """Learn from rows (n, features) taken to be calm: most to fit, the rest to calibrate.

        `hours`: hour of the week of each row, where there is one.
        """
        made = cls(rows.shape[1], seed, sizes)
        order = np.random.default_rng(seed).permutation(len(rows))
        held = order[: int(_HELD_OUT * len(rows))]
        fit = order[len(held) :]
        made.moments.learn(rows[fit])
        if hours is not None:
            made.profile.learn(hours[fit], rows[fit], made.moments.mean)
        deviations = made._deviations(rows[fit], None if hours is None else hours[fit])[0]
        for residual in made.residuals:
            residual.learn(deviations)
            residual.refit()
        made.trees.learn(made.trees.leaves(_unit(deviations)))
        made.trees.begin()
        made.one_class.fit(deviations)
        made.extremes.fit(rows[fit])
        made.calibrate(rows[held], None if hours is None else hours[held])
        return made

    def calibrate(self, rows: Floats, hours: Ints | None = None) -> None:
        """Take calm rows that nothing was fitted to as the measure of what is rare.

        The sum of a row's surprises must not be calibrated by surprises that knew the row: each
        half of the rows is held against measures of the other.
        """
        measures = self._seen(rows, hours).measures
        middle = len(rows) // 2
        halves = (slice(None, middle), slice(middle, None))
        for mine, other in (halves, halves[::-1]):
            self.calibrations = self._uncalibrated()
            self._calibrate_measures([m[other] for m in measures])
            self.whole.learn(self._surprises([m[mine] for m in measures]).sum(axis=0))
        self.calibrations = self._uncalibrated()
        self._calibrate_measures(measures)

    def score(self, rows: Floats, hours: Ints | None = None) -> Scored:
        """Score rows and learn nothing."""
        return self._scored(self._seen(rows, hours))

    def score_and_learn(self, rows: Floats, hours: Ints | None = None) -> Scored:
        """Score rows as they come, then learn those that are calm."""
        seen = self._seen(rows, hours)
        scored = self._scored(seen)
        calm, rated = self.gate.admit(scored.p)
        usable = np.isfinite(rated)
        if usable.any():
            # What is rarer than may be learned counts as if it were just not so rare.
            least = np.where(rated > scored.p, rated, 0.0)[usable]
            self._calibrate_measures([measure[usable] for measure in seen.measures], least)
            self.whole.learn(_cut(self.whole, scored.score[usable], least))
            sizes = seen.sizes[usable]
            for row in np.flatnonzero(least).tolist():
                sizes[row] = self.extremes.cut(sizes[row], float(least[row]))
            self.extremes.learn(sizes)
        if calm.any():
            picked = None if hours is None else hours[calm]
            self._learn(rows[calm], seen, np.flatnonzero(calm), picked)
        return scored

    def forgive(self, rows: Floats, hours: Ints | None = None, times: int = 50) -> None:
        """Learn rows that a person judged harmless, as if they had come `times` times.

        Whatever their hour: it was what they did that was harmless, not when. So the features in
        which they were strange may vary more from now on, the others not; and what is a little
        stranger is harmless too.
        """
        again = np.repeat(np.arange(len(rows)), times)
        self._learn(rows[again], self._seen(rows, hours), again, None)
        for residual in self.residuals:
            residual.refit()
        self.extremes.learn((1.0 + _LENIENT) * self.extremes.size(rows[again]))
        more = [m + _LENIENT * np.abs(m) for m in self._seen(rows, hours).measures]
        self._calibrate_measures([np.repeat(measure, times) for measure in more])
        self.whole.learn(np.repeat(self._surprises(more).sum(axis=0), times))

    def _learn(self, rows: Floats, seen: _Seen, picked: Ints, hours: Ints | None) -> None:
        """Learn rows, of which the models have seen those `picked`."""
        if hours is not None:
            self.profile.learn(hours, rows, self.moments.mean)
        self.moments.learn(rows)
        for residual in self.residuals:
            residual.learn(seen.deviations[picked])
        self.trees.learn(seen.leaves[:, picked])
        self.one_class.learn(seen.waves[picked])
        self.fresh += len(rows)
        if self.fresh >= _REFIT:
            self.fresh = 0
            for residual in self.residuals:
                residual.refit()

    def _uncalibrated(self) -> list[Calibration]:
        told = [Calibration(self.sizes.kept) for _ in MEASURES[:-1]]
        return [*told, Calibration(self.sizes.kept, unit=1.0, surprises=True)]

    def _calibrate_measures(self, measures: list[Floats], least: Floats | None = None) -> None:
        for calibration, measure in zip(self.calibrations, measures, strict=True):
            calibration.learn(measure if least is None else _cut(calibration, measure, least))

    def _scored(self, seen: _Seen) -> Scored:
        surprises = self._surprises(seen.measures)
        score = surprises.sum(axis=0)
        shares = np.zeros_like(seen.deviations)
        for surprise, part in zip(surprises, seen.parts, strict=True):
            shares += surprise[:, None] * _portion(part)
        return Scored(score, self.whole.p(score), shares, seen.deviations, seen.expected)

    def _deviations(self, rows: Floats, hours: Ints | None) -> tuple[Floats, Floats]:
        if hours is None:
            expected = np.broadcast_to(self.moments.mean, rows.shape)
        else:
            expected = self.profile.expected(hours, self.moments.mean)
        return self.moments.deviations(rows, expected), expected

    def _seen(self, rows: Floats, hours: Ints | None) -> _Seen:
        deviations, expected = self._deviations(rows, hours)
        leaves = self.trees.leaves(_unit(deviations))
        waves = self.one_class.waves(deviations)
        size = np.abs(deviations)
        left = [residual.parts(deviations) for residual in self.residuals]
        measures = [size.mean(axis=1), *(part.mean(axis=1) for part in left)]
        measures += [self.trees.emptiness(leaves), self.one_class.strangeness(waves)]
        sizes = self.extremes.size(rows)
        rarity, rarest = self.extremes.rarity(sizes)
        measures.append(rarity)
        # What arithmetic leaves behind the sixth digit must not be told apart.
        rounded = [np.round(measure, 6) for measure in measures]
        # Of squares the distances are made that the one-class machine sees.
        parts = [size, *left, size, size**2, np.eye(rows.shape[1])[rarest]]
        return _Seen(deviations, expected, sizes, leaves, waves, rounded, parts)

    def _surprises(self, measures: list[Floats]) -> Floats:
        """Give -log p of each measure, weighed: (measures, n)."""
        told = zip(self.calibrations, measures, strict=True)
        surprises = np.stack([-np.log(calibration.p(measure)) for calibration, measure in told])
        surprises[-1] *= self.sizes.single
        return surprises


def _cut(calibration: Calibration, scores: Floats, least: Floats) -> Floats:
    """Cut scores down to those whose p is `least`, where that is not 0."""
    told = scores.copy()
    for row in np.flatnonzero(least).tolist():
        told[row] = min(told[row], calibration.score_at(float(least[row])))
    return told


def _unit(deviations: Floats) -> Floats:
    """Bring deviations into [0, 1], where the trees live."""
    return np.asarray(deviations / (2.0 * CUT) + 0.5)


def _portion(parts: Floats) -> Floats:
    """Give each feature's portion of its row; equal ones where there is nothing to tell apart."""
    total = parts.sum(axis=1, keepdims=True)
    features = parts.shape[1]
    return np.where(total > 0.0, parts / np.where(total > 0.0, total, 1.0), 1.0 / features)
