"""Which half of a photograph the score hangs on: slide 7's pair, with controls.

Per photograph and criterion the table gives the important and the trivial half (METHOD section 3).
Masking either half of every photograph gives scores whose correlation with the unmasked scores over
the data set is the paper's pair. Since the halves are chosen by the same model's response, they are
shown beside halves that are not: random ones, the centre, those of another photograph, and one half
for all photographs alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from halfsight import coalitions, importance
from halfsight.experiments import figures, halves, published, resampling
from halfsight.experiments.outcome import (
    Column,
    Measured,
    Outcome,
    Picture,
    Row,
    RowKind,
    Section,
    Table,
)
from halfsight.experiments.study import Study
from halfsight.statistics import srocc

Floats = npt.NDArray[np.float64]

DRAWS = 100
"""Random halves a photograph, in pairs of a half and its complement."""


CAVEATS = (
    (
        "Importance is defined by the same model's response to the same masks: that masking "
        "the important half moves the scores more than masking the trivial half is partly "
        "true by construction. How far apart the two are, and how far from a random half, is "
        "what is measured."
    ),
    (
        "Masked regions are hidden from the attention; the convolutions before it have seen "
        "the whole photograph."
    ),
    (
        "A correlation over a data set ignores changes that all photographs share. The last "
        "column has the changes themselves."
    ),
)


@dataclass(frozen=True)
class Masked:
    """What is left of the scores when one half of every photograph is masked.

    Attributes:
        half: which half, by what.
        plcc: with the unmasked scores.
        srocc: with the unmasked scores.
        mos: PLCC with the MOS, nan without MOS.
        change: mean absolute change of the score.
        kind: ours, or a control.
    """

    half: str
    plcc: Measured
    srocc: Measured
    mos: Measured
    change: Measured
    kind: RowKind = "ours"


def run(study: Study) -> Outcome:
    """The experiment."""
    rows = pairs(study) + controls(study)
    paper = published.pair(study.dataset)
    by_position, position_rows = positions(study)
    default = study.criterion
    found = {row.half: row for row in rows + position_rows}
    trivial, important = found[f"trivial, {default}"], found[f"important, {default}"]
    random = found["random halves"]
    headline = (
        f"With the trivial half of every photograph masked, the scores keep a correlation of "
        f"{trivial.plcc.value:.3f} with the unmasked ones; with the important half masked "
        f"{important.plcc.value:.3f}; with a random half {random.plcc.value:.3f} "
        f"({len(study)} photographs, halves by {default})."
    )
    masked_trivial, masked_important = (
        study.scores[np.arange(len(study)), halves.bits(chosen)]
        for chosen in (~study.table.halves(default), study.table.halves(default))
    )
    return Outcome(
        experiment="importance",
        title="Which half of a photograph decides its score",
        headline=headline,
        facts=study.facts(),
        sections=(
            Section(
                "Masking one half of every photograph",
                "PLCC and SROCC are those of the scores with one half masked and the unmasked "
                "scores, over the photographs; PLCC with MOS is that of the masked scores and the "
                "viewers' opinions. Intervals are 95 % bootstrap intervals over photographs.",
                (_table(study, rows + position_rows, paper),),
                (
                    Picture(
                        "pair",
                        "PLCC with the unmasked scores when one half is masked.",
                        figures.intervals(
                            [(row.half, [("PLCC", row.plcc)]) for row in rows + position_rows],
                            label="PLCC with the unmasked scores",
                            paper=None
                            if paper is None
                            else {
                                (f"trivial, {default}", "PLCC"): paper[0],
                                (f"important, {default}", "PLCC"): paper[1],
                            },
                        ),
                    ),
                    Picture(
                        "scores",
                        f"Scores without each half against the unmasked ones ({default}).",
                        figures.scatter(
                            study.scores[:, 0],
                            {
                                "trivial masked": masked_trivial,
                                "important masked": masked_important,
                            },
                            xlabel="unmasked score",
                            ylabel="masked score",
                        ),
                    ),
                ),
            ),
            _position_section(study, by_position),
        ),
        summary={
            **study.summary(),
            "halves": {
                row.half: {
                    name: getattr(row, name).to_dict()
                    for name in ("plcc", "srocc", "mos", "change")
                }
                for row in rows + position_rows
            },
            "published": None
            if paper is None
            else {"trivial": paper[0], "important": paper[1], "source": published.SOURCE},
            "positions": {name: values.tolist() for name, values in by_position.items()},
        },
        frames={"importance": frame(study)},
        caveats=CAVEATS,
        failures=study.failures,
    )


def pairs(study: Study) -> list[Masked]:
    """The pair of every criterion the table has, the study's own first."""
    names = sorted(study.table.criteria, key=lambda name: name != study.criterion)
    found = []
    for name in names:
        chosen = study.table.halves(importance.check(name))
        found.append(_masked(study, f"trivial, {name}", ~chosen))
        found.append(_masked(study, f"important, {name}", chosen))
    return found


