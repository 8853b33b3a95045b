"""Hold the models to what they promise: river's answers, shares that add up, rates that hold."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river.anomaly import HalfSpaceTrees as RiverTrees
from river.anomaly import OneClassSVM
from river.optim import SGD

from detectors._models.calibration import Calibration
from detectors._models.edges import Bursts
from detectors._models.ensemble import Ensemble, Sizes
from detectors._models.extremes import Extremes
from detectors._models.gate import CALM, Gate
from detectors._models.keep import ensemble_of, numbers_of
from detectors._models.moments import Moments, Profile
from detectors._models.one_class import OneClass
from detectors._models.residual import Residual
from detectors._models.trees import HalfSpaceTrees

Floats = npt.NDArray[np.float64]
SEEDS = st.integers(0, 2**31)


def calm_rows(seed: int, count: int, features: int = 6) -> Floats:
    """Give rows of features that hang together: two hidden causes and some noise."""
    draw = np.random.default_rng(seed)
    ways = np.random.default_rng(7).normal(size=(2, features))
    return draw.normal(size=(count, 2)) @ ways + 0.3 * draw.normal(size=(count, features))


def of_river(river: RiverTrees) -> HalfSpaceTrees:
    """Give the same trees as arrays."""
    trees, inner = river.n_trees, 2**river.height - 1
    feature, threshold = np.zeros((trees, inner), np.int64), np.zeros((trees, inner))
    for number, root in enumerate(river.trees):
        waiting = [(0, root)]
        while waiting:
            place, node = waiting.pop()
            if place < inner:
                feature[number, place], threshold[number, place] = node.feature, node.threshold
                waiting += [(2 * place + 1 + n, child) for n, child in enumerate(node.children)]
    return HalfSpaceTrees(feature, threshold, river.window_size)


@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, window=st.sampled_from([20, 50]), batch=st.sampled_from([10, 25, 50]))
def test_trees_answer_as_rivers_do_on_the_same_trees(seed: int, window: int, batch: int) -> None:
    rows = np.random.default_rng(seed).beta(2, 3, size=(300, 4))
    river = RiverTrees(n_trees=5, height=5, window_size=window, seed=seed)
    river.learn_one(dict(enumerate(rows[0].tolist())))
    ours = of_river(river)
    ours.learn(ours.leaves(rows[:1]))
    for row in rows[1:200]:
        river.learn_one(dict(enumerate(row.tolist())))
    for begin in range(1, 200, batch):
        ours.learn(ours.leaves(rows[begin : min(begin + batch, 200)]))
    highest = river._max_score
    theirs = [highest * (1.0 - river.score_one(dict(enumerate(r.tolist())))) for r in rows[200:]]
    assert ours.masses(ours.leaves(rows[200:])) == pytest.approx(np.array(theirs), abs=1e-6)


@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, step=st.sampled_from([1, 7, 60]), nu=st.sampled_from([0.05, 0.3]))
def test_the_one_class_machine_answers_as_rivers_does_on_the_same_waves(
    seed: int, step: int, nu: float
) -> None:
    ours = OneClass(6, 5, seed=seed, nu=nu, rate=0.05)
    river = OneClassSVM(nu=nu, optimizer=SGD(0.05), intercept_lr=0.05)
    waves = ours.waves(calm_rows(seed, 180))
    ours.learn(waves, step)
    for begin in range(0, 180, step):
        rows = waves[begin : begin + step]
        if step == 1:
            river.learn_one(dict(enumerate(rows[0].tolist())))
        else:
            river.learn_many(pl.DataFrame(rows, schema=[str(n) for n in range(10)], orient="row"))
    key = int if step == 1 else str
    theirs = [river.score_one({key(n): v for n, v in enumerate(r)}) for r in waves.tolist()]
    assert ours.strangeness(waves) == pytest.approx(-np.array(theirs), abs=1e-4)
    learned = [river.weights[key(n)] for n in range(10)]
    assert [*ours.weights, ours.bias] == pytest.approx([*learned, river.intercept], abs=1e-9)
    assert np.abs(learned).max() > 1e-4


def test_the_one_class_machine_sees_a_hole_in_the_middle() -> None:
    draw = np.random.default_rng(2)
    angle = draw.uniform(0.0, 2.0 * np.pi, 3000)
    ring = 3.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    model = OneClass(2)
    model.fit(ring + 0.2 * draw.normal(size=ring.shape))
    on_it, inside, outside = model.strangeness(model.waves(np.array([[3.0, 0], [0, 0], [9, 0]])))
    assert on_it < min(inside, outside) - 0.05


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_shares_of_features_add_up_to_the_score(seed: int) -> None:
    model = Ensemble.fitted(calm_rows(seed, 900), seed=3)
    odd = calm_rows(seed + 1, 40)
    odd[::4, seed % 6] += 9.0
    told = model.score(odd)
    assert told.shares.sum(axis=1) == pytest.approx(told.score, rel=1e-9)
    assert (told.shares >= 0.0).all()
    assert np.isfinite(told.score).all()
    assert (told.shares[::4].argmax(axis=1) == seed % 6).mean() > 0.8


def test_what_is_asked_is_what_comes_among_calm_rows() -> None:
    rates = []
    for seed in range(24):
        model = Ensemble.fitted(calm_rows(1000 + seed, 3000), seed=seed)
        p = model.score(calm_rows(seed + 99, 3000)).p
        rates.append([(p <= asked).mean() for asked in (0.05, 0.01)])
    assert np.mean(rates, axis=0) == pytest.approx([0.05, 0.01], rel=0.25)


def test_a_p_value_never_ties_and_never_reaches_zero() -> None:
    calibration = Calibration(100)
    assert calibration.p(np.array([3.0])).tolist() == [1.0]
    calibration.learn(np.linspace(0.0, 1.0, 100))
    p = calibration.p(np.array([0.5, 1.0, 1.1, 2.0, 1e9, 1e300]))
    assert (np.diff(p) < 0.0).all()
    assert p[-1] > 0.0
    assert calibration.score_at(0.05) == pytest.approx(0.96, abs=0.02)


@given(SEEDS, st.integers(1, 60))
def test_moments_are_the_same_however_rows_are_cut(seed: int, cut: int) -> None:
    rows = np.random.default_rng(seed).normal(3.0, 2.0, size=(61, 3))
    whole, parts = Moments(3, memory=1e12), Moments(3, memory=1e12)
    whole.learn(rows)
    parts.learn(rows[:cut])
    parts.learn(rows[cut:])
    assert whole.mean == pytest.approx(rows.mean(axis=0))
    assert parts.mean == pytest.approx(whole.mean)
    assert parts.square == pytest.approx(whole.square)


def test_an_hour_that_is_always_busy_is_not_strange() -> None:
    hours = np.tile(np.arange(168), 30)
    rows = np.where(hours == 9, 50.0, 10.0)[:, None] + np.zeros((1, 2))
    moments, profile = Moments.fitted(rows), Profile(2)
    profile.learn(hours, rows, moments.mean)
    at = np.array([9, 10])
    busy = np.array([[50.0, 50.0], [50.0, 50.0]])
    told = np.abs(moments.deviations(busy, profile.expected(at, moments.mean)))[:, 0]
    assert told[0] < 0.6 * told[1]


def test_a_residual_sees_a_broken_relation_that_no_feature_shows_alone() -> None:
    draw = np.random.default_rng(5)
    cause = draw.normal(size=(4000, 1))
    rows = np.hstack([cause, cause, cause]) + 0.05 * draw.normal(size=(4000, 3))
    model = Residual.fitted(rows, 1)
    usual, broken = model.parts(np.array([[1.0, 1.0, 1.0], [1.0, -1.0, 1.0]])).sum(axis=1)
    assert broken > 10 * usual


@pytest.mark.parametrize("asked", [0.01, 0.001])
def test_the_asked_rate_holds_while_calm_rows_are_learned_for_long(asked: float) -> None:
    rates = []
    for seed in range(3):
        draw = np.random.default_rng(seed)
        rows = calm_rows(seed, 41_000, 4) + draw.standard_t(3, size=(41_000, 4))
        model = Ensemble.fitted(rows[:1000], seed=seed, sizes=Sizes(10, 5, 250, 1024, 16, 3.0))
        told = [model.score_and_learn(rows[n : n + 500]).p for n in range(1000, 41_000, 500)]
        rates.append([(np.concatenate(half) <= asked).mean() for half in (told[:40], told[40:])])
    early, late = np.mean(rates, axis=0)
    assert early < 2.0 * asked
    assert late < 1.5 * asked
    assert early > 0.2 * asked


def test_an_attack_raises_the_bar_by_no_more_than_its_level_allows() -> None:
    model = Ensemble.fitted(calm_rows(1, 3000), seed=1)
    for seed in range(20):
        model.score_and_learn(calm_rows(50 + seed, 500))
    attack = calm_rows(2, 1) + 8.0
    first = model.score(attack).p[0]
    for seed in range(20):
        rows = calm_rows(90 + seed, 500)
        rows[:20] = attack
        model.score_and_learn(rows)
    assert first < 1e-5
    assert model.score(attack).p[0] < 1e-3


def test_a_spike_of_one_feature_is_seen_and_its_share_is_that_features() -> None:
    draw = np.random.default_rng(8)
    rows = np.hstack([calm_rows(4, 3000, 11), np.log1p(draw.poisson(0.02, (3000, 1)))])
    model = Ensemble.fitted(rows, seed=1, sizes=Sizes(single=3.0))
    spike = np.hstack([calm_rows(5, 50, 11), np.full((50, 1), np.log1p(200.0))])
    told = model.score(spike)
    assert (told.p < 1e-4).mean() > 0.9
    assert (told.shares.argmax(axis=1) == 11).all()
    assert (told.shares[:, 11] > 0.5 * told.score).all()


def test_only_the_highest_are_kept_and_the_old_go() -> None:
    extremes = Extremes(1, memory=1_000)
    extremes.learn(np.arange(300.0)[:, None])
    assert extremes.sizes[0].tolist() == [float(n) for n in range(236, 300)]
    high, low = (extremes.rarity(np.array([[size]]))[0][0] for size in (299.0, 100.0))
    assert high == pytest.approx(np.log(301 / 2))
    assert low == 0.0
    beyond = extremes.rarity(np.array([[400.0], [500.0]]))[0]
    assert high < beyond[0] < beyond[1]
    extremes.learn(np.zeros((1_000, 1)))
    extremes.learn(np.full((1, 1), 300.0))
    assert extremes.sizes[0, -2:].tolist() == [-np.inf, 300.0]


def test_who_attacks_does_not_teach_what_is_usual() -> None:
    model = Ensemble.fitted(calm_rows(1, 3000), seed=1)
    attack = calm_rows(2, 500) + 6.0
    first = model.score_and_learn(attack[:100])
    for begin in range(100, 500, 100):
        last = model.score_and_learn(attack[begin : begin + 100])
    assert (first.p <= CALM).mean() > 0.95
    assert (last.p <= CALM).mean() > 0.95


def test_a_drift_opens_the_gate_for_a_bounded_time_only() -> None:
    gate = Gate(relearn=100, rest=10_000)
    draw = np.random.default_rng(3)
    for _ in range(60):
        gate.admit(draw.uniform(size=50))
    assert gate.left == 0
    odd = draw.uniform(0.002, 0.04, size=50)
    learned = [int(gate.admit(odd)[0].sum()) for _ in range(120)]
    assert 100 <= sum(learned) <= 150
    assert sum(learned[-60:]) == 0


def test_what_a_person_cleared_is_not_strange_any_more() -> None:
    model = Ensemble.fitted(calm_rows(1, 3000), seed=1)
    odd = calm_rows(9, 1) + np.array([[0.0, 7.0, 0.0, 0.0, 0.0, 0.0]])
    before = model.score(odd).p[0]
    other = calm_rows(9, 1) - np.array([[0.0, 0.0, 0.0, 9.0, 0.0, 0.0]])
    was = model.score(other).p[0]
    model.forgive(odd)
    assert before < 0.01 < model.score(odd).p[0]
    assert model.score(other).p[0] < 0.02
    assert was < 0.01


def test_a_flood_stands_out_of_its_minute_whichever_way_it_comes() -> None:
    draw = np.random.default_rng(4)
    sources, destinations = draw.integers(0, 300, 20_000), draw.integers(300, 600, 20_000)
    ticks = np.sort(draw.integers(1, 500, 20_000))
    model = Bursts()
    usual = model.score_and_learn(sources, destinations, ticks)
    flood = model.score_and_learn(
        np.concatenate([draw.integers(10_000, 20_000, 400), np.array([7, 8])]),
        np.concatenate([np.full(400, 301), np.array([400, 401])]),
        np.full(402, 500),
    )
    assert flood[:400].min() > usual.max() * 2
    assert flood[400:].max() < usual.max()


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.lists(st.integers(2, 39), max_size=6))
def test_bursts_are_the_same_however_minutes_are_cut(seed: int, cuts: list[int]) -> None:
    draw = np.random.default_rng(seed)
    sources, destinations = draw.integers(0, 20, 2000), draw.integers(0, 20, 2000)
    ticks = np.sort(draw.integers(1, 40, 2000))
    whole = Bursts().score_and_learn(sources, destinations, ticks)
    model, bounds = Bursts(), [0, *np.searchsorted(ticks, sorted(set(cuts))).tolist(), 2000]
    parts = [
        model.score_and_learn(sources[a:b], destinations[a:b], ticks[a:b])
        for a, b in pairwise(bounds)
    ]
    assert np.concatenate(parts) == pytest.approx(whole)


def test_a_model_read_again_answers_and_learns_as_before() -> None:
    hours = np.arange(900) % 168
    model = Ensemble.fitted(calm_rows(5, 900), hours, sizes=Sizes(10, 5, 100, 256))
    model.score_and_learn(calm_rows(6, 130), hours[:130])
    again = ensemble_of(numbers_of(model))
    for seed in (7, 8):
        first, second = (m.score_and_learn(calm_rows(seed, 90), hours[:90]) for m in (model, again))
        assert first.score.tolist() == second.score.tolist()
        assert first.p.tolist() == second.p.tolist()
    kept, other = numbers_of(model), numbers_of(again)
    assert all(np.array_equal(kept[part], other[part]) for part in kept)
