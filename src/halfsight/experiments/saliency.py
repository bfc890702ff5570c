"""Which saliency measure predicts where people look: OSIE, with the centre bias as control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from halfsight.experiments import figures
from halfsight.experiments.outcome import Column, Measured, Outcome, Picture, Row, Section, Table
from halfsight.measures import registry
from halfsight.measures.validation import SIGMA, SaliencyRow, validate_saliency

CONTROL = "centre-bias"


def run(
    root: str | Path,
    *,
    limit: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Outcome:
    """Every saliency measure that loads here against the viewers of OSIE.

    Args:
        root: folder of OSIE.
        limit: only the first images.
        progress: told after every image.

    Raises:
        MeasureError: if fewer than two images are used.
        DatasetError: if the data set is not there.
    """
    tell = None if progress is None else (lambda done, total: progress("saliency", done, total))
    return report(validate_saliency(root, limit=limit, progress=tell))


def report(rows: Sequence[SaliencyRow]) -> Outcome:
    """The comparison as a result of an experiment."""
    default = registry.DEFAULTS["saliency"]
    best = max((row for row in rows if row.measure != CONTROL), key=lambda row: row.nss)
    kind = "the default" if best.measure == default else f"the default is {default}"
    columns = (
        Column("measure", "measure"),
        Column("nss", "NSS"),
        Column("auc_judd", "AUC-Judd"),
        Column("cc", "CC"),
        Column("region_srocc", "SROCC of regions"),
        Column("region_matches", "matches of six", 2),
        Column("beats_centre", "beats centre", 2),
        Column("seconds", "seconds", 3),
    )
    lines = [
        Row(
            (
                row.measure,
                measured(row.nss, row.nss_se),
                measured(row.auc_judd, row.auc_judd_se),
                measured(row.cc, row.cc_se),
                row.region_srocc,
                row.region_matches,
                row.beats_centre,
                row.seconds,
            ),
            "control" if row.measure == CONTROL else "ours",
        )
        for row in rows
    ]
    return Outcome(
        experiment="saliency",
        title="Saliency measures against the viewers of OSIE",
        headline=f"{best.measure} ({kind}) predicts the fixations best: NSS {best.nss:.2f}, "
        f"AUC-Judd {best.auc_judd:.3f}, CC {best.cc:.3f} ({best.images} images).",
        facts=(
            ("Data set", "OSIE, 15 viewers an image"),
            ("Images", str(rows[0].images)),
            ("Blur of the fixations", f"{SIGMA:g} pixels, about one degree"),
        ),
        sections=(
            Section(
                "Agreement with fixations",
                "Means over images with 95 % intervals (1.96 standard errors). SROCC of regions "
                "and matches of six compare the twelve regions of a 3x4 grid; three matches are "
                "expected by chance. Beats centre: share of the images with a higher NSS than a "
                "Gaussian at the centre.",
                (Table("saliency", "Saliency measures", columns, tuple(lines)),),
                (
                    Picture(
                        "saliency",
                        "Normalised scanpath saliency (0: no relation).",
                        figures.intervals(
                            [(r.measure, [("NSS", measured(r.nss, r.nss_se))]) for r in rows],
                            label="NSS",
                        ),
                    ),
                ),
            ),
        ),
        summary={"images": rows[0].images, "rows": [asdict(row) for row in rows]},
        caveats=(
            "OSIE's images are rich in people and objects; photographs without them may differ.",
            "Viewers looked freely for three seconds. Where people look is not what quality is.",
        ),
    )


def measured(value: float, error: float) -> Measured:
    """A mean with its interval from a standard error."""
    return Measured(value, value - 1.96 * error, value + 1.96 * error)
