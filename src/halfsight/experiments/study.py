"""What an experiment runs on: photographs with opinions, and the table of a model over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from halfsight import datasets
from halfsight.datasets import Dataset, DatasetError, Sample
from halfsight.datasets.splits import drop_twins
from halfsight.engines import local
from halfsight.engines.plan import plan
from halfsight.engines.units import Job
from halfsight.experiments.halves import likeliest
from halfsight.experiments.store import Progress, without_path
from halfsight.grid import RegionGrid
from halfsight.importance import Criterion, check
from halfsight.masking import positional
from halfsight.scorer import Scorer
from halfsight.table import CoalitionTable, TableError, read_manifest

Floats = npt.NDArray[np.float64]

FEWEST = 5
"""Photographs an experiment needs."""


@dataclass(frozen=True)
class Study:
    """Photographs that have a row in a table of coalitions, in the order of the data set.

    Attributes:
        dataset: name in the registry.
        split: the part, as asked for; ``all`` for all of it.
        samples: the photographs, N of them.
        mos: float64 (N,) on 1..5, nan where unknown.
        table: their rows.
        criterion: what halves the photographs.
        cache: folder of intermediate results.
        seed: of every random draw.
        scorer: the table's model; None if it is not at hand.
        notes: what was left out, in words.
        failures: photographs without a row, with reasons.
    """

    dataset: str
    split: str
    samples: tuple[Sample, ...]
    mos: Floats
    table: CoalitionTable
    criterion: Criterion
    cache: Path
    seed: int = 0
    scorer: Scorer | None = None
    notes: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    _shapes: dict[tuple[int, int], tuple[int, int] | None] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def model(self) -> str:
        """Name of the table's model."""
        return str(self.table.provenance.get("model", "unknown"))

    @property
    def model_hash(self) -> str:
        """SHA-256 of the table's model and its input policy."""
        return str(self.table.provenance.get("model_hash", "unknown"))

    @property
    def has_mos(self) -> bool:
        """Whether there are enough opinions to correlate with."""
        return int(np.isfinite(self.mos).sum()) >= FEWEST

    @cached_property
    def scores(self) -> Floats:
        """Scores of all coalitions, float64 (N, 2**n)."""
        return self.table.scores.astype(np.float64)

    @cached_property
    def row(self) -> Mapping[str, int]:
        """Row of each photograph in the table."""
        return {name: at for at, name in enumerate(self.table.ids)}

    @property
    def common_grid(self) -> tuple[int, int]:
        """The grid most photographs have; portrait ones may have it turned."""
        return likeliest(self.table.grids)

    def grid(self, sample: Sample) -> RegionGrid:
        """Grid of one photograph."""
        return RegionGrid(*self.table.grids[self.row[sample.id]])

    def tokens(self, height: int, width: int) -> tuple[int, int] | None:
        """Token map the table's regions were cut on, of a photograph of that size.

        Raises:
            TableError: if the table's model is not at hand.
        """
        if self.scorer is None:
            raise TableError("the regions of this table need its model; give it with --model")
        size = self.scorer.policy.target_size(height, width)
        if size not in self._shapes:
            self._shapes[size] = self.scorer.token_shape(torch.zeros(1, 3, *size))
        return self._shapes[size]

    @cached_property
    def cut(self) -> Mapping[str, object]:
        """What the edges of the regions depend on, for keys; the model's weights do not enter."""
        grid = self.table.provenance.get("grid")
        if self.scorer is None:
            return {"regions": self.model_hash, "grid": grid}
        policy = self.scorer.policy.to_dict()
        return {"input": policy, "tokens": self.tokens(480, 640), "grid": grid}

    def facts(self) -> tuple[tuple[str, str], ...]:
        """What it is, for people."""
        title = datasets.info(self.dataset).title
        return (
            ("Data set", f"{title}, {self.split}"),
            ("Photographs", f"{len(self)}{''.join(f'; {note}' for note in self.notes)}"),
            ("Model of the regions", f"{self.model} ({self.model_hash[:12]})"),
            ("Regions", f"{self.common_grid[0]}x{self.common_grid[1]}, hidden in the attention"),
            ("Halves by", self.criterion),
            ("Seed", str(self.seed)),
        )

    def summary(self) -> dict[str, Any]:
        """What it is, for machines."""
        return {
            "dataset": self.dataset,
            "split": self.split,
            "photographs": len(self),
            "model": self.model,
            "model_hash": self.model_hash,
            "criterion": self.criterion,
            "seed": self.seed,
            "notes": list(self.notes),
            "failures": list(self.failures),
        }


