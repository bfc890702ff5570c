"""The files of one explanation."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from halfsight.models.backbone import file_sha256
from halfsight.outputs import write_atomic
from halfsight.report import page
from halfsight.report.embed import jpeg
from halfsight.report.figure import draw, shown
from halfsight.versions import versions

if TYPE_CHECKING:
    from halfsight.explanation import Explanation

THUMB = 160
"""Longest side in pixels of the small picture."""


def write(explanation: Explanation, folder: Path) -> None:
    """Write all files but the manifest into an empty folder.

    These are ``explanation.json``, the interactive page ``explanation.html``, the figure
    ``explanation.png``, the maps' values ``maps.npz``, and ``thumb.jpg`` for an index of many.
    """
    write_atomic(folder / "explanation.json", json.dumps(explanation.to_dict()) + "\n")
    write_atomic(folder / "explanation.html", page.render(explanation))
    thumb = shown(np.asarray(explanation.photograph.pixels), longest=THUMB)
    write_atomic(folder / "thumb.jpg", jpeg(thumb, quality=78))
    draw(explanation).savefig(folder / "explanation.png")
    maps: dict[str, Any] = dict(explanation.maps)
    np.savez_compressed(folder / "maps.npz", **maps)


def manifest(explanation: Explanation, folder: Path) -> dict[str, Any]:
    """What made the result: versions, model, options, and the digests of the files."""
    return {
        "made_by": "halfsight",
        "made_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "photograph": explanation.path,
        "model": explanation.model.model,
        "model_hash": explanation.model_hash,
        "weights_sha256": explanation.model.sha256,
        "options": explanation.options,
        "files": {
            path.name: file_sha256(path) for path in sorted(folder.iterdir()) if path.is_file()
        },
    }
