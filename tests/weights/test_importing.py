from __future__ import annotations

import hashlib
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import load_file
from tests.pictures import picture
from tests.weights import keras_files
from torch import Tensor, nn

from halfsight import scorer as scorers
from halfsight.images import ImageError
from halfsight.models import registry
from halfsight.models.backbone import WeightsError
from halfsight.models.card import Scale
from halfsight.models.registry import UnknownModelError
from halfsight.weights.importers.base import read_tensors
from halfsight.weights.importing import import_weights

TRANSFORMER = "tri_q_image_quality_transformer"


def as_image(pixels: np.ndarray) -> Tensor:
    """Pixels in [-1, 1], as the authors' Keras code takes them."""
    return (torch.tensor(pixels, dtype=torch.float32) / 127.5 - 1).permute(2, 0, 1)[None]


@pytest.fixture(scope="module")
def backbone() -> keras_files.Layers:
    return keras_files.resnet50(keras_files.Random(0))


@pytest.fixture(scope="module")
def triq_layers(backbone: keras_files.Layers) -> keras_files.Layers:
    return keras_files.triq(keras_files.Random(1), backbone)


@pytest.fixture(scope="module")
def triq_file(triq_layers: keras_files.Layers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keras") / "TRIQ.h5"
    keras_files.write(path, triq_layers)
    return path


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


def shake(net: nn.Module) -> None:
    """Statistics and scales that differ from channel to channel, as training leaves them."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.uniform_(module.bias, -0.3, 0.3)
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)


@pytest.fixture(scope="module")
def dbcnn_parts() -> tuple[nn.Module, nn.Module, nn.Linear]:
    """VGG-16 without its last pooling, the S-CNN and the linear layer, as the paper has them."""
    torch.manual_seed(0)
    with torch.device("meta"):
        vgg = torchvision.models.vgg16().features[:-1]
    vgg.to_empty(device="cpu")
    for layer in vgg:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.normal_(layer.bias, std=0.1)
    scnn = nn.Sequential()
    before = 3
    for width, stride in zip(
        (48, 48, 64, 64, 64, 64, 128, 128, 128), (1, 2, 1, 2, 1, 2, 1, 1, 2), strict=True
    ):
        scnn.extend([nn.Conv2d(before, width, 3, stride, 1), nn.BatchNorm2d(width), nn.ReLU()])
        before = width
    shake(scnn)
    linear = nn.Linear(512 * 128, 1)
    nn.init.normal_(linear.weight)
    return vgg.eval(), scnn.eval(), linear


@pytest.fixture(scope="module")
def dbcnn_state(dbcnn_parts: tuple[nn.Module, nn.Module, nn.Linear]) -> dict[str, Tensor]:
    names = zip(("features1", "features2", "fc"), dbcnn_parts, strict=True)
    return {
        f"module.{name}.{key}": tensor
        for name, part in names
        for key, tensor in part.state_dict().items()
    }


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


def edited(path: Path, to: Path, change: Callable[[h5py.File], None]) -> Path:
    shutil.copy(path, to)
    with h5py.File(to, "r+") as file:
        change(file)
    return to


def replace(layer: str, kind: str, numbers: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        name = next(n for n in file[layer] if n == layer)
        del file[layer][name][f"{kind}:0"]
        file[layer][name][f"{kind}:0"] = numbers

    return change


def drop(file: h5py.File) -> None:
    del file.attrs["layer_names"]


def without_transformer(file: h5py.File) -> None:
    names = [name for name in file.attrs["layer_names"] if name != TRANSFORMER.encode()]
    file.attrs["layer_names"] = names


def with_one_more(file: h5py.File) -> None:
    file.attrs["layer_names"] = [*file.attrs["layer_names"], b"dense_99"]
    group = file.create_group("dense_99")
    group.attrs["weight_names"] = [b"dense_99/kernel:0"]
    group["dense_99/kernel:0"] = np.zeros((3, 3), np.float32)


def shorter_positions(file: h5py.File) -> None:
    del file[TRANSFORMER]["pos_emb:0"]
    file[TRANSFORMER]["pos_emb:0"] = np.zeros((1, 257, 32), np.float32)


def fewer_layers(file: h5py.File) -> None:
    names = list(file[TRANSFORMER].attrs["weight_names"])
    file[TRANSFORMER].attrs["weight_names"] = names[:18] + names[34:]


def another_order(file: h5py.File) -> None:
    names = list(file[TRANSFORMER].attrs["weight_names"])
    file[TRANSFORMER].attrs["weight_names"] = [names[1], names[0], *names[2:]]


def elsewhere(file: h5py.File) -> None:
    del file["conv1_conv"]["conv1_conv"]["bias:0"]
    file["conv1_conv"]["conv1_conv"]["bias:0"] = h5py.ExternalLink("other.h5", "x")
    with h5py.File(Path(file.filename).with_name("other.h5"), "w") as other:
        other["x"] = np.zeros(64, np.float32)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (drop, "has no layer_names, expected a file of Keras 2"),
        (without_transformer, r"has no table of positions \(pos_emb\)"),
        (with_one_more, "dense_99/kernel is not part of the authors' network"),
        (shorter_positions, r"pos_emb has shape \(1, 257, 32\), expected \(1, 193, 32\)"),
        (fewer_layers, r"dense_12/kernel has shape \(32, 64\), expected \(32, 32\)"),
        (another_order, "array 1 of the transformer is .*conv2d/bias, expected a kernel of shape"),
        (elsewhere, "points to another file"),
        (replace("conv1_conv", "bias", np.zeros(32, np.float32)), r"has shape \(32,\), expected"),
        (replace("conv1_conv", "bias", np.full(64, np.nan, np.float32)), "NaN or infinite"),
        (replace("conv1_conv", "bias", np.zeros(64, np.int32)), "holds int32, expected floating"),
        (replace("conv1_bn", "moving_variance", np.full(64, -1, np.float32)), "is negative"),
    ],
)
def test_changed_keras_files_get_one_line(
    change: Callable[[h5py.File], None], said: str, triq_file: Path, tmp_path: Path
) -> None:
    path = edited(triq_file, tmp_path / "changed.h5", change)
    refused(path, "triq", said)


def refused(path: Path, model: str, said: str) -> None:
    out = path.with_name("out.safetensors")
    with pytest.raises(WeightsError, match=said) as caught:
        import_weights(path, model, out)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith(str(path))
    assert not out.exists()
    assert not out.with_suffix(".json").exists()


@pytest.mark.parametrize("part", [0.001, 0.3, 0.999])
def test_truncated_files_get_one_line(
    part: float, triq_file: Path, dbcnn_state: dict[str, Tensor], tmp_path: Path
) -> None:
    whole = triq_file.read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: int(len(whole) * part)])
    refused(tmp_path / "cut.h5", "triq", "not a readable Keras HDF5 file.*get it again")
    for zipped in (True, False):
        torch.save(dbcnn_state, tmp_path / "whole", _use_new_zipfile_serialization=zipped)
        whole = (tmp_path / "whole").read_bytes()
        (tmp_path / "cut.pkl").write_bytes(whole[: int(len(whole) * part)])
        refused(tmp_path / "cut.pkl", "dbcnn", "not a PyTorch file of tensors.*get it again")


def test_files_of_another_model_or_kind(
    triq_file: Path, dbcnn_state: dict[str, Tensor], tmp_path: Path
) -> None:
    own = tmp_path / "TRIQ.h5"
    own.symlink_to(triq_file)
    refused(own, "aihiqnet", r"has no feature pyramid \(fpn_P2\), expected AIHIQnet")
    refused(own, "dbcnn", "is a Keras HDF5 file, expected the PyTorch .pth or .pkl file of zwx8981")
    other = tmp_path / "net.pkl"
    torch.save(dbcnn_state, other)
    refused(other, "koncept512", r"tensor base\.0\.conv\.weight is missing")
    refused(other, "triq", "is no HDF5 file, expected the Keras .h5 file of junyongyou/triq")
    (tmp_path / "empty").write_bytes(b"")
    refused(tmp_path / "empty", "triq", "the file is empty")
    refused(tmp_path / "none.h5", "triq", "No such file")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", "triq", "got a folder")


def test_old_pickles_cut_anywhere_get_one_line(tmp_path: Path) -> None:
    path = tmp_path / "cut.pkl"
    small = {"module.fc.weight": torch.zeros(2, 3), "module.fc.bias": torch.zeros(2)}
    torch.save(small, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for length in range(1, len(whole), 3):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match="get it again") as caught:
            read_tensors(path)
        assert len(str(caught.value).splitlines()) == 1


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("run",))


def test_pickles_are_never_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"module.fc.weight": Evil()}))
    refused(path, "dbcnn", "not a PyTorch file of tensors")
    torch.save({"module.fc.weight": Evil()}, path)
    refused(path, "dbcnn", "not a PyTorch file of tensors")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "tensor", "said"),
    [
        ("fc.weight", torch.zeros(1, 9), r"fc\.weight has shape \(1, 9\), expected \(1, 65536\)"),
        ("fc.bias", torch.tensor([torch.inf]), r"fc\.bias holds NaN or infinite"),
        ("fc.bias", torch.tensor([1]), r"fc\.bias holds torch\.int64.*expected floating-point"),
        ("extra.weight", torch.zeros(1), "extra.weight is not part of the authors' network"),
    ],
)
def test_changed_torch_files_get_one_line(
    name: str, tensor: Tensor, said: str, dbcnn_state: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(dbcnn_state | {f"module.{name}": tensor}, tmp_path / "changed.pkl")
    refused(tmp_path / "changed.pkl", "dbcnn", said)


def test_without_h5py_the_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, triq_file: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(WeightsError, match=r"pip install 'halfsight\[keras\]'"):
        import_weights(triq_file, "triq", tmp_path / "o.safetensors")


def test_what_is_asked_for_must_exist(triq_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.safetensors"
    with pytest.raises(UnknownModelError, match="did you mean 'triq'"):
        import_weights(triq_file, "triqq", out)
    with pytest.raises(ValueError, match="got model 'swin_iqa', expected one of triq, aihiqnet"):
        import_weights(triq_file, "swin_iqa", out)
    with pytest.raises(ValueError, match="got option positions, expected none such for dbcnn"):
        import_weights(triq_file, "dbcnn", out, options={"positions": "truncate"})
    with pytest.raises(ValueError, match="got positions 'cut', expected truncate or interpolate"):
        import_weights(triq_file, "triq", out, options={"positions": "cut"})
    with pytest.raises(ValueError, match=r"expected a name that ends in \.safetensors"):
        import_weights(triq_file, "triq", tmp_path / "o.h5")