def controls(study: Study) -> list[Masked]:
    """Halves that are not chosen by the photograph's own scores."""
    n, grids = study.table.regions, study.table.grids
    chosen, middle = study.table.halves(study.criterion), halves.centre(grids)
    drawn = halves.random(len(study), n, DRAWS, seed=study.seed)
    other = halves.shuffled(chosen, grids, seed=study.seed)
    return [
        _mean(study, "random halves", halves.bits(drawn).T),
        _mean(study, "one half for all, mean of all", np.tile(halves.every(n), (len(study), 1))),
        _masked(study, "centre", middle, kind="control"),
        _masked(study, "border", ~middle, kind="control"),
        _masked(study, "trivial of another photograph", ~other, kind="control"),
        _masked(study, "important of another photograph", other, kind="control"),
    ]


def positions(study: Study) -> tuple[dict[str, Floats], list[Masked]]:
    """Importance by position, over the photographs with the most frequent grid.

    Returns:
        Values by region (n,): mean importance and share of photographs in whose important half the
        region is, by criterion; and METHOD's second scope, the mean over masks of 1 - PLCC over
        the data set. Then the pair of the one split that scope makes.
    """
    rows = np.flatnonzero([grid == study.common_grid for grid in study.table.grids])
    values: dict[str, Floats] = {}
    for name in study.table.criteria:
        given = study.table.importance(importance.check(name))[rows].astype(np.float64)
        values[f"mean {name}"] = given.mean(axis=0)
        values[f"share {name}"] = halves.top(given, given.shape[1] // 2).mean(axis=0)
    scores = study.scores[rows]
    x, y = scores - scores.mean(0), scores[:, 0] - scores[:, 0].mean()
    scale = np.sqrt((x * x).sum(0) * (y @ y))
    r = np.divide(y @ x, scale, out=np.zeros(x.shape[1]), where=scale > 0)
    scope = coalitions.average_over_masks(1 - r, study.table.regions)
    values["by position"] = scope
    chosen = np.tile(halves.top(scope[None], len(scope) // 2), (len(rows), 1))
    return values, [
        _masked(study, "trivial, by position", ~chosen, rows=rows),
        _masked(study, "important, by position", chosen, rows=rows),
    ]


def frame(study: Study) -> pl.DataFrame:
    """Importance of every region of every photograph, for use elsewhere."""
    table = study.table
    return pl.DataFrame(
        {
            "id": table.ids,
            "mos": pl.Series(study.mos, dtype=pl.Float64).fill_nan(None),
            "score": table.scores[:, 0],
            "rows": [rows for rows, _ in table.grids],
            "cols": [cols for _, cols in table.grids],
            **{
                name: pl.Series(values, dtype=pl.Array(pl.Float32, table.regions))
                for name, values in table.importances.items()
            },
        }
    )


def _masked(
    study: Study,
    half: str,
    chosen: npt.NDArray[np.bool_],
    *,
    rows: npt.NDArray[np.int64] | None = None,
    kind: RowKind = "ours",
) -> Masked:
    """Figures with the chosen regions, bool (N, n), masked; of some rows alone if given."""
    at = np.arange(len(study)) if rows is None else rows
    full, mos = study.scores[at, 0], study.mos[at]
    masked = study.scores[at, halves.bits(chosen)]
    seed = study.seed
    return Masked(
        half,
        resampling.correlation(masked, full, seed=seed),
        resampling.correlation(masked, full, stat=srocc, seed=seed),
        resampling.correlation(masked, mos, seed=seed),
        resampling.mean(np.abs(masked - full), seed=seed),
        kind,
    )


def _mean(study: Study, half: str, masks: npt.NDArray[np.int64]) -> Masked:
    """Means over draws of figures, ``masks`` (N, D)."""
    masked = np.take_along_axis(study.scores, masks, axis=1)
    full, seed = study.scores[:, 0], study.seed
    return Masked(
        half,
        resampling.mean_correlation(masked, full, seed=seed),
        resampling.mean_correlation(masked, full, stat=srocc, seed=seed),
        resampling.mean_correlation(masked, study.mos, seed=seed),
        resampling.mean(np.abs(masked - full[:, None]).mean(axis=1), seed=seed),
        "control",
    )


def _table(study: Study, rows: list[Masked], paper: tuple[float, float] | None) -> Table:
    columns = [
        Column("masked", "masked half"),
        Column("plcc", "PLCC"),
        Column("srocc", "SROCC"),
        Column("mos_plcc", "PLCC with MOS"),
        Column("change", "mean change"),
    ]
    made = [Row((row.half, row.plcc, row.srocc, row.mos, row.change), row.kind) for row in rows]
    nothing = resampling.correlation(study.scores[:, 0], study.mos, seed=study.seed)
    made.insert(0, Row(("nothing", 1.0, 1.0, nothing, 0.0), "control"))
    if paper is not None:
        made.insert(1, Row(("trivial, paper", paper[0], None, None, None), "paper"))
        made.insert(2, Row(("important, paper", paper[1], None, None, None), "paper"))
    source = "" if paper is None else f" Paper: {published.SOURCE}."
    return Table(
        "pair",
        "Scores with one half masked",
        tuple(columns),
        tuple(made),
        f"Random halves: mean over {DRAWS} halves a photograph. One half for all: mean over all "
        f"{len(halves.every(study.table.regions))} halves, each masked in every photograph. By "
        f"position: one split for all photographs with a "
        f"{study.common_grid[0]}x{study.common_grid[1]} grid.{source}",
    )


def _position_section(study: Study, values: dict[str, Floats]) -> Section:
    grid = study.common_grid
    count = sum(one == grid for one in study.table.grids)
    shares = {name: one for name, one in values.items() if name.startswith("share ")}
    rows = [
        Row(
            (
                f"{at // grid[1] + 1}, {at % grid[1] + 1}",
                *(float(one[at]) for one in values.values()),
            )
        )
        for at in range(grid[0] * grid[1])
    ]
    columns = (
        Column("region", "row, column"),
        *(Column(name.replace(" ", "_"), name, 4) for name in values),
    )
    return Section(
        "Where the important regions lie",
        f"Over the {count} photographs with a {grid[0]}x{grid[1]} grid. Were position of no "
        "matter, every region would be in the important half of 50 % of the photographs.",
        (Table("positions", "Importance by position", columns, tuple(rows)),),
        (
            Picture(
                "positions",
                "Share of the photographs in whose important half each region is, by criterion.",
                figures.positions(
                    {name.removeprefix("share "): one for name, one in shares.items()},
                    grid,
                    percent=True,
                ),
            ),
            Picture(
                "importance",
                "Mean importance of each region, by criterion.",
                figures.positions(
                    {
                        name.removeprefix("mean "): one
                        for name, one in values.items()
                        if name.startswith("mean ") or name == "by position"
                    },
                    grid,
                ),
            ),
        ),
    )
