"""The figures against SciPy, plain loops and known answers."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import optimize, special, stats

from halfsight import statistics as hst

CORRELATIONS = {
    hst.plcc: lambda x, y: stats.pearsonr(x, y).statistic,
    hst.srocc: lambda x, y: stats.spearmanr(x, y).statistic,
    hst.krocc: lambda x, y: stats.kendalltau(x, y).statistic,
}
FIGURES = {**CORRELATIONS, hst.rmse: lambda x, y: math.sqrt(sum((x - y) ** 2) / len(x))}


def name_of(function) -> str:
    return function.__name__


def quality_like(n: int = 200, *, noise: float = 6.0, seed: int = 0):
    """Scores in 1..5 and the MOS in 0..100 they predict through a logistic."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(1, 5, n)
    mos = 10 + 80 * special.expit((scores - 3.2) / 0.6) + rng.normal(0, noise, n)
    return scores, mos


@st.composite
def pairs(draw):
    n = draw(st.integers(3, 30))
    # whole numbers: ties are common and rounding never makes a constant look otherwise
    whole = st.integers(-50, 50)
    return draw(hnp.arrays(np.int64, n, elements=whole)), draw(
        hnp.arrays(np.int64, n, elements=whole)
    )


# ---- correlations and error


@settings(deadline=None)
@given(pairs())
@pytest.mark.parametrize("figure", FIGURES, ids=name_of)
def test_figures_equal_scipy_with_ties(figure, pair):
    x, y = pair
    assume(np.ptp(x) and np.ptp(y))
    assert figure(x, y) == pytest.approx(FIGURES[figure](x, y), abs=1e-10)


@pytest.mark.parametrize("figure", FIGURES, ids=name_of)
def test_figures_equal_scipy_on_quality_scores(figure):
    x, y = quality_like(500)
    assert figure(x, y) == pytest.approx(FIGURES[figure](x, y), abs=1e-12)
    assert isinstance(figure(x, y), float)


@pytest.mark.parametrize("figure", CORRELATIONS, ids=name_of)
def test_constant_input_gives_nan_without_a_warning(figure):
    flat, rising = np.full(7, 0.1), np.arange(7.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(figure(flat, rising))
        assert math.isnan(figure(rising, flat))
        assert math.isnan(figure(flat, flat))


@settings(deadline=None)
@given(pairs(), st.floats(0.01, 100), st.floats(-100, 100))
def test_correlations_ignore_scale_and_follow_sign(pair, scale, shift):
    x, y = pair
    assume(np.ptp(x) and np.ptp(y))
    for figure in (hst.plcc, hst.krocc, hst.srocc):
        before = figure(x, y)
        assert -1 <= before <= 1
        assert figure(y, x) == pytest.approx(before, abs=1e-9)
        assert figure(-x, y) == pytest.approx(-before, abs=1e-9)
    assert hst.plcc(scale * x + shift, y) == pytest.approx(hst.plcc(x, y), abs=1e-6)
    assert hst.srocc(x.astype(float) ** 3, y) == pytest.approx(hst.srocc(x, y), abs=1e-9)


def test_plcc_of_huge_and_tiny_numbers():
    x, y = quality_like(50)
    expected = hst.plcc(x, y)
    assert hst.plcc(x * 1e200, y * 1e-200) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("figure", FIGURES, ids=name_of)
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2, 3], [1, 2], r"got arrays of shapes \[\(3,\), \(2,\)\]"),
        ([1, 2], [1, 2], r"n >= 3"),
        ([[1, 2, 3]], [[1, 2, 3]], r"\(1, 3\)"),
        (3.0, 3.0, r"got arrays of shapes \[\(\), \(\)\]"),
        ([1, math.nan, 3], [1, 2, 3], "got nan at row 1 of the first array"),
        ([1, 2, 3, 4], [1, 2, math.inf, -math.inf], r"inf at row 2 of the second array \(2 such"),
    ],
)
def test_errors_say_what_was_got(figure, x, y, message):
    with pytest.raises(hst.StatisticsError, match=message):
        figure(x, y)


# ---- the logistic


