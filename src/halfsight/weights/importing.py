"""The authors' weight files to safetensors with a card; they are read, never run."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from halfsight.models import registry
from halfsight.models.backbone import WeightsError, file_sha256
from halfsight.models.base import QualityNet
from halfsight.models.card import ModelCard, Scale
from halfsight.models.registry import ModelEntry
from halfsight.weights import store
from halfsight.weights.importers.base import HDF5_SIGNATURE, Imported, Importer

if TYPE_CHECKING:
    from collections.abc import Mapping

MODELS = ("triq", "aihiqnet", "koncept512", "dbcnn")
"""Models whose authors' files can be read, each by the module of its name in ``importers``."""


def importer(model: str) -> Importer:
    """The reader of a model's authors' files.

    Raises:
        UnknownModelError: if no such model is registered.
        ValueError: if its authors' files cannot be read.
    """
    title = registry.entry(model).title
    if model not in MODELS:
        raise ValueError(
            f"got model {model!r}, expected one of {', '.join(MODELS)}; "
            f"no weights of {title} are known that could be imported"
        )
    found: Importer = import_module(f"halfsight.weights.importers.{model}").IMPORTER
    return found


def import_weights(
    source: Path,
    model: str,
    out: Path,
    *,
    options: Mapping[str, str] | None = None,
    scale: Scale | None = None,
) -> ModelCard:
    """Read an authors' file and write ``out`` with its card beside it; returns the card.

    Args:
        source: the authors' file: Keras ``.h5``, or PyTorch ``.pth`` or ``.pkl``.
        model: name of the model whose file it is, one of :data:`MODELS`.
        out: the safetensors file to write.
        options: choices that the model's reader offers, such as ``positions`` of TRIQ.
        scale: what the scores mean, if the file was trained on another scale than the card says.

    Raises:
        UnknownModelError: if no such model is registered.
        ValueError: if the model, an option or the name of ``out`` is not one of those allowed.
        WeightsError: if the file is damaged, of another shape, or of another model.
        OutputError: if ``out`` cannot be written.
    """
    reader = importer(model)
    chosen = _chosen(reader, options or {})
    if out.suffix != ".safetensors":
        raise ValueError(f"got output {str(out)!r}, expected a name that ends in .safetensors")
    _check_kind(source, reader)
    found = reader.read(source, **chosen)
    entry = registry.entry(model)
    net = _network(entry, found)
    digest = file_sha256(source)
    flags = "".join(f" --{name} {value}" for name, value in chosen.items())
    if scale is not None:
        flags += f" --scale {scale.min:g} {scale.max:g}"
        flags += "" if scale.higher_is_better else " --lower-is-better"
    card = ModelCard(
        model=model,
        title=entry.title,
        status="imported",
        paper=entry.paper,
        licence=(
            f"the authors' weights; their repository {reader.repository} is MIT and says nothing "
            "else of them"
        ),
        scale=scale or found.scale,
        config=found.config,
        input=entry.policy(net).to_dict(),
        tensors=f"all, from {source.name}",
        data=(reader.weights,),
        recipe={
            "imported": {
                "file": source.name,
                "sha256": digest,
                "bytes": source.stat().st_size,
                "repository": reader.repository,
            }
        },
        command=f"halfsight weights import {source.name} --as {model}{flags} -o {out.name}",
        date=datetime.now(UTC).date().isoformat(),
        versions={name: version(name) for name in ("halfsight", "torch", "timm")},
        reading=entry.reading,
        limits=found.limits,
    )
    return store.save(out, net, card, names=set(net.state_dict()))


def _network(entry: ModelEntry, found: Imported) -> QualityNet:
    """The network with the file's tensors; it is never filled with fresh ones, which takes long."""
    with torch.device("meta"):
        net = entry.build(**found.config)
    counters = {
        name: torch.zeros((), dtype=torch.long)
        for name in net.state_dict()
        if name.endswith("num_batches_tracked")
    }
    net.load_state_dict(counters | found.state, assign=True)
    return net


def _chosen(reader: Importer, options: Mapping[str, str]) -> dict[str, str]:
    """Every option of the reader with its value."""
    for name, value in options.items():
        allowed = reader.options.get(name)
        if allowed is None:
            raise ValueError(f"got option {name}, expected none such for {reader.model}")
        if value not in allowed:
            raise ValueError(f"got {name} {value!r}, expected {' or '.join(allowed)}")
    return {name: options.get(name, values[0]) for name, values in reader.options.items()}


def _check_kind(source: Path, reader: Importer) -> None:
    """Refuse folders, empty files, and files of the other library."""
    if source.is_dir():
        raise WeightsError(f"{source}: got a folder, expected the authors' file")
    try:
        with source.open("rb") as stream:
            start = stream.read(len(HDF5_SIGNATURE))
    except OSError as error:
        raise WeightsError(f"{source}: {error.strerror or error}") from None
    if not start:
        raise WeightsError(f"{source}: the file is empty; get it again")
    if (start == HDF5_SIGNATURE) != reader.keras:
        got = "a Keras HDF5 file" if start == HDF5_SIGNATURE else "no HDF5 file"
        wanted = "Keras .h5" if reader.keras else "PyTorch .pth or .pkl"
        raise WeightsError(
            f"{source}: is {got}, expected the {wanted} file of {reader.repository}; "
            "check --as, or get the file again"
        )
