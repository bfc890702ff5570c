"""ONNX files against the same layers in torch, and files that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper, save
from PIL import Image
from tests.foreign import MEAN, STD
from tests.pictures import picture
from torch import nn
from typer.testing import CliRunner

import halfsight as hs
from halfsight.cli import app
from halfsight.models.backbone import WeightsError
from halfsight.models.onnx import OnnxModule
from halfsight.wrapping import wrap, wrap_onnx

SIDES = ["height", "width"]


def layers(levels: int = 1) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 6, 5, stride=3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, levels),
    )  # fmt: skip


def write(
    path: Path,
    net: nn.Sequential,
    *,
    shape: tuple[Any, ...] = ("n", 3, *SIDES),
    channels_last: bool = False,
    element: int = TensorProto.FLOAT,
    extra: bool = False,
) -> Path:
    """The layers as an ONNX file, node by node."""
    conv, linear = net[0], net[4]
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(linear, nn.Linear)
    tensors = {"w": conv.weight, "b": conv.bias, "v": linear.weight, "c": linear.bias}
    nodes = [
        helper.make_node("Conv", ["y", "w", "b"], ["conv"], strides=[3, 3]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["flat"]),
        helper.make_node("Gemm", ["flat", "v", "c"], ["score"], transB=1),
    ]
    first = helper.make_node("Identity", ["x"], ["y"])
    if channels_last:
        first = helper.make_node("Transpose", ["x"], ["y"], perm=[0, 3, 1, 2])
    if element != TensorProto.FLOAT:
        nodes.insert(0, helper.make_node("Cast", ["x32"], ["y"], to=TensorProto.FLOAT))
        first = helper.make_node("Identity", ["x"], ["x32"])
    outputs = [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", len(linear.bias)])]
    if extra:
        outputs.append(helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["n", 6]))
    graph = helper.make_graph(
        [first, *nodes],
        "graph",
        [helper.make_tensor_value_info("x", element, list(shape))],
        outputs,
        [numpy_helper.from_array(t.detach().numpy(), name) for name, t in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    save(model, str(path))
    return path


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_same_scores_as_torch(channels_last: bool, tmp_path: Path) -> None:
    net = layers()
    shape = ("n", *SIDES, 3) if channels_last else ("n", 3, *SIDES)
    path = write(tmp_path / "x.onnx", net, shape=shape, channels_last=channels_last)
    ours = wrap_onnx(path, mean=MEAN, std=STD)
    theirs = wrap(net, mean=MEAN, std=STD)
    for size in ((48, 64), (70, 41)):
        pixels = picture(*size)
        assert ours.score(pixels) == pytest.approx(theirs.score(pixels), abs=1e-5)
    table, wanted = (
        hs.explain(one, picture(48, 64), grid="2x2", masks="all").table for one in (ours, theirs)
    )
    np.testing.assert_allclose(table, wanted, atol=1e-5)


@pytest.mark.parametrize("element", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_inputs_of_other_precision(element: int, tmp_path: Path) -> None:
    net = layers(3)
    path = write(tmp_path / "x.onnx", net, element=element)
    pixels = picture(48, 64)
    found = wrap_onnx(path, logits=True).predict(pixels)
    assert found.distribution == pytest.approx(
        wrap(net, logits=True).predict(pixels).distribution, abs=1e-3
    )


def test_what_the_file_fixes(tmp_path: Path) -> None:
    net = layers()
    path = write(tmp_path / "x.onnx", net, shape=(1, 3, 40, 50))
    scorer = wrap_onnx(path)
    assert scorer.policy.size == (40, 50)
    found = hs.explain(scorer, picture(48, 64), grid="2x2", masks="all")  # one image a call
    assert found.masks == 14
    assert found.score == pytest.approx(wrap(net, size=(40, 50)).score(picture(48, 64)), abs=1e-5)
    with pytest.raises(ValueError, match="which the file fixes"):
        wrap_onnx(path, size=(48, 64))
    write(tmp_path / "two.onnx", net, shape=(2, 3, 40, 50))
    with pytest.raises(WeightsError, match="fixed batch of 2"):
        wrap_onnx(tmp_path / "two.onnx")


def test_one_of_several_outputs(tmp_path: Path) -> None:
    path = write(tmp_path / "x.onnx", layers(), extra=True)
    with pytest.raises(WeightsError, match="got outputs score, flat, expected one"):
        OnnxModule(path)
    with pytest.raises(WeightsError, match="got output 'other'"):
        OnnxModule(path, output="other")
    pixels = picture(48, 64)
    assert wrap_onnx(path, output="score").score(pixels) == pytest.approx(
        wrap(layers()).score(pixels), abs=1e-5
    )


def test_files_that_are_no_image_model(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        OnnxModule(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(WeightsError, match=r"text.onnx: not an ONNX model") as caught:
        OnnxModule(tmp_path / "text.onnx")
    assert "\n" not in str(caught.value)
    whole = write(tmp_path / "x.onnx", layers()).read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="not an ONNX model"):
        OnnxModule(tmp_path / "cut.onnx")
    write(tmp_path / "unclear.onnx", layers(), shape=("n", "c", *SIDES))
    with pytest.raises(WeightsError, match="give layout NCHW or NHWC"):
        OnnxModule(tmp_path / "unclear.onnx")
    assert OnnxModule(tmp_path / "unclear.onnx", layout="NCHW").layout == "NCHW"
    with pytest.raises(ValueError, match="expected NCHW or NHWC"):
        OnnxModule(tmp_path / "unclear.onnx", layout="CHWN")  # type: ignore[arg-type]
    write(tmp_path / "bytes.onnx", layers(), element=TensorProto.UINT8)
    with pytest.raises(WeightsError, match="expected one of tensor"):
        OnnxModule(tmp_path / "bytes.onnx")
    write(tmp_path / "flat.onnx", layers(), shape=("n", 3))
    with pytest.raises(WeightsError):
        OnnxModule(tmp_path / "flat.onnx")


def test_hash_follows_the_file_and_the_tensors_beside_it(tmp_path: Path) -> None:
    path = write(tmp_path / "x.onnx", layers())
    first = wrap_onnx(path, name="x").hash
    assert wrap_onnx(path, name="x").hash == first
    (tmp_path / "x.onnx.data").write_bytes(b"weights")
    second = wrap_onnx(path, name="x").hash
    (tmp_path / "x.onnx.data").write_bytes(b"others")
    assert len({first, second, wrap_onnx(path, name="x").hash}) == 3


def test_a_file_as_the_model_on_the_command_line(tmp_path: Path) -> None:
    path = write(tmp_path / "sharp.onnx", layers())
    photo = tmp_path / "photo.png"
    Image.fromarray(picture(48, 64)).save(photo)
    run = CliRunner()
    arguments = ["score", str(photo), "--json", "-m", str(path)]
    missing = run.invoke(app, arguments)
    assert missing.exit_code == 2
    assert len(missing.stderr.splitlines()) == 1
    assert "sharp.json" in missing.stderr
    beside = tmp_path / "sharp.json"
    for text in ("{", '{"mean": 0, "std": 1}', '{"mean": 0, "std": 0, "scale": [0, 1]}'):
        beside.write_text(text)
        wrong = run.invoke(app, arguments)
        assert wrong.exit_code == 2
        assert len(wrong.stderr.splitlines()) == 1
    said = {"mean": list(MEAN), "std": list(STD), "scale": [0, 10], "higher_is_better": False}
    beside.write_text(json.dumps(said))
    found = run.invoke(app, arguments)
    assert found.exit_code == 0, found.stderr
    row = json.loads(found.stdout)
    assert row["model"] == "sharp"
    assert row["scale"] == {"min": 0.0, "max": 10.0, "higher_is_better": False}
    wanted = wrap(layers(), mean=MEAN, std=STD).score(photo)
    assert row["score"] == pytest.approx(wanted, abs=1e-5)
