"""DBCNN: the authors' state dict, ``net_params_best.pkl`` (zwx8981/DBCNN-PyTorch)."""

from __future__ import annotations

from pathlib import Path

import torch

from halfsight.models import registry
from halfsight.models.card import Scale
from halfsight.weights.importers.base import Imported, Importer, read_tensors, renamed

PREFIXES = {"backbone.net.features": "features1", "scnn": "features2", "head": "fc"}


def read(path: Path) -> Imported:
    """The authors' DBCNN on VGG-16, of either training stage.

    Raises:
        WeightsError: if it is damaged, of another shape or of another network.
    """
    with torch.device("meta"):
        wanted = registry.entry("dbcnn").build().state_dict()
    names = {}
    for ours in wanted:
        prefix = next(prefix for prefix in PREFIXES if ours.startswith(f"{prefix}."))
        names[ours] = PREFIXES[prefix] + ours.removeprefix(prefix)
    return Imported(
        config={},
        state=renamed(read_tensors(path), wanted, names, path),
        scale=Scale(min=0, max=100),
        limits="Scores are in the units of the data set it was trained on, which the file does not "
        "say: 0 to 100, higher is better, unless given at import. Photographs above 1024x768 "
        "pixels are reduced to that area; the authors' code takes them as they are.",
    )


IMPORTER = Importer(
    model="dbcnn",
    repository="zwx8981/DBCNN-PyTorch",
    weights="LIVE, CSIQ, TID2013 or LIVE Challenge; the file does not say which",
    keras=False,
    read=read,
)
