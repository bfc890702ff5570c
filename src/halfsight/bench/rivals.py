"""What else one could do: explain the whole model by masked forward passes; other game solvers.

The rivals see the model as a black box of pixels, with the same regions as features. Each library
is run as its users run it, with a few evaluations; the time of its usual number of evaluations is
extrapolated from that, and the rows say so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from halfsight import coalitions
from halfsight.bench import clock
from halfsight.grid import RegionGrid
from halfsight.models.base import mean_level
from halfsight.scorer import Scorer, Source

ALL = 4096
SAMPLED = 25
"""Permutations of Shapley value sampling: captum's default."""

KERNEL = 2048
"""Evaluations of shap's KernelExplainer beside two a region: its default."""

PERTURBED = 1000
"""Perturbed images of LIME: the authors' default for images."""


@dataclass(frozen=True)
class Rival:
    """A way to explain the whole model.

    Attributes:
        name: library and method.
        usual: evaluations its users would ask for.
        run: runs it with few evaluations; an ImportError if the library is missing.
        gives: what comes out.
    """

    name: str
    usual: int
    run: Callable[[], object]
    gives: str


def measure(scorer: Scorer, source: Source, *, grid: str = "3x4") -> dict[str, Any]:
    """Time every way on one photograph.

    Args:
        scorer: a model with tokens.
        source: the photograph.
        grid: regions as rows x columns.

    Returns:
        ``rows``: name, evaluations measured and usual, seconds measured, seconds of the usual
        number, whether these are extrapolated, what it gives; ``games``: exact indices from a
        finished table, per photograph; ``missing``: libraries that are not installed.
    """
    photograph, tensor, _ = scorer.read(source)
    regions = RegionGrid.parse(grid).oriented(*photograph.pixels.shape[:2])
    features = torch.from_numpy(
        regions.paint(np.arange(len(regions)), *tensor.shape[-2:]).astype(np.int64)
    )[None, None]
    counted = _Counted(scorer)

    scorer.coalitions(scorer.encode(tensor), regions)  # both are slower the first time
    started = time.perf_counter()
    encoded = scorer.encode(tensor)
    scorer.coalitions(encoded, regions)
    own = time.perf_counter() - started
    rows: list[dict[str, Any]] = [
        {
            "name": "halfsight, attention masked",
            "evaluations": 1 << len(regions),
            "usual_evaluations": 1 << len(regions),
            "measured_s": own,
            "usual_s": own,
            "extrapolated": False,
            "gives": "every coalition, exactly",
        }
    ]
    missing = []
    for rival in _rivals(counted, tensor, features, len(regions)):
        counted.calls = 0
        started = time.perf_counter()
        try:
            rival.run()
        except (ImportError, AssertionError) as error:  # captum asserts what it needs
            missing.append(f"{rival.name} ({error})")
            continue
        seconds = time.perf_counter() - started
        rows.append(
            {
                "name": rival.name,
                "evaluations": counted.calls,
                "usual_evaluations": rival.usual,
                "measured_s": seconds,
                "usual_s": seconds / counted.calls * rival.usual,
                "extrapolated": counted.calls != rival.usual,
                "gives": rival.gives,
            }
        )
    for row in rows:
        row["times_halfsight"] = row["usual_s"] / own
    games, absent = solvers()
    return {
        "rows": rows,
        "games": games,
        "missing": [*missing, *absent],
        "model": scorer.name,
        "grid": str(regions),
        "size": list(tensor.shape[-2:]),
        "threads": torch.get_num_threads(),
        "machine": clock.machine(),
    }


