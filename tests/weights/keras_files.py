"""Keras weight files of the authors' layouts, and what their networks answer, layer by layer.

Nothing of halfsight is used: names and shapes are those of the files, and the layers are computed
from the arrays as Keras defines them.
"""

from __future__ import annotations

import math
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

Numbers = npt.NDArray[np.float32]
Layers = dict[str, dict[str, Numbers]]
"""Arrays by layer and full name, in the order of the file."""


class Random:
    """Arrays of the sizes that keep a deep network's answers apart."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def kernel(self, *shape: int) -> Numbers:
        spread = math.sqrt(2 / math.prod(shape[:-1]))
        return self.rng.standard_normal(shape, dtype=np.float32) * np.float32(spread)

    def vector(self, *shape: int, low: float = -0.3, high: float = 0.3) -> Numbers:
        return self.rng.uniform(low, high, shape).astype(np.float32)


def write(path: Path, layers: Layers, *, inside: str | None = None) -> None:
    """As ``save_weights`` writes, or ``inside`` a group as a saved model has them."""
    with h5py.File(path, "w") as file:
        root = file if inside is None else file.create_group(inside)
        root.attrs["backend"] = b"tensorflow"
        root.attrs["keras_version"] = b"2.3.0-tf"
        names = ("input_1", *layers, "conv1_relu")  # also layers without weights
        root.attrs["layer_names"] = np.array(names, dtype="S")
        for name in names:
            group = root.create_group(name)
            arrays = layers.get(name, {})
            group.attrs["weight_names"] = np.array(list(arrays), dtype="S")
            for array, numbers in arrays.items():
                group[array] = numbers


def resnet50(random: Random) -> Layers:
    layers: Layers = {}

    def unit(name: str, *shape: int, gain: float = 1.0) -> None:
        count = shape[-1]
        layers[f"{name}_conv"] = {
            f"{name}_conv/kernel:0": random.kernel(*shape),
            f"{name}_conv/bias:0": random.vector(count),
        }
        layers[f"{name}_bn"] = {
            f"{name}_bn/gamma:0": random.vector(count, low=0.7 * gain, high=1.3 * gain),
            f"{name}_bn/beta:0": random.vector(count),
            f"{name}_bn/moving_mean:0": random.vector(count),
            f"{name}_bn/moving_variance:0": random.vector(count, low=0.5, high=1.5),
        }

    unit("conv1", 7, 7, 3, 64)
    before = 64
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 2):
        for block in range(1, blocks + 1):
            name = f"conv{stage}_block{block}"
            if block == 1:
                unit(f"{name}_0", 1, 1, before, 4 * width)
            unit(f"{name}_1", 1, 1, before, width)
            unit(f"{name}_2", 3, 3, width, width)
            unit(f"{name}_3", 1, 1, width, 4 * width, gain=0.3)
            before = 4 * width
    return layers


def triq(random: Random, backbone: Layers, *, levels: int = 5, first_dense: int = 0) -> Layers:
    """``first_dense`` is Keras' count when the network was made in a session with others."""
    group = "tri_q_image_quality_transformer"
    arrays: dict[str, Numbers] = {
        f"{group}/conv2d/kernel:0": random.kernel(1, 1, 2048, 32),
        f"{group}/conv2d/bias:0": random.vector(32),
    }
    count = first_dense

    def dense(prefix: str, rows: int, cols: int) -> None:
        nonlocal count
        name = f"{prefix}dense_{count}" if count else f"{prefix}dense"
        arrays[f"{name}/kernel:0"] = random.kernel(rows, cols)
        arrays[f"{name}/bias:0"] = random.vector(cols)
        count += 1

    for block in ("transformer_block", "transformer_block_1"):
        for _ in range(4):
            dense(f"{group}/{block}/multi_head_attention/", 32, 32)
        dense("", 32, 64)
        dense("", 64, 32)
        for norm in ("layer_normalization", "layer_normalization_1"):
            arrays[f"{group}/{block}/{norm}/gamma:0"] = random.vector(32, low=0.7, high=1.3)
            arrays[f"{group}/{block}/{norm}/beta:0"] = random.vector(32)
    dense("", 32, 64)
    dense("", 64, levels)
    arrays["pos_emb:0"] = random.vector(1, 193, 32, low=-1, high=1)
    arrays["quality_emb:0"] = random.vector(1, 1, 32)
    return backbone | {group: arrays}


def aihiqnet(random: Random, backbone: Layers, *, levels: int = 5, first: int = 0) -> Layers:
    """``first`` is Keras' count of layers of a kind made before in the same session."""
    layers = dict(backbone)

    def put(name: str, *shape: int, bias: bool = True) -> None:
        layers[name] = {f"{name}/kernel:0": random.kernel(*shape)}
        if bias:
            layers[name][f"{name}/bias:0"] = random.vector(shape[-1])

    for level, channels in ((5, 2048), (4, 1024), (3, 512), (2, 256)):
        put(f"fpn_C{level}_reduced", 1, 1, channels, 256)
    for level in (2, 3, 4, 5):
        put(f"fpn_P{level}", 3, 3, 256, 256)
    put("fpn_P6", 3, 3, 2048, 256)
    for number in reversed(range(first, first + 5)):  # the order of a file is no promise
        suffix = f"_{number}" if number else ""
        put(f"dense{suffix}", 256, 256)
        put(f"conv2d{suffix}", 7, 7, 2, 1, bias=False)
    for level in range(5):
        put(f"P{level}_fc_prediction", 256, levels)
    return layers


