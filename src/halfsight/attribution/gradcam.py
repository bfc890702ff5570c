"""Grad-CAM on the last feature map (Selvaraju et al., ICCV 2017, arXiv 1610.02391).

The weight of a channel is the mean over its cells of the target's gradient; the map is the sum of
the channels by their weights. Captum computes it. The paper keeps only what is positive, as it asks
what speaks for a class; a quality score is pulled both ways, so here the sign stays by default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from captum.attr import LayerGradCam
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from halfsight.attribution.base import Answer, AttributionError, Interpolation, Question
from halfsight.models.base import WHOLE

CUT = "(features)"
"""How the options name the map at which a network is cut; it need not be a module's output."""

Layout = Literal["channels first", "channels last"]


def gradcam(
    question: Question,
    *,
    layer: str | None = None,
    relu: bool = False,
    interpolation: Interpolation = "bilinear",
) -> Answer:
    """Grad-CAM of one photograph.

    Args:
        question: what is explained.
        layer: name of the module whose output (1, C, h, w) or (1, h, w, C) is weighted, as in
            ``net.named_modules()``. None takes the backbone's last feature map.
        relu: keep only what raises the target, as the paper does.
        interpolation: ``bilinear`` or ``nearest``, from the feature map to the photograph.

    Raises:
        AttributionError: if there is no such layer, no feature map, or no gradient.
    """
    used, features = (layer, None) if layer is not None else last_map(question)
    tap = nn.Identity()  # captum hooks modules, and the cut of a network is none
    if features is not None:
        coarse = _captum(question, tap, features, lambda x: _rest(question, tap(x)), relu)
    else:
        with tapped(question, used, tap):
            coarse = _captum(question, tap, question.tensor, question.net, relu)
    large = question.enlarge(coarse[0, 0], interpolation)
    return Answer(large, {"layer": used, "relu": relu, "interpolation": interpolation})


def last_map(question: Question) -> tuple[str, Tensor | None]:
    """Where the backbone's last feature map is to be had.

    That is the map at which the network is cut, or the last one that a module of its backbone
    gives, if that is coarser: networks that read several maps are cut at the finest. Networks
    without a backbone of ours are searched whole.

    Returns:
        :data:`CUT` and the map, or the module's name and None.

    Raises:
        AttributionError: if there is no feature map.
    """
    net, size = question.net, question.size
    backbone = getattr(net, "backbone", None)
    searched = "backbone." if isinstance(backbone, nn.Module) else ""
    found: list[tuple[str, int]] = []

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, given: Any, output: Any) -> None:
            if layout_of(output, size) is not None:
                found.append((name, _cells(output, size)))

        return hook

    handles = [
        module.register_forward_hook(note(name))
        for name, module in net.named_modules()
        if name and name.startswith(searched)
    ]
    try:
        with torch.no_grad():
            features = net.stem(question.tensor, WHOLE)
            net.rest(features, WHOLE)
    finally:
        for handle in handles:
            handle.remove()
    cut = layout_of(features, size) == "channels first"
    if cut and (not found or _cells(features, size) <= found[-1][1]):
        return CUT, features
    # what a vision transformer gives in four dimensions is its patches or its attention
    if found and not any(isinstance(module, VisionTransformer) for module in net.modules()):
        return found[-1][0], None
    raise AttributionError(
        f"got {type(net).__name__} for gradcam, expected a network with a feature map "
        "(1, C, h, w); use lime or rollout, or name a layer"
    )


def layout_of(values: object, size: tuple[int, int]) -> Layout | None:
    """How a module's output shows the input as a smaller map of one image; None if it does not.

    Args:
        values: whatever a module gave.
        size: (height, width) of the network's input in pixels.
    """
    if not isinstance(values, Tensor) or values.ndim != 4 or len(values) != 1:
        return None
    if _same_stride((values.shape[2], values.shape[3]), size):
        return "channels first"
    return "channels last" if _same_stride((values.shape[1], values.shape[2]), size) else None


def _same_stride(shape: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether one stride makes rows and columns of the size, to within one cell each."""
    if shape[0] * shape[1] <= 1 or shape[0] >= size[0] or shape[1] >= size[1]:
        return False
    lowest = max(pixels / (cells + 1) for cells, pixels in zip(shape, size, strict=True))
    highest = min(pixels / max(cells - 1, 0.5) for cells, pixels in zip(shape, size, strict=True))
    return lowest <= highest


def _cells(values: Tensor, size: tuple[int, int]) -> int:
    rows = values.shape[1:3] if layout_of(values, size) == "channels last" else values.shape[2:]
    return int(rows[0] * rows[1])


@contextmanager
def tapped(question: Question, name: str, tap: nn.Module) -> Iterator[None]:
    """The named module's output flows through ``tap``, channels first.

    Raises:
        AttributionError: if there is no such module, or it gives no feature map.
    """
    modules: dict[str, nn.Module] = dict(question.net.named_modules())
    modules.pop("", None)
    if name not in modules:
        raise AttributionError(
            f"got layer {name!r}, expected a module of {type(question.net).__name__} such as "
            f"{', '.join(list(modules)[-3:])}"
        )

    def hook(_: nn.Module, given: Any, output: Any) -> Tensor:
        layout = layout_of(output, question.size)
        if layout is None:
            raise AttributionError(
                f"got layer {name!r}, which gives no feature map (1, C, h, w); name another layer"
            )
        if layout == "channels first":
            passed: Tensor = tap(output)
            return passed
        passed = tap(output.permute(0, 3, 1, 2))
        return passed.permute(0, 2, 3, 1)

    handle = modules[name].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _rest(question: Question, features: Tensor) -> Tensor:
    return question.net.rest(features, WHOLE)


def _captum(
    question: Question,
    tap: nn.Module,
    inputs: Tensor,
    forward: Callable[[Tensor], Tensor],
    relu: bool,
) -> Tensor:
    """The map (1, 1, h, w) at ``tap`` while ``forward`` runs on ``inputs``."""

    def target(given: Tensor) -> Tensor:
        values = question.number(forward(given))
        if not values.requires_grad:
            raise AttributionError(
                "got a target without a gradient, expected one that torch can differentiate; "
                "compute it from the model's output, without detaching, or name another layer"
            )
        return values

    try:
        coarse: Tensor = LayerGradCam(target, tap).attribute(inputs, relu_attributions=relu)
    except AssertionError as error:  # captum's way to say that the layer never ran
        raise AttributionError(f"gradcam: {error}; name another layer") from error
    return coarse