@pytest.mark.parametrize("parameters", [4, 5])
@pytest.mark.parametrize("sign", [1, -1], ids=["rising", "falling"])
@pytest.mark.parametrize("width", [0.1, 0.6, 3.0])
def test_fit_recovers_a_logistic(sign, width, parameters):
    scores = np.random.default_rng(1).uniform(1, 5, 150)
    mos = 10 + 80 * special.expit(sign * (scores - 3.2) / width)
    fitted = hst.vqeg_fit(scores, mos, parameters=parameters)
    np.testing.assert_allclose(fitted, mos, atol=0.02)


def test_fit_is_as_good_as_curve_fit_from_the_true_parameters():
    scores, mos = quality_like()

    def published(s, b1, b2, b3, b4):
        return b2 + (b1 - b2) / (1 + np.exp(-(s - b3) / np.abs(b4)))

    best, _ = optimize.curve_fit(published, scores, mos, p0=(90, 10, 3.2, 0.6))
    np.testing.assert_allclose(hst.vqeg_fit(scores, mos), published(scores, *best), atol=0.02)


def test_five_parameter_fit_is_as_good_as_curve_fit():
    scores, mos = quality_like()
    mos = mos + 5 * scores

    def published(s, b1, b2, b3, b4, b5):
        return b1 * (0.5 - 1 / (1 + np.exp(b2 * (s - b3)))) + b4 * s + b5

    best, _ = optimize.curve_fit(published, scores, mos, p0=(80, 1 / 0.6, 3.2, 5, 50))
    ours = hst.rmse(hst.vqeg_fit(scores, mos, parameters=5), mos)
    assert ours == pytest.approx(hst.rmse(published(scores, *best), mos), abs=1e-4)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([1e-3, 1.0, 1e3]), st.sampled_from([-1, 1]))
def test_fit_is_monotonic_and_no_worse_than_a_line(seed, unit, sign):
    scores, mos = quality_like(60, noise=25, seed=seed)
    scores = sign * unit * scores
    fitted = hst.vqeg_fit(scores, mos)
    steps = np.diff(fitted[np.argsort(scores)])
    assert (sign * steps >= -1e-6).all()
    line = np.polyval(np.polyfit(scores, mos, 1), scores)
    assert hst.rmse(fitted, mos) <= hst.rmse(line, mos) * 1.001


def test_fit_of_a_straight_line_and_of_a_step():
    scores = np.linspace(-3, 3, 40)
    np.testing.assert_allclose(hst.vqeg_fit(scores, 7 - 2 * scores), 7 - 2 * scores, atol=0.01)
    step = np.where(scores > 0, 90.0, 20.0)
    # the steepest logistic still takes 1/100 of a standard deviation
    np.testing.assert_allclose(hst.vqeg_fit(scores, step), step, atol=1)


def test_fit_does_not_care_about_units():
    scores, mos = quality_like()
    fitted = hst.vqeg_fit(scores, mos)
    np.testing.assert_allclose(hst.vqeg_fit(1e4 * scores - 7, mos), fitted, atol=1e-2)
    np.testing.assert_allclose(hst.vqeg_fit(scores, mos / 25), fitted / 25, atol=1e-3)


def test_fit_errors():
    scores, mos = quality_like(20)
    with pytest.raises(hst.FitError, match="got constant scores"):
        hst.vqeg_fit(np.ones(20), mos)
    with pytest.raises(hst.FitError, match="got constant mos"):
        hst.vqeg_fit(scores, np.full(20, 3))
    with pytest.raises(hst.StatisticsError, match="got 3 parameters, expected 4 or 5"):
        hst.vqeg_fit(scores, mos, parameters=3)
    with pytest.raises(hst.StatisticsError, match="got nan at row 0"):
        hst.vqeg_fit(np.full(20, math.nan), mos)


def test_fit_that_does_not_converge_says_so(monkeypatch):
    solve = optimize.least_squares
    monkeypatch.setattr(
        optimize, "least_squares", lambda *args, **options: solve(*args, **options, max_nfev=1)
    )
    with pytest.raises(hst.FitError, match="4-parameter logistic did not converge on 200 scores"):
        hst.vqeg_fit(*quality_like())


# ---- bootstrap


