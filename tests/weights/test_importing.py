from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tests.pictures import picture
from tests.weights import keras_files
from torch import Tensor, nn

from halfsight import scorer as scorers
from halfsight.images import ImageError
from halfsight.models import registry
from halfsight.models.card import Scale
from halfsight.weights.importing import import_weights


def as_image(pixels: np.ndarray) -> Tensor:
    """Pixels in [-1, 1], as the authors' Keras code takes them."""
    return (torch.tensor(pixels, dtype=torch.float32) / 127.5 - 1).permute(2, 0, 1)[None]


@pytest.fixture(scope="module")
def imported(triq_file: Path, tmp_path_factory: pytest.TempPathFactory) -> scorers.Scorer:
    out = tmp_path_factory.mktemp("imported") / "triq.safetensors"
    import_weights(triq_file, "triq", out)
    return scorers.load(out)


def test_triq_answers_as_its_layers_do(
    triq_layers: keras_files.Layers, imported: scorers.Scorer
) -> None:
    oracle = keras_files.Oracle(triq_layers)
    seen = []
    for height, width in ((512, 144), (132, 164), (164, 132)):  # pooled, and not
        pixels = picture(height, width, height)
        wanted = oracle.triq(as_image(pixels))
        found = imported.predict(pixels).distribution
        assert found is not None
        torch.testing.assert_close(torch.tensor(found), wanted, atol=1e-5, rtol=0)
        seen.append(wanted)
    assert (seen[0] - seen[1]).abs().max() > 1e-3  # the comparison is not between constants


def test_the_card_says_where_the_weights_come_from(
    imported: scorers.Scorer, triq_file: Path
) -> None:
    card = imported.card
    assert card.status == "imported"
    assert "junyongyou/triq" in card.licence
    source = card.recipe["imported"]
    assert source["sha256"] == hashlib.sha256(triq_file.read_bytes()).hexdigest()
    assert source["bytes"] == triq_file.stat().st_size
    assert card.config["positions"] == "truncate"
    assert card.input["mean"] == card.input["std"] == [0.5, 0.5, 0.5]
    assert card.command == (
        "halfsight weights import TRIQ.h5 --as triq --positions truncate -o triq.safetensors"
    )
    assert (card.scale.min, card.scale.max) == (1, 5)


def test_truncated_positions_refuse_what_the_authors_code_cannot_take(
    imported: scorers.Scorer, triq_file: Path, tmp_path: Path
) -> None:
    wide = picture(480, 640)
    with pytest.raises(ImageError, match=r"640x480 pixels, that is 15x20 tokens.*at most 192"):
        imported.predict(wide)
    out = tmp_path / "any.safetensors"
    card = import_weights(triq_file, "triq", out, options={"positions": "interpolate"})
    assert "interpolated" in card.limits
    assert 1 <= scorers.load(out).score(wide) <= 5


def test_a_scalar_head_in_a_saved_model_made_after_others(
    backbone: keras_files.Layers, tmp_path: Path
) -> None:
    layers = keras_files.triq(keras_files.Random(2), backbone, levels=1, first_dense=9)
    keras_files.write(tmp_path / "t.h5", layers, inside="model_weights")
    import_weights(tmp_path / "t.h5", "triq", tmp_path / "t.safetensors")
    pixels = picture(132, 164)
    wanted = keras_files.Oracle(layers).triq(as_image(pixels))
    found = scorers.load(tmp_path / "t.safetensors").predict(pixels)
    assert found.distribution is None
    assert found.score == pytest.approx(float(wanted[0]), abs=1e-5)


@pytest.mark.parametrize(("levels", "first"), [(5, 0), (1, 8)])
def test_aihiqnet_answers_as_its_layers_do(
    levels: int, first: int, backbone: keras_files.Layers, tmp_path: Path
) -> None:
    layers = keras_files.aihiqnet(keras_files.Random(3), backbone, levels=levels, first=first)
    keras_files.write(tmp_path / "a.h5", layers)
    card = import_weights(tmp_path / "a.h5", "aihiqnet", tmp_path / "a.safetensors")
    assert card.config["levels"] == levels
    pixels = picture(132, 164)  # maps of 33, 17, 9 and 5 rows: none is twice the next
    wanted = keras_files.Oracle(layers).aihiqnet(as_image(pixels), first=first)
    found = scorers.load(tmp_path / "a.safetensors").predict(pixels)
    values = found.distribution if levels == 5 else (found.score,)
    torch.testing.assert_close(torch.tensor(values), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old pickle"])
def test_dbcnn_answers_as_its_layers_do(
    zipped: bool,
    dbcnn_parts: tuple[nn.Module, nn.Module, nn.Linear],
    dbcnn_state: dict[str, Tensor],
    tmp_path: Path,
) -> None:
    path = tmp_path / "net_params_best.pkl"
    torch.save(dbcnn_state, path, _use_new_zipfile_serialization=zipped)
    dmos = Scale(min=0, max=9, higher_is_better=False)
    card = import_weights(path, "dbcnn", tmp_path / "d.safetensors", scale=dmos)
    assert card.scale == dmos
    assert card.command.endswith("--scale 0 9 --lower-is-better -o d.safetensors")
    pixels = picture(137, 171)
    mean, std = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
    image = ((torch.tensor(pixels) / 255 - mean) / std).permute(2, 0, 1)[None]
    vgg, scnn, linear = dbcnn_parts
    with torch.inference_mode():
        one, two = vgg(image), scnn(image)
        two = F.interpolate(two, one.shape[2:], mode="bilinear", align_corners=True)
        product = torch.einsum("ahw,bhw->ab", one[0], two[0]) / one[0, 0].numel()
        wanted = float(linear(F.normalize((product.flatten() + 1e-8).sqrt(), dim=0)))
    assert abs(wanted) > 1e-2
    assert scorers.load(tmp_path / "d.safetensors").score(pixels) == pytest.approx(
        wanted, abs=1e-5, rel=1e-5
    )


PORT_PARTS = {  # numbers of the port's nn.Sequential, without those that have no weights
    "conv2d_1a": 0,
    "conv2d_2a": 1,
    "conv2d_2b": 2,
    "conv2d_3b": 4,
    "conv2d_4a": 5,
    "mixed_5b": 7,
    "repeat": 8,
    "mixed_6a": 9,
    "repeat_1": 10,
    "mixed_7a": 11,
    "repeat_2": 12,
    "block8": 13,
    "conv2d_7b": 14,
}


def test_koncept512_comes_back_from_the_ports_names(tmp_path: Path) -> None:
    with torch.device("meta"):
        like = registry.entry("koncept512").build().state_dict()
    torch.manual_seed(0)
    stored, wanted = {}, {}
    for name, tensor in like.items():
        part, rest = name.removeprefix("backbone.net.").split(".", 1)
        theirs = f"fc.{rest}" if part == "head" else f"base.{PORT_PARTS[part]}.{rest}"
        wanted[name] = stored[theirs] = torch.rand(tensor.shape).to(tensor.dtype)
    path, out = tmp_path / "KonCept512.pth", tmp_path / "k.safetensors"
    torch.save(stored, path)
    card = import_weights(path, "koncept512", out)
    assert card.config == {"pool": "corner"}
    assert card.input["size"] == [384, 512]
    assert card.input["mean"] == card.input["std"] == [0.5, 0.5, 0.5]
    assert (card.scale.min, card.scale.max) == (1, 100)
    found = load_file(out)
    assert set(found) == set(wanted)
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor), name
