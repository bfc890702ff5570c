"""A model ready to score photographs: network, input policy, scale, card."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from halfsight import images
from halfsight.grid import GridError, RegionGrid
from halfsight.images import ImageError, Photograph
from halfsight.masking.attention import exact_table
from halfsight.masking.base import Coalitions, Encoded
from halfsight.models import registry
from halfsight.models.backbone import Backbone, WeightsError
from halfsight.models.base import QualityNet
from halfsight.models.card import ModelCard, Scale
from halfsight.models.external import External
from halfsight.models.inputs import InputError, InputPolicy
from halfsight.models.triq import TRIQ
from halfsight.weights import store

Source = str | os.PathLike[str] | npt.NDArray[Any] | Image.Image | Photograph


@dataclass(frozen=True)
class Prediction:
    """The score of one photograph.

    Attributes:
        score: on the model's scale.
        distribution: probabilities of the levels 1..K, None for scalar heads.
        size: (height, width) in pixels that the network saw.
        notes: what was done to the photograph on the way, in words.
    """

    score: float
    distribution: tuple[float, ...] | None
    size: tuple[int, int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scorer:
    """Scores photographs one by one, so that a score never depends on its neighbours.

    Attributes:
        net: the network, in evaluation mode.
        policy: how photographs reach it.
        card: where its weights come from.
    """

    net: QualityNet = field(repr=False)
    policy: InputPolicy
    card: ModelCard

    @property
    def name(self) -> str:
        """Name in the registry."""
        return self.card.model

    @property
    def scale(self) -> Scale:
        """What the scores mean."""
        return self.card.scale

    @cached_property
    def hash(self) -> str:
        """SHA-256 over every tensor of the network and over the input policy."""
        digest = hashlib.sha256(repr(sorted(self.policy.to_dict().items())).encode())
        for name, tensor in self.net.state_dict().items():
            digest.update(name.encode())
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().tobytes())  # NumPy has no bfloat16
        return digest.hexdigest()

    def read(self, source: Source) -> tuple[Photograph, torch.Tensor, tuple[str, ...]]:
        """A photograph, the network's input (1, 3, H, W), and what was done on the way.

        Raises:
            ImageError: if it cannot be read, or its size is refused.
        """
        photograph = images.read(source)
        try:
            prepared = self.policy.prepare(np.asarray(photograph.pixels))
        except InputError as error:
            problem, _, remedy = str(error).partition("; ")
            raise ImageError(photograph.path or "array", problem, remedy) from None
        notes = (*photograph.notes, prepared.note) if prepared.note else photograph.notes
        return photograph, prepared.tensor, notes

    @torch.inference_mode()
    def predict(self, source: Source) -> Prediction:
        """Score one photograph.

        Args:
            source: path, array (H, W, 3), PIL image or :class:`Photograph`.

        Raises:
            ImageError: if it cannot be read, or its size is refused.
        """
        _, tensor, notes = self.read(source)
        output = self.net(tensor)
        distribution = None
        if output.ndim == 2:
            distribution = tuple(float(p) for p in output[0])
        height, width = int(tensor.shape[-2]), int(tensor.shape[-1])
        score = float(self.net.scores(output)[0])
        return Prediction(score, distribution, (height, width), notes)

    def score(self, source: Source) -> float:
        """Score of one photograph on :attr:`scale`.

        Raises:
            ImageError: if it cannot be read, or its size is refused.
        """
        return self.predict(source).score

    @torch.inference_mode()
    def encode(self, tensor: torch.Tensor) -> Encoded:
        """Input (1, 3, H, W) to tokens; the one backbone pass that all coalitions share.

        Raises:
            TypeError: for models without tokens.
        """
        net = self.transformer()
        tokens, shape = net.tokens(net.backbone(tensor))
        return Encoded(tokens, shape, (int(tensor.shape[-2]), int(tensor.shape[-1])))

    def coalitions(self, encoded: Encoded, grid: RegionGrid) -> Coalitions:
        """Answers under all coalitions of masked regions.

        Raises:
            GridError: if a region would have no token.
        """
        rows, cols = encoded.shape
        if rows < grid.rows or cols < grid.cols:
            raise GridError(
                f"got a {grid} grid for {rows}x{cols} tokens, expected at least one token a "
                "region; use a smaller grid or a larger photograph"
            )
        return exact_table(self.transformer(), encoded, grid)

    def token_shape(self, tensor: torch.Tensor) -> tuple[int, int] | None:
        """(rows, cols) of the tokens of an input (1, 3, H, W), None for models without tokens."""
        if isinstance(self.net, TRIQ):
            return self.encode(tensor).shape
        if isinstance(self.net, External) and self.net.transformer is not None:
            return self.net.token_shape(int(tensor.shape[-2]), int(tensor.shape[-1]))
        return None

    def transformer(self) -> TRIQ:
        """The network, of a model with a backbone and tokens.

        Raises:
            TypeError: for models without tokens.
        """
        if not isinstance(self.net, TRIQ):
            raise TypeError(
                f"got {type(self.net).__name__}, expected a model with tokens such as TRIQ"
            )
        return self.net


def load(
    name: str | os.PathLike[str] = "triq",
    *,
    offline: bool = True,
    budget: str | float | None = None,
    tolerance: float | None = None,
) -> Scorer:
    """A model by name, with its embedded weights, or from a weight file with its card beside it.

    Args:
        name: name in the registry (of a built-in model, or of one that another package brings),
            or path of a ``.safetensors`` or ``.onnx`` file.
        offline: forbid downloads of backbone weights that no installed package carries.
        budget: read a part of each photograph: a share such as ``0.5``, a number of regions such
            as ``6``, or ``auto``; None reads it whole.
        tolerance: with ``auto``, the largest error against the full score, in its units.

    Raises:
        UnknownModelError: if nothing is registered under the name.
        WeightsError: if its weights are not at hand or damaged.
        BudgetError: if the budget makes no sense, or not for this model.
    """
    if budget is not None:
        from halfsight.budget import files  # its scorers are scorers, and it imports this

        return files.load(name, budget=budget, tolerance=tolerance, offline=offline)
    text = os.fspath(name)
    if text.endswith(".onnx"):
        from halfsight import wrapping  # it makes scorers, and imports this

        return wrapping.load_onnx(text)
    make = registry.ready(text)
    if make is not None:
        return _made(text, make)
    if text.endswith(".safetensors"):
        path = Path(text)
    else:
        entry = registry.entry(text)
        found = store.embedded(text)
        if found is None:
            raise WeightsError(
                f"no weights of {entry.title} come with the package; train it "
                f"(halfsight train {text} ...) or import the authors' (halfsight weights import), "
                "then give the .safetensors file as the model"
            )
        path = found
    net, card = store.load(path, offline=offline)
    for module in net.modules():
        if isinstance(module, Backbone):
            module.fuse()
    return Scorer(net, registry.entry(card.model).policy(net), card)


def _made(name: str, make: Callable[[], Any]) -> Scorer:
    """The finished scorer of another package.

    Raises:
        WeightsError: if its function fails, or returns something else.
    """
    try:
        made = make()
    except Exception as error:  # it may fail in any way
        raise WeightsError(
            f"model {name!r} of another package failed to load ({type(error).__name__}: {error}); "
            "ask its makers"
        ) from error
    if not isinstance(made, Scorer):
        raise WeightsError(
            f"got {type(made).__name__} from model {name!r} of another package, expected a Scorer; "
            "return what halfsight.wrap gives"
        )
    return made