@pytest.mark.parametrize("figure", [hst.plcc, hst.srocc, hst.rmse], ids=name_of)
@pytest.mark.parametrize("tied", [False, True])
def test_batched_bootstrap_equals_the_loop(figure, tied, monkeypatch):
    x, y = quality_like(40)
    if tied:
        x, y = np.round(x), np.round(y, -1)
    # batches of 7 resamples, so that several are joined
    monkeypatch.setattr(hst, "BATCH_NUMBERS", 7 * 40)
    batched = hst.bootstrap_interval(figure, x, y, resamples=100, seed=3)
    looped = hst.bootstrap_interval(lambda a, b: figure(a, b), x, y, resamples=100, seed=3)
    assert batched == pytest.approx(looped, abs=1e-12)


def test_bootstrap_resamples_rows_together():
    x = np.arange(30.0)
    assert hst.bootstrap_interval(hst.plcc, x, 2 * x, resamples=200) == pytest.approx((1, 1))
    rows = np.stack([x, -x], axis=1)
    low, high = hst.bootstrap_interval(
        lambda a, b: np.abs(a[:, 0] - b).max() + np.abs(a.sum(axis=1)).max(), rows, x, resamples=50
    )
    assert (low, high) == (0, 0)


def test_bootstrap_is_repeatable_and_follows_the_seed():
    x, y = quality_like(50)
    first = hst.bootstrap_interval(hst.plcc, x, y, resamples=300, seed=1)
    assert first == hst.bootstrap_interval(hst.plcc, x, y, resamples=300, seed=1)
    assert first != hst.bootstrap_interval(hst.plcc, x, y, resamples=300, seed=2)


def test_bootstrap_agrees_with_scipy():
    x, y = quality_like(80)
    theirs = stats.bootstrap(
        (x, y),
        lambda a, b: stats.pearsonr(a, b).statistic,
        paired=True,
        vectorized=False,
        n_resamples=1000,
        method="percentile",
        rng=np.random.default_rng(5),
    ).confidence_interval
    ours = hst.bootstrap_interval(hst.plcc, x, y)
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_bootstrap_of_a_mean_is_the_textbook_interval():
    x = np.random.default_rng(2).normal(10, 3, 400)
    low, high = hst.bootstrap_interval(np.mean, x, level=0.9)
    half = 1.645 * x.std() / math.sqrt(400)
    assert low == pytest.approx(x.mean() - half, abs=0.05)
    assert high == pytest.approx(x.mean() + half, abs=0.05)


def test_a_higher_level_is_a_wider_interval():
    x, y = quality_like(50)
    low, high = hst.bootstrap_interval(hst.srocc, x, y, level=0.5)
    wider_low, wider_high = hst.bootstrap_interval(hst.srocc, x, y, level=0.99)
    assert wider_low < low < high < wider_high


def test_bootstrap_leaves_out_resamples_without_a_figure():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rare = np.array([0.0, 0, 0, 1])  # many resamples miss the one
        low, high = hst.bootstrap_interval(hst.plcc, rare, rare, resamples=100)
        nothing = hst.bootstrap_interval(hst.plcc, np.ones(5), np.arange(5), resamples=20)
    assert (low, high) == pytest.approx((1, 1))
    assert np.isnan(nothing).all()


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        (([1, 2, 3],), {"level": 1.0}, "got level 1.0"),
        (([1, 2, 3],), {"resamples": 0}, "got 0 resamples"),
        (([1, 2, 3], [1, 2]), {}, r"got arrays of shapes \[\(3,\), \(2,\)\]"),
        ((), {}, r"got arrays of shapes \[\]"),
        (([],), {}, r"got arrays of shapes \[\(0,\)\]"),
        ((3.0,), {}, r"got arrays of shapes \[\(\)\]"),
    ],
)
def test_bootstrap_errors(arrays, options, message):
    with pytest.raises(hst.StatisticsError, match=message):
        hst.bootstrap_interval(lambda *given: 0.0, *arrays, **options)


def test_batched_bootstrap_checks_as_the_figure_does():
    with pytest.raises(hst.StatisticsError, match="got nan at row 2 of the second array"):
        hst.bootstrap_interval(hst.plcc, [1, 2, 3], [1, 2, math.nan])
    with pytest.raises(hst.StatisticsError, match="expected two of one length"):
        hst.bootstrap_interval(hst.srocc, [1, 2, 3])


# ---- evaluation

NAMES = ("plcc", "srocc", "krocc", "rmse", "plcc_fit", "rmse_fit")


