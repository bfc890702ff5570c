"""Labels shrunk towards what other photographs say of a photograph, where labels are noisy.

A network that is tuned until it fits learns noisy labels by heart, and then scores unseen
photographs of that kind too boldly. Here each training label is moved towards a prediction made
without it: kernel ridge regression on pooled pretrained features, cross-fitted with twins in one
fold, then brought to the scale of the photograph's subset. A subset whose labels are predicted
worst is moved most.

Source: precision weighting as in empirical Bayes shrinkage (Efron & Morris, Data analysis using
Stein's estimator and its generalizations, JASA 70, 1975); cross-fitting as in Chernozhukov et al.,
Double/debiased machine learning, Econometrics Journal 21, 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from halfsight import outputs
from halfsight.datasets.base import Dataset, FloatArray
from halfsight.datasets.splits import IntArray
from halfsight.models.backbone import Backbone
from halfsight.models.base import QualityNet
from halfsight.training.cache import FeatureCache, Progress
from halfsight.training.recipe import RecipeError

FOLDS = 5
RIDGE = 0.5
"""Ridge of the kernel regression, on a kernel with 1 on its diagonal."""
WIDTH = 0.5
"""The kernel is exp(-WIDTH times the mean squared difference of standardised features)."""
SMALLEST = 50
"""Images below which a subset's own line and variance are not estimated; it stays as it is."""
SAVED = 1000
"""Images after which pooled features are written, so that a killed run goes on from there."""


def shrunk(
    labels: FloatArray, predicted: FloatArray, subsets: Sequence[str]
) -> tuple[FloatArray, dict[str, float]]:
    """Move labels towards cross-fitted predictions, subset by subset.

    In each subset the predictions are first put through the least-squares line to the labels. With
    v the variance of what is left, a label keeps min(v) / v of its distance from the line, min(v)
    the least over the subsets.

    Args:
        labels: (n,), on any linear scale.
        predicted: (n,), made without the label of the image itself.
        subsets: n names.

    Returns:
        The new labels (n,), and by subset the share of the distance that they keep.
    """
    names = np.asarray(subsets)
    lines = labels.copy()
    variances: dict[str, float] = {}
    for name in sorted(set(subsets)):
        chosen = names == name
        if chosen.sum() < SMALLEST:
            continue
        slope, level = np.polyfit(predicted[chosen], labels[chosen], 1)
        lines[chosen] = level + slope * predicted[chosen]
        variances[name] = float(np.var(labels[chosen] - lines[chosen]))
    least = min(variances.values(), default=0.0)
    kept = {name: least / max(value, 1e-12) for name, value in variances.items()}
    share = np.array([kept.get(name, 1.0) for name in subsets])
    return lines + share * (labels - lines), kept


def cross_fitted(features: FloatArray, labels: FloatArray, groups: IntArray) -> FloatArray:
    """Predict each label from the images outside its fold.

    Args:
        features: (n, d).
        labels: (n,).
        groups: (n,), images of one group share a fold.

    Returns:
        (n,).

    Raises:
        RecipeError: if all images are of one group.
    """
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.model_selection import GroupKFold

    folds = min(FOLDS, len(np.unique(groups)))
    if folds < 2:
        raise RecipeError(
            "got training images that all look alike, expected at least two kinds to predict "
            "labels from each other; leave denoise out"
        )
    standard = (features - features.mean(0)) / np.maximum(features.std(0), 1e-6)
    standard = standard.astype(np.float32)
    predicted = np.empty(len(labels))
    for known, unknown in GroupKFold(folds).split(standard, groups=groups):
        level = labels[known].mean()
        model = KernelRidge(alpha=RIDGE, kernel="rbf", gamma=WIDTH / standard.shape[1])
        model.fit(standard[known], labels[known] - level)
        predicted[unknown] = level + model.predict(standard[unknown])
    return predicted


@torch.inference_mode()
def pooled(
    net: QualityNet, dataset: Dataset, cache: FeatureCache, progress: Progress | None = None
) -> FloatArray:
    """Mean and standard deviation over the photograph, of the cached and of the last features.

    Of the cached ones alone for networks that read a pyramid of maps.

    Args:
        net: with pretrained weights; left in evaluation mode.
        dataset: its images, n of them, are in the cache.
        cache: their features; the pooled ones are kept beside them.
        progress: called with (done, total).

    Returns:
        (n, d), d twice the number of channels.
    """
    assert cache.stage is not None  # the recipe sees to it
    backbone: Any = getattr(net, "backbone", None)
    goes_on = isinstance(backbone, Backbone) and not backbone.level_channels
    place: Path = cache.folder / f"{dataset.name}-pooled.npz"
    known: dict[str, npt.NDArray[np.float32]] = {}
    if place.exists():
        with np.load(place) as stored:
            known = dict(zip(stored["ids"].tolist(), stored["values"], strict=True))
    missing = [sample for sample in dataset if sample.id not in known]
    net.eval()
    for done, sample in enumerate(missing, 1):
        loaded = np.asarray(cache.load(dataset, sample), dtype=np.float32)
        early = torch.from_numpy(loaded)[None].contiguous(memory_format=torch.channels_last)
        maps = [early, backbone.after(early, cache.stage)] if goes_on else [early]
        parts = [
            part[0] for one in maps for part in (one.mean((2, 3)), one.std((2, 3), correction=0))
        ]
        known[sample.id] = torch.cat(parts).numpy()
        if done % SAVED == 0 or done == len(missing):
            with outputs.atomic_path(place) as temporary, temporary.open("wb") as stream:
                np.savez(stream, ids=np.array(list(known)), values=np.stack(list(known.values())))
        if progress is not None:
            progress(done, len(missing))
    return np.stack([known[sample.id] for sample in dataset]).astype(np.float64)


def denoise(
    sets: Sequence[Dataset],
    features: Sequence[FloatArray],
    groups: Sequence[IntArray],
    chosen: Sequence[bool],
) -> tuple[tuple[Dataset, ...], dict[str, float]]:
    """The training sets with the labels of the chosen ones shrunk.

    All sets teach the regression; labels are compared on the five-level scale.

    Args:
        sets: training parts, labelled.
        features: (n, d) of each.
        groups: twins of each, (n,).
        chosen: which sets have their labels shrunk.

    Returns:
        The sets, and by subset the share of their distance from the prediction that labels keep.
    """
    labels = [
        np.array([float(one.scale.to_five(s.mos)) for s in one if s.mos is not None])
        for one in sets
    ]
    start = np.cumsum([0] + [int(group.max()) + 1 for group in groups])
    together = np.concatenate([g + s for g, s in zip(groups, start[:-1], strict=True)])
    predicted = cross_fitted(np.concatenate(features), np.concatenate(labels), together)
    made: list[Dataset] = []
    kept: dict[str, float] = {}
    guesses = np.split(predicted, np.cumsum([len(one) for one in sets])[:-1])
    for one, own, guess, shrink in zip(sets, labels, guesses, chosen, strict=True):
        if not shrink:
            made.append(one)
            continue
        new, shares = shrunk(own, guess, [sample.subset for sample in one])
        new = one.scale.from_five(new.clip(1.0, 5.0))
        made.append(
            one.replace(
                tuple(replace(s, mos=float(v), votes=None) for s, v in zip(one, new, strict=True))
            )
        )
        kept |= {f"{one.name} {name}".strip(): round(value, 3) for name, value in shares.items()}
    return tuple(made), kept
