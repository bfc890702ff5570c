"""How much of an image is enough, and do models, criteria and XAI methods agree on which part?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

from halfsight.experiments import figures, halves, own, resampling, rowwise
from halfsight.experiments.curves import DRAWS, ENOUGH, Curve, curves
from halfsight.experiments.faithfulness import LIME_SAMPLES, Faithfulness, compare
from halfsight.experiments.outcome import Column, Measured, Outcome, Picture, Row, Section, Table
from halfsight.experiments.store import Progress
from halfsight.experiments.study import Study
from halfsight.importance import check
from halfsight.scorer import Scorer

Floats = npt.NDArray[np.float64]
Pair = tuple[str, str]


CAVEATS = (
    (
        "The best regions are ranked by the response of the same model to the same masks: the "
        "best curve is an upper end by construction, the random curve is what half of an "
        "image is worth without knowing which."
    ),
    (
        "Shapley values are exact for regions hidden in the attention. LIME hides them in the "
        "pixels, Grad-CAM reads gradients, rollout reads attention: a low agreement says that "
        "they answer another question, not which one is right."
    ),
    (
        "Importance from pixels is estimated from a sample of the masks, which alone lowers "
        "the agreement."
    ),
)


def run(
    study: Study,
    models: Sequence[Scorer] = (),
    *,
    masks: int = 64,
    own_limit: int | None = None,
    attribution_limit: int = 30,
    progress: Progress | None = None,
) -> Outcome:
    """The experiment.

    Args:
        study: the model with the table.
        models: also compare the importance of these, from masks in their pixels.
        masks: how many masks of each photograph they score.
        own_limit: photographs they are compared on; None takes all.
        attribution_limit: photographs that LIME, Grad-CAM and rollout are run on.
        progress: told after every photograph.
    """
    sources: dict[str, Floats] = {
        f"{study.model}, {name}": study.table.importance(check(name)).astype(np.float64)
        for name in study.table.criteria
    }
    failures = dict[str, str]()
    for scorer in models:
        part = study.samples[:own_limit]
        values, broken = own.pixel_importance(study, scorer, part, masks=masks, progress=progress)
        failures |= broken
        full = np.full((len(study), study.table.regions), np.nan)
        full[: len(part)] = values
        sources[f"{scorer.name}, pixels"] = full
    agreed = pairs(sources, seed=study.seed)
    drawn = curves(study)
    others = {name: curves(study, name) for name in study.table.criteria if name != study.criterion}
    faithful, broken = compare(study, limit=attribution_limit, progress=progress)
    failures |= broken
    enough = {kept: curve.enough() for kept, curve in drawn.items()}
    n = study.table.regions
    return Outcome(
        experiment="agreement",
        title="How much of an image is enough, and who agrees on which",
        headline=_headline(study, enough, drawn),
        facts=(
            *study.facts(),
            (
                "Own importance of models",
                f"{', '.join(one.name for one in models)}: {masks} masks in the pixels (zero)"
                if models
                else "not asked for",
            ),
            (
                "LIME, Grad-CAM, rollout",
                f"{min(attribution_limit, len(study))} photographs"
                if attribution_limit
                else "not run",
            ),
        ),
        sections=(
            _curve_section(study, drawn, others),
            _agreement_section(list(sources), agreed, n),
            *([_faithful_section(faithful, n)] if faithful else []),
        ),
        summary={
            **study.summary(),
            "models": {one.name: one.hash for one in models},
            "masks": masks if models else None,
            "enough": {"level": ENOUGH, "regions": n, "kept": enough},
            "curves": {
                kept: {
                    "full": [one.to_dict() for one in curve.full],
                    "mos": [one.to_dict() for one in curve.mos],
                }
                for kept, curve in drawn.items()
            },
            "enough_by_criterion": {
                name: {kept: curve.enough() for kept, curve in one.items()}
                for name, one in {study.criterion: drawn, **others}.items()
            },
            "agreement": [
                {
                    "first": first,
                    "second": second,
                    "photographs": count,
                    "jaccard": overlap.to_dict(),
                    "kendall": tau.to_dict(),
                }
                for (first, second), (count, overlap, tau) in agreed.items()
            ],
            "chance_jaccard": chance_jaccard(n),
            "faithfulness": [
                {
                    "method": one.method,
                    "photographs": one.photographs,
                    "signed_spearman": one.signed.to_dict(),
                    "magnitude_spearman": one.magnitude.to_dict(),
                    "jaccard": one.jaccard.to_dict(),
                }
                for one in faithful
            ],
        },
        caveats=CAVEATS,
        failures=(*study.failures, *failures.values()),
    )


def pairs(
    sources: Mapping[str, Floats], *, seed: int = 0
) -> dict[Pair, tuple[int, Measured, Measured]]:
    """Photographs compared, Jaccard of the halves and Kendall's tau of the magnitudes."""
    found = {}
    for first, second in combinations(sources, 2):
        a, b = np.abs(sources[first]), np.abs(sources[second])
        there = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
        a, b = a[there], b[there]
        half = a.shape[1] // 2
        overlap = rowwise.jaccard(halves.top(a, half), halves.top(b, half))
        found[first, second] = (
            int(there.sum()),
            resampling.mean(overlap, seed=seed),
            resampling.mean(rowwise.kendall(a, b), seed=seed),
        )
    return found


