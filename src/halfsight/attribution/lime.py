"""LIME (Ribeiro, Singh & Guestrin, KDD 2016, arXiv 1602.04938) on regions or superpixels.

Segments of the photograph are switched on and off at random, the model scores each picture, and a
linear model of the switches is fitted to the scores, near pictures counting more. A segment's
weight is its coefficient: by how much the score rises when the segment is there. Captum draws and
fits; the proximity kernel and the fill are those of the authors' image explainer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt
import torch
from captum.attr import Lime
from torch import Tensor
from torch.utils.data import DataLoader

from halfsight.attribution.base import Answer, AttributionError, Question
from halfsight.masking.pixels import at_once

Segments = Literal["regions", "superpixels"]
Fill = Literal["segment", "mean", "black"]
Labels = npt.NDArray[np.int64]


def lime(
    question: Question,
    *,
    segments: Segments = "regions",
    samples: int | None = None,
    superpixels: int = 48,
    fill: Fill = "segment",
    kernel_width: float = 0.25,
    ridge: float = 0.0,
    batch: int | None = None,
    seed: int = 0,
) -> Answer:
    """LIME of one photograph.

    Args:
        question: what is explained.
        segments: what is switched: the grid's ``regions``, comparable with their importance, or
            ``superpixels`` that follow the picture's edges (SLIC).
        samples: pictures scored; None takes 128, or four a segment if that is more. Where there
            are no more subsets of the segments than samples, each subset is scored once.
        superpixels: about how many superpixels.
        fill: what a segment that is off shows: its own mean colour (``segment``), the
            photograph's mean colour (``mean``), or ``black``.
        kernel_width: width of the proximity kernel on the cosine distance to the whole picture.
        ridge: penalty on the squared coefficients; 0 is plain weighted least squares.
        batch: pictures in one pass of the network; None takes as many as masking in the pixels.
        seed: of the random subsets; the same seed gives the same map.

    Raises:
        AttributionError: if an option is out of range.
    """
    _check(segments, fill, kernel_width, ridge, batch)
    labels = _labels(question, segments, superpixels)
    count = int(labels.max()) + 1
    wanted = samples if samples is not None else max(128, 4 * count)
    if wanted <= count:
        raise AttributionError(
            f"got {wanted} samples for {count} segments, expected more samples than segments; "
            f"use {4 * count} or more"
        )
    subsets = draw(count, wanted, seed)

    def perturb(*_: Any, **__: Any) -> Iterator[Tensor]:
        yield from subsets[:, None]

    explainer = Lime(
        lambda images: question.number(question.net(images)),
        interpretable_model=LeastSquares(ridge),
        similarity_func=lambda _, __, subset, **___: proximity(subset, kernel_width),
        perturb_func=perturb,
    )
    mask = torch.from_numpy(labels)[None, None]
    with torch.inference_mode():
        weights = explainer.attribute(
            question.tensor,
            baselines=_filled(question, labels, fill),
            feature_mask=mask.to(question.tensor.device),
            n_samples=len(subsets),
            perturbations_per_eval=batch or at_once(question.tensor),
            return_input_shape=False,
        )
    painted = _paint(question, segments, labels, weights.double().cpu().numpy().reshape(-1))
    return Answer(
        painted,
        {
            "segments": segments,
            "count": count,
            "samples": len(subsets),
            "fill": fill,
            "kernel_width": kernel_width,
            "ridge": ridge,
            "seed": seed,
        },
    )


def draw(count: int, samples: int, seed: int) -> Tensor:
    """Subsets of segments: int64 (M, count), 1 where a segment is on; the whole picture first.

    All ``2**count`` subsets if there are no more than ``samples``. Otherwise pairs of a random
    subset and its complement, whose errors from interactions of two segments cancel.
    """
    if 2**count <= samples:
        every = torch.arange(2**count - 1, -1, -1)
        return (every[:, None] >> torch.arange(count)) & 1
    generator = torch.Generator().manual_seed(seed)
    half = torch.randint(0, 2, ((samples - 1) // 2 + 1, count), generator=generator)
    pairs = torch.stack((half, 1 - half), 1).flatten(0, 1)
    return torch.cat((torch.ones(1, count, dtype=pairs.dtype), pairs))[:samples]


def proximity(subset: Tensor, kernel_width: float) -> Tensor:
    """Weight of one subset (1, count): an exponential kernel on its cosine distance to all-on.

    For switches the cosine with all-on is the root of the part that is on.
    """
    distance = 1 - subset.double().mean().sqrt()
    return torch.exp(-(distance**2) / kernel_width**2).sqrt()


class LeastSquares:
    """Weighted least squares with an intercept and an optional ridge, in captum's manner."""

    def __init__(self, ridge: float) -> None:
        self.ridge = ridge
        self.coefficients = torch.empty(0)

    def fit(self, data: DataLoader[Any]) -> dict[str, float]:
        """Fit to the one batch of subsets (M, count), numbers (M,) and weights (M,)."""
        subsets, numbers, weights = (part.double().cpu() for part in next(iter(data)))
        root = weights.sqrt()[:, None]
        count = subsets.shape[1]
        design = torch.cat((subsets, torch.ones(len(subsets), 1, dtype=torch.float64)), 1) * root
        wanted = numbers[:, None] * root
        if self.ridge > 0:  # on the coefficients alone: the intercept is free
            penalty = self.ridge**0.5 * torch.eye(count, count + 1, dtype=torch.float64)
            design = torch.cat((design, penalty))
            wanted = torch.cat((wanted, torch.zeros(count, 1, dtype=torch.float64)))
        # gelsd gives the smallest solution where segments were never told apart
        solution = torch.linalg.lstsq(design, wanted, driver="gelsd").solution[:, 0]
        self.coefficients = solution[:count]
        return {}

    def representation(self) -> Tensor:
        """The coefficients, (count,)."""
        return self.coefficients


