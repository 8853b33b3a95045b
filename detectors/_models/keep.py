"""Write an ensemble down as named rows of numbers, and read it again: state without pickle."""

from collections.abc import Mapping
from dataclasses import astuple
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors._models.calibration import Calibration
from detectors._models.ensemble import MEASURES, Ensemble, Sizes
from detectors._models.extremes import PEAKS, Extremes
from detectors._models.gate import LEVELS
from detectors._models.trees import HalfSpaceTrees

Floats = npt.NDArray[np.float64]
_SHAPE: Final = "shape"


def numbers_of(model: Ensemble) -> dict[str, Floats]:
    """Give everything the model knows: part -> its numbers in one row."""
    gate, sizes = model.gate, model.sizes
    told: dict[str, Any] = {
        _SHAPE: [len(model.moments.mean), *astuple(sizes)],
        "moments": np.concatenate(
            [[model.moments.weight], model.moments.mean, model.moments.square]
        ),
        "profile": np.concatenate([model.profile.weight, model.profile.sums.ravel()]),
        "split": np.concatenate(
            [model.trees.feature.ravel().astype(float), model.trees.threshold.ravel()]
        ),
        "masses": np.concatenate(
            [[model.trees.seen], model.trees.reference.ravel(), model.trees.latest.ravel()]
        ),
        "directions": model.one_class.directions,
        "extremes": _written(model.extremes),
        "outside": np.concatenate([[model.one_class.bias], model.one_class.weights]),
        "gate": [gate.left, gate.resting, gate.tail, *gate.tokens, *gate.levels],
        "fresh": [model.fresh],
    }
    for number, residual in enumerate(model.residuals):
        told[f"residual_{number}"] = np.concatenate(
            [[residual.weight], residual.second.ravel(), residual.axes.ravel()]
        )
    for name, calibration in _named(model):
        head = [calibration.seen, calibration.floor, len(calibration.kept)]
        told[name] = np.concatenate([head, calibration.kept, calibration.peaks.ravel()])
    return {part: np.asarray(numbers, np.float64).ravel() for part, numbers in told.items()}


def ensemble_of(numbers: Mapping[str, Floats]) -> Ensemble:
    """Give the model that wrote these numbers; it answers as that one did."""
    features, trees, height, window, kept, directions = (int(n) for n in numbers[_SHAPE][:6])
    sizes = Sizes(trees, height, window, kept, directions, float(numbers[_SHAPE][6]))
    model = Ensemble(features, sizes=sizes)
    moments, profile = numbers["moments"], numbers["profile"]
    model.moments.weight = float(moments[0])
    model.moments.mean, model.moments.square = np.split(moments[1:].copy(), 2)
    model.profile.weight = profile[:168].copy()
    model.profile.sums = profile[168:].reshape(168, features).copy()
    _read_trees(model, numbers)
    model.one_class.directions = numbers["directions"].reshape(features, -1).copy()
    model.extremes = _extremes(numbers["extremes"], features)
    model.one_class.bias = float(numbers["outside"][0])
    model.one_class.weights = numbers["outside"][1:].copy()
    for number, residual in enumerate(model.residuals):
        told = numbers[f"residual_{number}"]
        residual.weight = float(told[0])
        residual.second = told[1 : 1 + features**2].reshape(features, features).copy()
        residual.axes = told[1 + features**2 :].reshape(features, -1).copy()
    for name, calibration in _named(model):
        seen, lowest, count = numbers[name][:3].tolist()
        scores, peaks = np.split(numbers[name][3:].copy(), [int(count)])
        calibration.restore(scores, peaks.reshape(-1, 2), lowest, int(seen))
    left, resting, model.gate.tail, *rest = numbers["gate"].tolist()
    model.gate.left, model.gate.resting = int(left), int(resting)
    model.gate.tokens, model.gate.levels = rest[: len(LEVELS)], rest[len(LEVELS) :]
    model.fresh = int(numbers["fresh"][0])
    return model


def _written(extremes: Extremes) -> Floats:
    parts = (extremes.middle, extremes.spread, extremes.floor, extremes.sizes, extremes.places)
    return np.concatenate([[extremes.seen], *(part.ravel() for part in parts)])


def _extremes(numbers: Floats, features: int) -> Extremes:
    made = Extremes(features)
    made.seen = int(numbers[0])
    parts = np.split(numbers[1:].copy(), np.cumsum([features] * 3 + [features * PEAKS]))
    made.middle, made.spread, made.floor = parts[:3]
    made.sizes, made.places = (part.reshape(features, PEAKS) for part in parts[3:])
    return made


def _named(model: Ensemble) -> list[tuple[str, Calibration]]:
    return [
        ("whole", model.whole),
        *((f"calibration_{n}", c) for n, c in zip(MEASURES, model.calibrations, strict=True)),
    ]


def _read_trees(model: Ensemble, numbers: Mapping[str, Floats]) -> None:
    old = model.trees
    feature, threshold = np.split(numbers["split"], 2)
    trees = HalfSpaceTrees(
        feature.astype(np.int64).reshape(old.feature.shape),
        threshold.reshape(old.threshold.shape).copy(),
        old.window,
    )
    masses = numbers["masses"].astype(np.int64)
    reference, latest = (part.reshape(old.reference.shape) for part in np.split(masses[1:], 2))
    trees.hold(reference, latest, int(masses[0]))
    model.trees = trees
