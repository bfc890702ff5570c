"""From a table of coalitions to the importance of each region, and the split in two halves.

Each criterion first gives every coalition one number, its *response*; a region's importance comes
from the responses of the masks that contain it (METHOD section 3). Higher importance always means
that the region decides more of the score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from halfsight import coalitions
from halfsight.masking import sampling
from halfsight.masking.base import Coalitions

Floats = npt.NDArray[np.float64]
Criterion = Literal["dist_plcc", "abs_delta", "shapley", "token_corr"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)

MEANING: dict[Criterion, str] = {
    "dist_plcc": "1 - Pearson r of the masked and the original level distribution, "
    "mean over the masks with the region",
    "abs_delta": "change of the score, without sign, mean over the masks with the region",
    "shapley": "exact Shapley value of the score, signed: positive where the region raises it",
    "token_corr": "1 - Pearson r of the masked and the original quality token, "
    "mean over the masks with the region",
}


class CriterionError(ValueError):
    """A criterion that is unknown, or that the model's answers do not allow."""


@dataclass(frozen=True)
class Importance:
    """Importance of every region of one photograph.

    Attributes:
        criterion: how it was measured.
        values: float64 (n,); signed for ``shapley``.
        important: the half of the regions with the largest magnitude, in order of their numbers.
        trivial: the other regions.
        standard_errors: float64 (n,) where the masks were sampled, None where it is exact.
    """

    criterion: Criterion
    values: Floats
    important: tuple[int, ...]
    trivial: tuple[int, ...]
    standard_errors: Floats | None = None


def default_criterion(answers: Coalitions) -> Criterion:
    """``dist_plcc`` for models with level distributions, ``abs_delta`` for scalar ones."""
    return "abs_delta" if answers.distributions is None else "dist_plcc"


def available(answers: Coalitions) -> tuple[Criterion, ...]:
    """The criteria that a model's answers allow, in the order of :data:`CRITERIA`."""
    missing = set()
    if answers.distributions is None:
        missing.add("dist_plcc")
    if answers.quality is None:
        missing.add("token_corr")
    return tuple(criterion for criterion in CRITERIA if criterion not in missing)


def check(criterion: str) -> Criterion:
    """The criterion of that name.

    Raises:
        CriterionError: lists those there are.
    """
    for known in CRITERIA:
        if criterion == known:
            return known
    raise CriterionError(f"got criterion {criterion!r}, expected one of {', '.join(CRITERIA)}")


def row_correlation(rows: npt.ArrayLike, reference: npt.ArrayLike) -> Floats:
    """Pearson r of every row (M, K) with the reference (K,), float64 (M,).

    A constant row has no correlation; it counts as 0, as unlike the reference as noise.
    """
    a = np.asarray(rows, dtype=np.float64)
    b = np.asarray(reference, dtype=np.float64)
    a = a - a.mean(-1, keepdims=True)
    b = b - b.mean()
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b)
    return np.asarray(np.divide(a @ b, norms, out=np.zeros(a.shape[:-1]), where=norms > 0))


def response(answers: Coalitions, criterion: Criterion) -> Floats:
    """How far each coalition moves the model from its unmasked answer, float64 (2**n,).

    Raises:
        CriterionError: if the model gives no distributions or quality tokens, or for ``shapley``,
            which is no mean over masks.
    """
    if criterion == "abs_delta":
        scores = answers.scores.astype(np.float64)
        return np.asarray(np.abs(scores - scores[0]))
    if criterion == "dist_plcc":
        if answers.distributions is None:
            raise CriterionError(
                "got criterion 'dist_plcc' for a model with a scalar head, expected one with "
                "level distributions; use abs_delta or shapley"
            )
        return 1 - row_correlation(answers.distributions, answers.distributions[0])
    if criterion == "token_corr":
        if answers.quality is None:
            raise CriterionError(
                "got criterion 'token_corr' for a model without a quality token; "
                "use abs_delta or shapley"
            )
        return 1 - row_correlation(answers.quality, answers.quality[0])
    raise CriterionError(f"criterion {criterion!r} has no response of single masks")


def importance(answers: Coalitions, criterion: Criterion | None = None) -> Importance:
    """Importance of every region by a criterion, and the split.

    Where the masks were sampled it is estimated, with standard errors.

    Raises:
        CriterionError: as :func:`response`.
    """
    chosen = criterion or default_criterion(answers)
    shapley = chosen == "shapley"
    table = answers.scores if shapley else response(answers, chosen)
    n, errors = answers.regions, None
    if answers.sample is not None:
        weights = coalitions.shapley_weights(n) if shapley else _average_weights(n)
        values, errors = sampling.estimate(table, answers.sample, weights)
    elif shapley:
        values = coalitions.shapley(table)
    else:
        values = coalitions.average_over_masks(table, n)
    important, trivial = split(values)
    return Importance(chosen, values, important, trivial, errors)


def _average_weights(n: int) -> Floats:
    """Weights (2**n, n) of the mean over the proper masks that contain each region."""
    weights = coalitions.membership(n) / ((1 << n - 1) - 1)
    weights[-1] = 0
    return np.asarray(weights)


def split(values: npt.ArrayLike) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The half of the regions with the largest magnitude, and the rest.

    Args:
        values: importance (n,). Signed values are ranked by magnitude: a region that lowers the
            score decides as much as one that raises it. Ties go to the lower region number.

    Returns:
        Important regions (n // 2) and trivial ones, each in order of their numbers.
    """
    magnitude = np.abs(np.asarray(values, dtype=np.float64))
    order = np.argsort(-magnitude, kind="stable")
    half = magnitude.size // 2
    return (
        tuple(sorted(int(i) for i in order[:half])),
        tuple(sorted(int(i) for i in order[half:])),
    )


def decimals(values: npt.ArrayLike) -> int:
    """Decimals that tell the regions apart: two digits of the range of their values."""
    span = float(np.ptp(np.asarray(values, dtype=np.float64)))
    return 3 if not span > 0 else max(2, min(6, 1 - math.floor(math.log10(span))))
