from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from halfsight.models.backbone import WeightsError
from halfsight.models.registry import UnknownModelError
from halfsight.weights.importers.base import read_tensors
from halfsight.weights.importing import import_weights

TRANSFORMER = "tri_q_image_quality_transformer"


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
