"""Scorers of other people's models: torch modules and ONNX files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from halfsight.models import vit
from halfsight.models.backbone import Normalisation, WeightsError
from halfsight.models.card import ModelCard, Scale
from halfsight.models.external import External
from halfsight.models.inputs import InputPolicy
from halfsight.models.onnx import Layout, OnnxModule, read_sidecar
from halfsight.scorer import Scorer

MAX_PIXELS = 1024 * 768
SMALLEST = 32


def wrap(
    module: nn.Module,
    *,
    size: tuple[int, int] | None = None,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    scale: tuple[float, float] = (0, 100),
    higher_is_better: bool = True,
    name: str | None = None,
    logits: bool = False,
    batch: int | None = None,
    max_pixels: int | None = MAX_PIXELS,
) -> Scorer:
    """Make a scorer of any torch module.

    The module is given images (N, 3, H, W): RGB in [0, 1], less ``mean``, divided by ``std``; a
    module that wants 0 to 255 has ``std=1/255``. It gives one score an image, (N,) or (N, 1), or
    one probability a quality level, (N, K), lowest level first. It is left in the mode, on the
    device and in the precision it has.

    A timm VisionTransformer that is read by its class token, alone or as a part of the module, can
    be masked in its attention; all other modules are masked in their pixels.

    Args:
        module: the model.
        size: (height, width) in pixels that all photographs are stretched to. None keeps their
            size up to ``max_pixels``, or takes the size a VisionTransformer was made for.
        mean: of RGB in [0, 1], one number or three.
        std: of RGB in [0, 1], one number or three.
        scale: lowest and highest score. K levels lie evenly on it.
        higher_is_better: False for models of impairment.
        name: what results call the model; the name of its class by default.
        logits: True if it gives K logits rather than probabilities.
        batch: most images in a call: 1 for modules that take one image at a time. None lets the
            size decide.
        max_pixels: larger photographs are reduced to this area, their proportions kept; None
            reduces none.

    Raises:
        TypeError: if it is no torch module.
        ValueError: if an option does not make sense.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"got {type(module).__name__}, expected a torch.nn.Module; for functions, write a "
            "module whose forward calls them"
        )
    called = name or type(module).__name__
    return _scorer(
        module,
        size=size,
        normalisation=_normalisation(mean, std),
        scale=_scale(scale, higher_is_better),
        name=called,
        logits=logits,
        batch=batch,
        max_pixels=max_pixels,
    )


def wrap_onnx(
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    scale: tuple[float, float] = (0, 100),
    higher_is_better: bool = True,
    name: str | None = None,
    logits: bool = False,
    layout: Layout | None = None,
    output: str | None = None,
    max_pixels: int | None = MAX_PIXELS,
) -> Scorer:
    """Make a scorer of an ONNX file; needs onnxruntime (``pip install 'halfsight[onnx]'``).

    Args:
        path: the file.
        size: as in :func:`wrap`; None takes the size the file fixes, if it does.
        mean: as in :func:`wrap`.
        std: as in :func:`wrap`.
        scale: as in :func:`wrap`.
        higher_is_better: as in :func:`wrap`.
        name: what results call the model; the file's name by default.
        logits: as in :func:`wrap`.
        layout: NCHW or NHWC; None lets the shape of the input tell.
        output: name of the output, if there are several.
        max_pixels: as in :func:`wrap`.

    Raises:
        ValueError: if an option does not make sense, or contradicts the file.
        WeightsError: if the file is missing or damaged, if it does not take images, or if
            onnxruntime is not installed.
    """
    place = Path(path)
    module = OnnxModule(place, layout=layout, output=output)
    if size is not None and module.size is not None and tuple(size) != module.size:
        raise ValueError(
            f"got size {tuple(size)} for {place}, expected {module.size}, which the file fixes; "
            "leave size out"
        )
    if module.batch not in (None, 1):
        raise WeightsError(
            f"{place}: got a fixed batch of {module.batch} images, expected 1 or any; "
            "export it with a dynamic batch"
        )
    return _scorer(
        module,
        size=size or module.size,
        normalisation=_normalisation(mean, std),
        scale=_scale(scale, higher_is_better),
        name=name or place.stem,
        logits=logits,
        batch=module.batch,
        max_pixels=max_pixels,
        identity=f"{module.sha256} {module.layout} {module.output}",
        sha256=module.sha256,
    )


def load_onnx(path: str | os.PathLike[str]) -> Scorer:
    """A scorer of an ONNX file and the JSON file beside it.

    Raises:
        WeightsError: if either is missing or damaged.
    """
    place = Path(path)
    if not place.is_file():
        raise WeightsError(f"{place}: no such file; check the spelling")
    beside = read_sidecar(place)
    try:
        return wrap_onnx(place, **beside.model_dump())
    except ValueError as error:
        raise WeightsError(f"{place.with_suffix('.json')}: {error}") from None


def _scorer(
    module: nn.Module,
    *,
    size: tuple[int, int] | None,
    normalisation: Normalisation,
    scale: Scale,
    name: str,
    logits: bool,
    batch: int | None,
    max_pixels: int | None,
    identity: str = "",
    sha256: str = "",
) -> Scorer:
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ValueError(f"got size {size}, expected (height, width) in pixels")
    net = External(module, name=name, scale=scale, logits=logits, batch=batch, identity=identity)
    if size is None and (found := vit.find(module)) is not None:
        size = vit.input_size(found)
    policy = InputPolicy(
        normalisation,
        size=None if size is None else (int(size[0]), int(size[1])),
        max_pixels=max_pixels,
        min_side=SMALLEST,
        smallest=SMALLEST,
    )
    inputs: dict[str, Any] = policy.to_dict()
    card = ModelCard(
        model=name,
        title=name,
        status="user's own",
        paper="",
        licence="",
        scale=scale,
        input=inputs,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        sha256=sha256,
    )
    return Scorer(net, policy, card)


def _normalisation(mean: float | Sequence[float], std: float | Sequence[float]) -> Normalisation:
    values = []
    for what, given in (("mean", mean), ("std", std)):
        three = (given,) * 3 if isinstance(given, (int, float)) else tuple(map(float, given))
        if len(three) != 3:
            raise ValueError(f"got {what} {given}, expected one number or three")
        values.append((float(three[0]), float(three[1]), float(three[2])))
    if min(values[1]) <= 0:
        raise ValueError(f"got std {std}, expected numbers above 0")
    return Normalisation(values[0], values[1])


def _scale(scale: tuple[float, float], higher_is_better: bool) -> Scale:
    low, high = scale
    if not low < high:
        raise ValueError(
            f"got scale {scale}, expected (lowest score, highest score); where lower is better, "
            "give higher_is_better=False"
        )
    return Scale(min=low, max=high, higher_is_better=higher_is_better)