class Oracle:
    """The layers of a file as functions; feature maps are (1, channels, height, width)."""

    def __init__(self, layers: Layers) -> None:
        self.layers = layers

    def array(self, layer: str, kind: str) -> Tensor:
        return torch.from_numpy(self.layers[layer][f"{layer}/{kind}:0"])

    def conv(self, x: Tensor, layer: str, *, stride: int = 1, bias: bool = True) -> Tensor:
        """Padding "same": TensorFlow's, with the odd pixel after."""
        kernel = self.array(layer, "kernel").permute(3, 2, 0, 1)
        side = kernel.shape[-1]
        pads = []
        for size in (x.shape[3], x.shape[2]):
            total = max((math.ceil(size / stride) - 1) * stride + side - size, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), kernel, self.array(layer, "bias") if bias else None, stride)

    def norm(self, x: Tensor, layer: str) -> Tensor:
        parts = ("gamma", "beta", "moving_mean", "moving_variance")
        gamma, beta, mean, variance = (self.array(layer, p)[:, None, None] for p in parts)
        return gamma * (x - mean) / torch.sqrt(variance + 1.001e-5) + beta

    def dense(self, x: Tensor, layer: str) -> Tensor:
        return x @ self.array(layer, "kernel") + self.array(layer, "bias")

    def resnet50(self, x: Tensor) -> list[Tensor]:
        """Maps C2 to C5 of an image in [-1, 1]; the stride is in each stage's first 1x1."""
        kernel = self.array("conv1_conv", "kernel").permute(3, 2, 0, 1)
        x = F.conv2d(F.pad(x, (3, 3, 3, 3)), kernel, self.array("conv1_conv", "bias"), 2)
        x = F.max_pool2d(F.pad(self.norm(x, "conv1_bn").relu(), (1, 1, 1, 1)), 3, 2)
        maps = []
        for stage, blocks in enumerate((3, 4, 6, 3), 2):
            for block in range(1, blocks + 1):
                name = f"conv{stage}_block{block}"
                stride = 2 if stage > 2 and block == 1 else 1
                short = x
                if block == 1:
                    short = self.conv(x, f"{name}_0_conv", stride=stride)
                    short = self.norm(short, f"{name}_0_bn")
                y = self.norm(self.conv(x, f"{name}_1_conv", stride=stride), f"{name}_1_bn").relu()
                y = self.norm(self.conv(y, f"{name}_2_conv"), f"{name}_2_bn").relu()
                x = (short + self.norm(self.conv(y, f"{name}_3_conv"), f"{name}_3_bn")).relu()
            maps.append(x)
        return maps

    def triq(self, image: Tensor) -> Tensor:
        """Outputs (levels,) of the authors' TRIQ."""
        features = self.resnet50(image)[-1]
        group = self.layers["tri_q_image_quality_transformer"]
        a = [torch.from_numpy(numbers) for numbers in group.values()]
        x = (features.permute(0, 2, 3, 1) @ a[0][0, 0] + a[1])[0]
        if x.shape[0] >= 16:
            rows, cols = x.shape[0] // 2, x.shape[1] // 2
            x = x[: 2 * rows, : 2 * cols].reshape(rows, 2, cols, 2, 32).amax((1, 3))
        x = torch.cat((a[-1][0], x.reshape(-1, 32)))
        x = x + a[-2][0, : len(x)]

        def dense(v: Tensor, at: int) -> Tensor:
            return v @ a[at] + a[at + 1]

        def norm(v: Tensor, at: int) -> Tensor:
            centred = v - v.mean(-1, keepdim=True)
            return (
                centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-6) * a[at] + a[at + 1]
            )

        for at in (2, 18):
            q, k, v = (
                dense(x, at + 2 * part).reshape(-1, 8, 4).transpose(0, 1) for part in range(3)
            )
            mixed = (q @ k.transpose(1, 2) / 2).softmax(-1) @ v
            x = norm(x + dense(mixed.transpose(0, 1).reshape(-1, 32), at + 6), at + 12)
            x = norm(x + dense(dense(x, at + 8).relu(), at + 10), at + 14)
        h = dense(x[0], 34)
        h = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
        answer = dense(h, 36)
        return answer.softmax(-1) if len(answer) > 1 else answer

    def aihiqnet(self, image: Tensor, *, first: int = 0) -> Tensor:
        """Outputs (levels,) of the authors' AIHIQnet."""
        maps = self.resnet50(image)
        pyramid = [self.conv(maps[3], "fpn_P6", stride=2)]
        coarse: Tensor | None = None
        for level in (5, 4, 3, 2):
            x = self.conv(maps[level - 2], f"fpn_C{level}_reduced")
            if coarse is not None:
                rows, cols = (
                    torch.tensor([math.floor((i + 0.5) * old / new) for i in range(new)])
                    for old, new in zip(coarse.shape[2:], x.shape[2:], strict=True)
                )
                x = x + coarse[:, :, rows][:, :, :, cols]
            coarse = x
            pyramid.insert(-1 if level == 5 else 0, self.conv(x, f"fpn_P{level}"))
        answers = []
        for level, x in enumerate(pyramid):
            number = first + level
            suffix = f"_{number}" if number else ""
            pooled = torch.stack((x.mean((2, 3))[0], x.amax((2, 3))[0]))
            channel = self.dense(pooled, f"dense{suffix}").sigmoid().mean(0)
            both = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)
            spatial = self.conv(both, f"conv2d{suffix}", bias=False).sigmoid()
            gated = (x * channel[:, None, None] * spatial).mean((2, 3))[0]
            answer = self.dense(gated, f"P{level}_fc_prediction")
            answers.append(answer.softmax(-1) if len(answer) > 1 else answer)
        return torch.stack(answers).mean(0)