def _labels(question: Question, segments: Segments, superpixels: int) -> Labels:
    """Segment of every pixel of the network's input, numbered from 0: (h, w)."""
    height, width = question.size
    if segments == "regions":
        numbers = np.arange(len(question.grid))
        painted = question.grid.paint(numbers, height, width, tokens=question.tokens)
        return painted.astype(np.int64)
    if not 2 <= superpixels <= height * width // 64:
        raise AttributionError(
            f"got {superpixels} superpixels, expected 2 to {height * width // 64} for "
            f"{width}x{height} pixels"
        )
    pixels = question.policy.resize(np.asarray(question.photograph.pixels))
    side = max(2, round((height * width / superpixels) ** 0.5))
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
    slic = cv2.ximgproc.createSuperpixelSLIC(lab, cv2.ximgproc.SLICO, side)
    slic.iterate(10)
    slic.enforceLabelConnectivity(25)
    # numbered again, so that no number is missing
    labels = np.unique(slic.getLabels(), return_inverse=True)[1].reshape(height, width)
    return labels.astype(np.int64)


def _filled(question: Question, labels: Labels, fill: Fill) -> Tensor:
    """The network's input with every segment off: (1, 3, h, w)."""
    tensor = question.tensor
    if fill == "black":
        black = question.policy.normalise(np.zeros((1, 1, 3), np.uint8)).to(tensor.device)
        return black.expand_as(tensor).contiguous()
    if fill == "mean":
        return tensor.mean((2, 3), keepdim=True).expand_as(tensor).contiguous()
    flat = torch.from_numpy(labels).reshape(-1).to(tensor.device)
    pixels = tensor[0].flatten(1).T.double()
    sizes = torch.bincount(flat).double()
    sums = torch.zeros(len(sizes), 3, dtype=torch.float64, device=tensor.device)
    means = sums.index_add_(0, flat, pixels) / sizes[:, None]
    return means[flat].T.reshape(tensor.shape).to(tensor.dtype)


def _paint(
    question: Question, segments: Segments, labels: Labels, weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.floating[Any]]:
    """Weights of the segments over the photograph, (height, width)."""
    height, width = question.photograph.height, question.photograph.width
    if segments == "regions":
        return question.grid.paint(weights, height, width, tokens=question.tokens)
    small = weights[labels]
    if small.shape == (height, width):
        return small
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST))


def _check(segments: str, fill: str, kernel_width: float, ridge: float, batch: int | None) -> None:
    if segments not in get_args(Segments):
        raise AttributionError(f"got segments {segments!r}, expected regions or superpixels")
    if fill not in get_args(Fill):
        raise AttributionError(f"got fill {fill!r}, expected segment, mean or black")
    if not kernel_width > 0:
        raise AttributionError(f"got kernel width {kernel_width}, expected a number above 0")
    if not ridge >= 0:
        raise AttributionError(f"got ridge {ridge}, expected 0 or more")
    if batch is not None and batch < 1:
        raise AttributionError(f"got batch {batch}, expected at least 1")