class _Counted:
    """The model from pixels to scores, counting images."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self.calls = 0

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        self.calls += len(images)
        return mean_level(self.scorer.net(images))


def _rivals(model: _Counted, tensor: Tensor, features: Tensor, n: int) -> list[Rival]:
    """The libraries' ways. The baseline is zero after normalisation, theirs by default."""
    tensor = tensor.clone()  # not an inference tensor

    def ablation() -> object:
        from captum.attr import FeatureAblation

        return FeatureAblation(model).attribute(tensor, feature_mask=features)

    def sampling() -> object:
        from captum.attr import ShapleyValueSampling

        return ShapleyValueSampling(model).attribute(tensor, feature_mask=features, n_samples=1)

    def lime() -> object:
        from captum.attr import Lime

        return Lime(model).attribute(tensor, feature_mask=features, n_samples=6)

    def kernel_shap() -> object:
        import shap

        def answers(kept: Any) -> Any:
            images = [tensor * torch.from_numpy(row)[features].to(tensor) for row in kept]
            return np.concatenate([model(image).numpy() for image in images])

        explainer = shap.KernelExplainer(answers, np.zeros((1, n)))
        return explainer.shap_values(np.ones(n), nsamples=2 * n, l1_reg=0, silent=True)

    def every() -> object:
        chosen = np.random.default_rng(0).integers(0, 1 << n, 4)
        kept = ~coalitions.membership(n)[chosen]
        return [model(tensor * torch.from_numpy(row)[features].to(tensor)) for row in kept]

    return [
        Rival("captum FeatureAblation", 1 + n, ablation, "one value a region, others kept"),
        Rival(
            "captum ShapleyValueSampling",
            1 + SAMPLED * n,
            sampling,
            "Shapley values, estimated from 25 permutations",
        ),
        Rival(
            "shap KernelExplainer", 2 * n + KERNEL, kernel_shap, "Shapley values, from a regression"
        ),
        Rival("captum Lime", PERTURBED, lime, "a linear model of the score"),
        Rival("whole model, every coalition", 1 << n, every, "every coalition, exactly, in pixels"),
    ]


def solvers(regions: int = 12, tables: int = 100) -> tuple[dict[str, Any], list[str]]:
    """Exact Shapley and Banzhaf values, both interactions and the Moebius transform, timed.

    Both sides start from the same finished scores; shapiq solves one table, ours ``tables``.

    Returns:
        Seconds a photograph of each side, their ratio and largest difference of Shapley values;
        and what is not installed.
    """
    games = np.random.default_rng(0).normal(50, 20, (tables, 1 << regions))

    def ours() -> None:
        coalitions.shapley(games)
        coalitions.banzhaf(games)
        coalitions.interactions(games)
        coalitions.interactions(games, index="banzhaf")
        coalitions.mobius(games)

    try:
        from shapiq import ExactComputer
    except ImportError:
        cost = clock.interleaved({"ours": ours}, repeats=3)
        return {"halfsight_s": cost["ours"].seconds / tables}, ["shapiq"]
    bits = 1 << np.arange(regions)
    game = games[0]

    def theirs() -> Any:
        # a new computer each time: it remembers what it has computed
        exact = ExactComputer(lambda kept: game[game.size - 1 - kept @ bits], n_players=regions)
        first = exact("SV", 1)
        for index, order in (("BV", 1), ("SII", 2), ("BII", 2)):
            exact(index, order)
        exact("Moebius")
        return first

    cost = clock.interleaved({"ours": ours, "theirs": theirs}, repeats=3)
    found, exact = theirs(), coalitions.shapley(game)
    difference = max(abs(float(found[i,]) - float(exact[i])) for i in range(regions))
    own = cost["ours"].seconds / tables
    return {
        "halfsight_s": own,
        "shapiq_s": cost["theirs"].seconds,
        "speedup": cost["theirs"].seconds / own,
        "max_abs_diff": difference,
        "tables": tables,
    }, []


def text(found: dict[str, Any]) -> str:
    """The result as Markdown."""
    size = "x".join(str(side) for side in reversed(found["size"]))
    lines = [
        (
            f"One {size} photograph, {found['model']}, {found['grid']} regions, {found['threads']} "
            "threads. The rivals mask pixels and run the whole model for each evaluation; a time "
            "marked * is extrapolated from the evaluations measured, "
            "since each evaluation costs the "
            "same."
        ),
        "",
        "| | evaluations | of these measured | seconds | times halfsight | gives |",
        "|---|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        star = "*" if row["extrapolated"] else ""
        measured = min(row["evaluations"], row["usual_evaluations"])
        lines.append(
            f"| {row['name']} | {row['usual_evaluations']} | {measured} | "
            f"{row['usual_s']:.2f}{star} | {row['times_halfsight']:.0f} | {row['gives']} |"
        )
    games = found["games"]
    lines += [
        "",
        (
            "From a finished table to exact Shapley and Banzhaf values, "
            "both pairwise interactions and "
            "the Möbius transform of 12 regions, per photograph:"
        ),
        "",
        f"- halfsight: {1000 * games['halfsight_s']:.2f} ms (100 tables at once)",
    ]
    if "shapiq_s" in games:
        lines.append(
            f"- shapiq `ExactComputer`: {1000 * games['shapiq_s']:.0f} ms, "
            f"**{games['speedup']:.0f} times** as long; largest difference of a Shapley value "
            f"{games['max_abs_diff']:.0e} on scores of 0 to 100"
        )
    if found["missing"]:
        lines += ["", f"Not installed, so not measured: {', '.join(found['missing'])}."]
    return "\n".join(lines)
