"""ONNX files as modules, through onnxruntime, and the JSON file beside them that says the rest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from halfsight.models.backbone import WeightsError, file_sha256

Layout = Literal["NCHW", "NHWC"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)

TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}


class Sidecar(BaseModel):
    """``NAME.json`` beside ``NAME.onnx``: what the file itself does not say.

    Attributes:
        size: (height, width) in pixels, null where the file fixes it or takes all sizes.
        mean: subtracted from RGB in [0, 1], one number or one a channel.
        std: divided by afterwards.
        scale: lowest and highest score.
        higher_is_better: False for models of impairment.
        name: what results call the model; the file's name by default.
        layout: NCHW or NHWC, null where the shape of the input tells.
        logits: True if the file gives logits of levels.
        output: name of the output, null where there is only one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: tuple[int, int] | None = None
    mean: float | tuple[float, float, float]
    std: float | tuple[float, float, float]
    scale: tuple[float, float]
    higher_is_better: bool = True
    name: str | None = None
    layout: Layout | None = None
    logits: bool = False
    output: str | None = None


def read_sidecar(path: Path) -> Sidecar:
    """The JSON file beside an ONNX file.

    Raises:
        WeightsError: if it is missing or says something else.
    """
    beside = path.with_suffix(".json")
    example = '{"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "scale": [0, 100]}'
    try:
        return Sidecar.model_validate_json(beside.read_bytes())
    except OSError as error:
        raise WeightsError(
            f"{beside}: {error.strerror or error}; an ONNX file needs it to say how images reach "
            f"the model and what its scores mean, for example {example}"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise WeightsError(
            f"{beside}: {where}: {first['msg']}; expected for example {example}"
        ) from None


class OnnxModule(nn.Module):
    """An ONNX file as a module: images (N, 3, H, W) in, the chosen output out.

    Attributes:
        path: the file.
        layout: how it wants its images.
        size: (height, width) in pixels that it fixes, or None.
        batch: images a call that it fixes, or None.
        sha256: digest of the file, and of the tensors kept beside it in ``NAME.onnx.data``.
    """

    def __init__(
        self, path: Path, *, layout: Layout | None = None, output: str | None = None
    ) -> None:
        super().__init__()
        self.path = path
        if layout is not None and layout not in LAYOUTS:
            raise ValueError(f"got layout {layout!r}, expected NCHW or NHWC")
        self.session = _session(path)
        inputs = self.session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            found = ", ".join(f"{one.name} {one.shape}" for one in inputs)
            raise WeightsError(f"{path}: got inputs {found}, expected one batch of images")
        self.input = str(inputs[0].name)
        if inputs[0].type not in TYPES:
            raise WeightsError(
                f"{path}: got an input of type {inputs[0].type}, expected one of "
                f"{', '.join(TYPES)}; export it with floating point input"
            )
        self.element = TYPES[inputs[0].type]
        shape = [length if isinstance(length, int) else None for length in inputs[0].shape]
        self.layout: Layout = layout or _layout(path, shape)
        height, width = shape[2:] if self.layout == "NCHW" else shape[1:3]
        self.size = None if height is None or width is None else (height, width)
        self.batch = shape[0]
        names = [str(one.name) for one in self.session.get_outputs()]
        if output is None and len(names) > 1:
            raise WeightsError(
                f"{path}: got outputs {', '.join(names)}, expected one; name it with output="
            )
        if output is not None and output not in names:
            raise WeightsError(f"{path}: got output {output!r}, expected one of {', '.join(names)}")
        self.output = output or names[0]
        self.sha256 = _digest(path)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) to the file's output."""
        given = images.permute(0, 2, 3, 1) if self.layout == "NHWC" else images
        array = np.ascontiguousarray(given.cpu().numpy(), dtype=self.element)
        (answer,) = self.session.run([self.output], {self.input: array})
        return torch.from_numpy(np.array(answer, dtype=np.float32))


def _session(path: Path) -> Any:
    """An inference session on the CPU.

    Raises:
        WeightsError: if onnxruntime is not installed, or cannot read the file.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise WeightsError(
            f"{path}: ONNX files need onnxruntime; run: pip install 'halfsight[onnx]'"
        ) from None
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; check the spelling")
    try:
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no common class of errors
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path}: not an ONNX model that can be run ({reason})") from None


def _digest(path: Path) -> str:
    """SHA-256 of a file; with one beside it that holds the tensors, of both."""
    beside = path.with_name(f"{path.name}.data")
    if not beside.is_file():
        return file_sha256(path)
    both = f"{file_sha256(path)} {file_sha256(beside)}"
    return hashlib.sha256(both.encode()).hexdigest()


def _layout(path: Path, shape: list[int | None]) -> Layout:
    """Where the three channels are, by the input's shape.

    Raises:
        WeightsError: if the shape does not tell.
    """
    first, last = shape[1] == 3, shape[3] == 3
    if first == last:
        raise WeightsError(
            f"{path}: got an input of shape {shape}, which does not tell where its 3 channels are; "
            "give layout NCHW or NHWC"
        )
    return "NCHW" if first else "NHWC"
