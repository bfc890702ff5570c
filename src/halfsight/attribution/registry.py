"""The methods by name, and the one function that runs them.

Another package adds a method through the entry-point group ``halfsight.attribution``: the entry
point's name is the method's, and it loads to a callable that takes a
:class:`~halfsight.attribution.base.Question` and keyword options, and returns an
:class:`~halfsight.attribution.base.Answer`.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np

from halfsight.attribution.base import (
    Answer,
    Attribution,
    AttributionError,
    Question,
    Target,
    undisturbed,
)
from halfsight.grid import Aggregate, RegionGrid
from halfsight.models.base import mean_level
from halfsight.scorer import Scorer, Source

GROUP = "halfsight.attribution"

BUILT_IN = {
    "lime": "halfsight.attribution.lime:lime",
    "gradcam": "halfsight.attribution.gradcam:gradcam",
    "rollout": "halfsight.attribution.rollout:rollout",
}


def names() -> tuple[str, ...]:
    """Names of all methods, the built-in ones first."""
    return (*BUILT_IN, *sorted(_added()))


def attribute(
    method: str,
    scorer: Scorer,
    source: Source,
    grid: RegionGrid,
    *,
    target: Target | None = None,
    tokens: tuple[int, int] | None = None,
    how: Aggregate = "mean",
    **options: Any,
) -> Attribution:
    """Explain one photograph's score by one method.

    The model is left as it was: modes, ``requires_grad`` flags, hooks, gradients, random state.

    Args:
        method: one of :func:`names`.
        scorer: the model.
        source: path, array (H, W, 3), PIL image or photograph.
        grid: the regions, already turned to the photograph.
        target: the model's output, (N, K) level probabilities or (N,) scores, to one number an
            image, (N,); None explains the score. Rollout reads the attention alone and has no use
            for it.
        tokens: (rows, cols) of the token map the regions are cut on, so that they are those of an
            explanation (:attr:`halfsight.Explanation.tokens`); None cuts the pixels.
        how: how the map becomes one value a region: ``mean``, ``max`` or ``top10``.
        **options: the method's own.

    Raises:
        AttributionError: if the method or an option is unknown, if the model does not allow the
            method, or if the target does not give one finite number an image.
        ImageError: if the photograph cannot be read, or its size is refused.
        GridError: if the grid does not fit.
    """
    run = find(method)
    _check_options(method, run, options)
    with undisturbed(scorer.net):
        photograph, tensor, _ = scorer.read(source)
        question = Question(
            net=scorer.net,
            policy=scorer.policy,
            photograph=photograph,
            tensor=tensor,
            grid=grid,
            tokens=tokens,
            target=target or mean_level,
        )
        started = time.perf_counter()
        answer = run(question, **options)
        seconds = time.perf_counter() - started
    if not isinstance(answer, Answer):
        raise AttributionError(
            f"got {type(answer).__name__} from method {method!r}, expected an Answer"
        )
    values = np.array(answer.map, dtype=np.float32)  # a copy: it is frozen below
    if values.shape != (photograph.height, photograph.width) or not np.isfinite(values).all():
        raise AttributionError(
            f"got a map of shape {values.shape} from method {method!r}, expected finite values of "
            f"shape {(photograph.height, photograph.width)}"
        )
    return Attribution(
        method=method,
        map=values,
        regions=np.asarray(grid.aggregate(values, how=how, tokens=tokens), dtype=np.float64),
        options={**answer.options, "how": how},
        seconds=seconds,
        provenance={
            "model": scorer.name,
            "model_hash": scorer.hash,
            "target": getattr(question.target, "__name__", type(question.target).__name__),
        },
    )


def find(method: str) -> Callable[..., Answer]:
    """The method of that name.

    Raises:
        AttributionError: if there is none, or its package cannot be imported.
    """
    if method in BUILT_IN:
        module, _, attribute_name = BUILT_IN[method].partition(":")
        found: Callable[..., Answer] = getattr(import_module(module), attribute_name)
        return found
    added = _added()
    if method not in added:
        raise AttributionError(f"got method {method!r}, expected one of {', '.join(names())}")
    try:
        return added[method].load()  # type: ignore[no-any-return]
    except Exception as error:  # another package's import may fail in any way
        raise AttributionError(
            f"got method {method!r} from {added[method].value}, which cannot be imported: {error}"
        ) from error


def _check_options(method: str, run: Callable[..., Answer], options: dict[str, Any]) -> None:
    parameters = list(inspect.signature(run).parameters.values())[1:]
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters):
        return
    known = [one.name for one in parameters]
    for name in options:
        if name not in known:
            raise AttributionError(
                f"got option {name!r} for method {method!r}, expected {', '.join(known) or 'none'}"
            )


@lru_cache(maxsize=1)
def _added() -> dict[str, EntryPoint]:
    """Methods of other packages; a name of ours stays ours."""
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in BUILT_IN}