def chance_jaccard(n: int) -> float:
    """Mean Jaccard of two random halves of n regions: .347 for 12."""
    k = n // 2
    ways = [comb(k, m) * comb(n - k, k - m) for m in range(k + 1)]
    return sum(way * m / (2 * k - m) for m, way in enumerate(ways)) / comb(n, k)


def _headline(study: Study, enough: Mapping[str, int | None], drawn: Mapping[str, Curve]) -> str:
    n = study.table.regions
    half = n // 2 - 1

    def share(kept: str) -> str:
        k = enough[kept]
        return "no number short of all" if k is None else f"{k} of {n}"

    return (
        f"To keep a PLCC of {ENOUGH:g} with the full scores takes {share('best')} regions if the "
        f"most important are kept, {share('random')} if they are drawn at random, and "
        f"{share('worst')} if the least important are kept. With half of them: "
        f"{drawn['best'].full[half].value:.3f}, {drawn['random'].full[half].value:.3f}, "
        f"{drawn['worst'].full[half].value:.3f} ({len(study)} photographs, {study.criterion})."
    )


def _curve_section(
    study: Study, drawn: Mapping[str, Curve], others: Mapping[str, Mapping[str, Curve]]
) -> Section:
    n = study.table.regions
    ks = list(range(1, n))
    rows = tuple(
        Row(
            (
                f"{k} of {n}",
                *(drawn[kept].full[k - 1] for kept in drawn),
                *(drawn[kept].mos[k - 1] for kept in drawn),
            )
        )
        for k in ks
    )
    shares = [
        Row((name, *(_share(curve.enough(), n) for curve in one.values())))
        for name, one in {study.criterion: drawn, **others}.items()
    ]
    return Section(
        "How much of an image is enough",
        "Best keeps the k most important regions of every photograph (sufficiency), worst the k "
        "least important (necessity: without the others), random is the mean over "
        f"{DRAWS} subsets a photograph. PLCC over the data set with the scores of the whole "
        "photographs, and with the MOS.",
        (
            Table(
                "curves",
                "PLCC with k regions kept",
                (
                    Column("kept", "kept"),
                    *(Column(f"{kept}_full", kept) for kept in drawn),
                    *(Column(f"{kept}_mos", f"{kept}, MOS") for kept in drawn),
                ),
                rows,
            ),
            Table(
                "enough",
                f"Fewest regions that keep PLCC {ENOUGH:g}",
                (Column("criterion", "criterion"), *(Column(kept, kept) for kept in drawn)),
                tuple(shares),
                "From that number on the PLCC stays at the level.",
            ),
        ),
        (
            Picture(
                "curves",
                "PLCC with the scores of the whole photographs when k regions are kept.",
                figures.lines(
                    ks,
                    {kept: curve.full for kept, curve in drawn.items()},
                    xlabel=f"regions kept of {n}",
                    ylabel="PLCC with the full score",
                    level=ENOUGH,
                ),
            ),
        ),
    )


def _share(k: int | None, n: int) -> str:
    return "none" if k is None else f"{k} of {n} ({k / n:.0%})"


def _agreement_section(
    names: Sequence[str], agreed: Mapping[Pair, tuple[int, Measured, Measured]], n: int
) -> Section:
    rows = [
        Row((f"{first} / {second}", count, overlap, tau))
        for (first, second), (count, overlap, tau) in agreed.items()
    ]
    rows.append(Row(("chance", None, chance_jaccard(n), 0.0), "control"))
    pictures: tuple[Picture, ...] = ()
    if len(names) > 1:
        pictures = (
            Picture(
                "agreement",
                "Overlap of the important halves (Jaccard) and Kendall's tau of the magnitudes.",
                figures.intervals(
                    [
                        (
                            f"{first}\n{second}",
                            [("Jaccard", overlap), ("Kendall's tau", tau)],
                        )
                        for (first, second), (_, overlap, tau) in agreed.items()
                    ],
                    label="agreement",
                ),
            ),
        )
    return Section(
        "Do models and criteria agree",
        "Means over photographs of the overlap of two important halves, and of the rank "
        "correlation of the magnitudes of importance.",
        (
            Table(
                "agreement",
                "Agreement of important regions",
                (
                    Column("pair", "pair"),
                    Column("photographs", "photographs"),
                    Column("jaccard", "Jaccard"),
                    Column("kendall", "Kendall's tau"),
                ),
                tuple(rows),
            ),
        ),
        pictures,
    )


def _faithful_section(found: Sequence[Faithfulness], n: int) -> Section:
    rows = [
        Row((one.method, one.photographs, one.signed, one.magnitude, one.jaccard)) for one in found
    ]
    rows.append(Row(("chance", None, 0.0, 0.0, chance_jaccard(n)), "control"))
    return Section(
        "LIME, Grad-CAM and rollout against exact Shapley values",
        "Spearman's correlation over the regions of a photograph, with signs and of the "
        "magnitudes, and the overlap of the halves; means over photographs. LIME scores "
        f"{LIME_SAMPLES} pictures a photograph; rollout has no sign.",
        (
            Table(
                "faithfulness",
                "Agreement with exact Shapley values",
                (
                    Column("method", "method"),
                    Column("photographs", "photographs"),
                    Column("signed", "Spearman, signed"),
                    Column("magnitude", "Spearman, magnitude"),
                    Column("jaccard", "Jaccard"),
                ),
                tuple(rows),
            ),
        ),
    )