def choose(
    name: str,
    root: str | Path,
    *,
    split: str | None = None,
    limit: int | None = None,
    without_twins_of: str | None = None,
    cache: Path | None = None,
    labels: str | None = None,
) -> tuple[Dataset, tuple[str, ...]]:
    """The photographs to run on, and what was left out.

    Args:
        name: data set in the registry.
        root: its folder.
        split: the part; None takes all of it.
        limit: only the first ones.
        without_twins_of: leave out photographs that look like one of this split.
        cache: folder that keeps the hashes twins are found by.
        labels: the data set's option ``labels``.

    Raises:
        DatasetError: if it cannot be loaded or too few photographs remain.
    """
    whole = datasets.load(name, root, **({} if labels is None else {"labels": labels}))
    part = whole if split is None else whole.split(split)
    notes: tuple[str, ...] = ()
    if without_twins_of is not None:
        hashes = None if cache is None else cache / "hashes.parquet"
        kept = drop_twins(part, whole.split(without_twins_of), cache=hashes)
        if len(kept) < len(part):
            left = len(part) - len(kept)
            notes = (f"{left} left out that look like one of the {without_twins_of} split",)
        part = kept
    if limit is not None and limit < len(part):
        notes = (*notes, f"the first {limit} of {len(part)}")
        part = part.replace(part.samples[:limit])
    if len(part) < FEWEST:
        raise DatasetError(
            f"got {len(part)} photographs of {name} {split or ''}, expected at least {FEWEST}"
        )
    return part, notes


def table_of(
    part: Dataset,
    scorer: Scorer,
    folder: Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CoalitionTable:
    """The table of a model over the photographs, built where it is not there yet.

    Raises:
        OutputError: if the folder holds something else or cannot be written.
        TableError: if it has a table of another model or other photographs and ``overwrite`` is
            not set, or the model has no tokens.
    """
    if not positional.possible(scorer):
        raise TableError(
            f"got model {scorer.name!r}, expected one with tokens such as triq: the table of all "
            "coalitions of a model without tokens takes a forward pass a coalition"
        )
    job = Job(scorer.name)
    items = [(sample.id, str(sample.path)) for sample in part]
    provenance = job.provenance(scorer)
    try:
        laid_out = plan(folder, items, provenance, job.regions, resume=True)
    except TableError:
        if not overwrite:
            raise
        laid_out = plan(folder, items, provenance, job.regions, overwrite=True)
    tell = None if progress is None else (lambda done, total: progress("table", done, total))
    local.run(laid_out, job, scorer, progress=tell)
    return CoalitionTable.load(folder)


def load_table(folder: Path, scorer: Scorer | None) -> CoalitionTable:
    """A finished table, checked to be of the model given.

    Raises:
        TableError: if there is none, or it is of another model.
    """
    found = read_manifest(folder)["provenance"].get("model_hash")
    if scorer is not None and found != scorer.hash:
        raise TableError(
            f"{folder}: a table of another model than {scorer.name!r} (its hash is "
            f"{str(found)[:12]}, not {scorer.hash[:12]}); give the table's model, or leave --table"
        )
    return CoalitionTable.load(folder)


def study(
    part: Dataset,
    table: CoalitionTable,
    *,
    split: str | None,
    cache: Path,
    criterion: str | None = None,
    seed: int = 0,
    scorer: Scorer | None = None,
    notes: tuple[str, ...] = (),
) -> Study:
    """Join photographs and table.

    Raises:
        CriterionError: if the criterion is unknown.
        DatasetError: if fewer photographs than an experiment needs have a row.
        TableError: if the table lacks photographs that did not fail, or the criterion.
    """
    chosen = (
        check(criterion)
        if criterion
        else ("dist_plcc", "abs_delta")["dist_plcc" not in table.criteria]
    )
    broken = dict(table.failures)
    samples = tuple(sample for sample in part if sample.id not in broken)
    if len(samples) < FEWEST:
        raise DatasetError(
            f"got {len(samples)} photographs that could be read, expected at least {FEWEST}"
        )
    rows = table.select(sample.id for sample in samples)
    rows.importance(chosen)
    mos = [np.nan if s.mos is None else float(part.scale.to_five(s.mos)) for s in samples]
    return Study(
        dataset=part.name,
        split=split or "all",
        samples=samples,
        mos=np.array(mos, dtype=np.float64),
        table=rows,
        criterion=chosen,
        cache=cache,
        seed=seed,
        scorer=scorer,
        notes=notes,
        failures=tuple(without_path(broken[s.id], s) for s in part if s.id in broken),
    )