def test_evaluate_gathers_the_figures():
    scores, mos = quality_like(120)
    found = hst.evaluate(scores, mos, resamples=60, seed=4)
    fitted = hst.vqeg_fit(scores, mos)
    assert found.n == 120
    assert (found.level, found.resamples, found.seed) == (0.95, 60, 4)
    for name in ("plcc", "srocc", "krocc", "rmse"):
        figure = getattr(hst, name)
        assert getattr(found, name) == figure(scores, mos)
        assert found.intervals[name] == hst.bootstrap_interval(
            figure, scores, mos, resamples=60, seed=4
        )
    assert found.plcc_fit == hst.plcc(fitted, mos)
    assert found.rmse_fit == hst.rmse(fitted, mos)
    assert found.plcc_fit > found.plcc
    assert found.rmse_fit < found.rmse
    assert tuple(found.intervals) == NAMES
    for name in NAMES:
        low, high = found.intervals[name]
        assert low < getattr(found, name) < high


def test_evaluation_is_frozen_and_becomes_json():
    found = hst.evaluate(*quality_like(30), resamples=20)
    with pytest.raises(AttributeError):
        found.plcc = 1.0
    plain = found.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert set(plain) == {"n", *NAMES, "intervals", "level", "resamples", "seed"}
    assert plain["intervals"]["srocc"] == list(found.intervals["srocc"])
    assert plain["plcc"] == found.plcc


def test_evaluate_without_resamples_has_no_intervals():
    found = hst.evaluate(*quality_like(30), resamples=0)
    assert found.intervals == {}
    assert found.to_dict()["intervals"] == {}


def test_evaluate_of_constant_scores_is_nan_but_not_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = hst.evaluate(np.full(10, 3.0), np.arange(10.0), resamples=20)
    assert math.isnan(found.plcc)
    assert math.isnan(found.plcc_fit)
    assert found.rmse > 0
    plain = found.to_dict()
    assert plain["krocc"] is None
    assert plain["intervals"]["rmse_fit"] == [None, None]
    json.dumps(plain, allow_nan=False)


def test_evaluate_refuses_what_the_figures_refuse():
    with pytest.raises(hst.StatisticsError, match="n >= 3"):
        hst.evaluate([1, 2], [1, 2])
    with pytest.raises(hst.StatisticsError, match="got -1 resamples"):
        hst.evaluate(*quality_like(10), resamples=-1)


# ---- ROC area


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=30))
def test_auc_is_the_share_of_ordered_pairs(rows):
    scores, labels = map(np.array, zip(*rows, strict=True))
    positive, negative = scores[labels], scores[~labels]
    found = hst.auc(scores, labels)
    if not positive.size or not negative.size:
        assert math.isnan(found)
        return
    margins = positive[:, None] - negative[None, :]
    assert found == pytest.approx(np.mean((margins > 0) + 0.5 * (margins == 0)), abs=1e-12)
    assert hst.auc(-scores, labels) == pytest.approx(1 - found, abs=1e-12)


def test_auc_reads_a_map_and_equals_mann_whitney():
    rng = np.random.default_rng(0)
    saliency, fixated = rng.normal(size=(20, 30)), rng.random((20, 30)) < 0.1
    u = stats.mannwhitneyu(saliency[fixated], saliency[~fixated]).statistic
    expected = u / (fixated.sum() * (~fixated).sum())
    assert hst.auc(saliency, fixated) == pytest.approx(expected, abs=1e-12)
    assert hst.auc(saliency, fixated.astype(np.uint8)) == hst.auc(saliency, fixated)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([1, 2, 3], [0, 1], r"got scores of shape \(3,\) for labels of shape \(2,\)"),
        ([1, math.nan], [0, 1], "finite scores"),
        ([1, 2], [0, 2], "labels other than 0 and 1"),
    ],
)
def test_auc_errors(scores, labels, message):
    with pytest.raises(hst.StatisticsError, match=message):
        hst.auc(scores, labels)


def test_the_matching_degree_is_offered_here_too():
    assert [round(value, 1) for value in hst.chance_matching().values()] == [
        96.0,
        71.6,
        28.4,
        4.0,
        0.1,
    ]
    assert hst.matching_degree([[3, 2, 1, 0]], [[0, 1]]) == {1: 100.0}
    assert hst.matching_counts([[3, 2, 1, 0]], [[0, 3]]).tolist() == [1]
    assert hst.jaccard({1}, {1, 2}) == 0.5
