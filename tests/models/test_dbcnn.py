from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from halfsight.models import dbcnn, registry
from halfsight.models.backbone import WeightsError, file_sha256
from halfsight.models.dbcnn import DBCNN, DBCNNConfig, build, read_state_dict, scnn_layers

SHARED = Path(__file__).resolve().parents[3] / "shared" / "weights" / "dbcnn_scnn.pkl"
LITE = "tf_efficientnet_lite0"


def stored_scnn(path: Path) -> Path:
    """A file in the layout of the authors': parallel training's prefix, classifier, no counters."""
    state = {f"features.{name}": tensor for name, tensor in scnn_layers().state_dict().items()}
    state |= {
        "projection.0.weight": torch.zeros(256, 128, 1, 1),
        "classifier.bias": torch.zeros(39),
    }
    torch.save({f"module.{k}": v for k, v in state.items() if "num_batches_tracked" not in k}, path)
    return path


def test_paper_configuration_has_its_shapes_and_size() -> None:
    with torch.device("meta"):
        net = DBCNN().eval()
        features = net.stem(torch.zeros(1, 3, 384, 512), -1)
        assert features.shape == (1, 512 + 128, 24, 32)
        assert net.bilinear(features).shape == (1, 512 * 128)
    assert sum(p.numel() for p in net.head_parameters()) == 512 * 128 + 1
    assert sum(p.numel() for p in net.backbone.parameters()) == 14_714_688
    channels = [3, 48, 48, 64, 64, 64, 64, 128, 128, 128]
    expected = sum(9 * a * b + 3 * b for a, b in itertools.pairwise(channels))
    assert sum(p.numel() for p in net.scnn.parameters()) == expected
    assert sum(layer.kernel_size == (3, 3) for layer in net.scnn[::3]) == 9


@pytest.mark.parametrize("size", [(224, 224), (150, 203)])
def test_scnn_has_stride_sixteen(size: tuple[int, int]) -> None:
    with torch.device("meta"):
        out = scnn_layers()(torch.zeros(1, 3, *size))
    assert out.shape == (1, 128, -(-size[0] // 16), -(-size[1] // 16))


def test_bilinear_pooling_by_hand() -> None:
    torch.manual_seed(0)
    net = DBCNN(DBCNNConfig(LITE))
    features = torch.rand(2, 1280 + 128, 3, 4)
    one = features[1].flatten(1)
    product = sum(torch.outer(one[:1280, i], one[1280:, i]) for i in range(12)) / 12
    root = torch.sqrt(product.flatten() + 1e-8)
    torch.testing.assert_close(net.bilinear(features)[1], root / root.norm())


def test_the_smaller_map_is_resized_corner_to_corner() -> None:
    torch.manual_seed(0)
    net = DBCNN(DBCNNConfig(LITE)).eval()
    x = torch.randn(1, 3, 160, 192)
    with torch.inference_mode():
        features = net.stem(x, -1)
        small = net.scnn(net.as_imagenet(x))
        assert small.shape[-2:] == (10, 12)
        assert features.shape[-2:] == (5, 6)
        torch.testing.assert_close(features[:, 1280:, 0, 0], small[..., 0, 0])
        torch.testing.assert_close(features[:, 1280:, -1, -1], small[..., -1, -1])


def test_scnn_sees_the_normalisation_it_was_trained_with() -> None:
    net = DBCNN(DBCNNConfig(LITE))
    pixels = torch.rand(1, 3, 4, 4)
    used = (pixels - 127 / 255) / (128 / 255)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    for channel in range(3):
        expected = (pixels[0, channel] - mean[channel]) / std[channel]
        torch.testing.assert_close(net.as_imagenet(used)[0, channel], expected)
    with torch.device("meta"):
        vgg = DBCNN()
        x = torch.zeros(1)
    assert vgg.as_imagenet(x) is x


def test_pretrained_networks_come_from_their_files(tmp_path: Path) -> None:
    torch.manual_seed(1)
    path = stored_scnn(tmp_path / "scnn.pkl")
    net = build(backbone=LITE, scnn=str(path))
    line = net.load_backbone(offline=True)
    assert "S-CNN" in line
    stored = read_state_dict(path)
    assert torch.equal(net.scnn[24].weight, stored["features.24.weight"])


def test_the_authors_file_may_be_named_by_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = DBCNN(DBCNNConfig(LITE))
    monkeypatch.delenv(dbcnn.SCNN_VARIABLE, raising=False)
    with pytest.raises(WeightsError, match=r"scnn\.pkl.*HALFSIGHT_SCNN=PATH"):
        net.load_backbone(offline=True)
    monkeypatch.setenv(dbcnn.SCNN_VARIABLE, str(tmp_path / "none.pkl"))
    with pytest.raises(WeightsError, match="expected an existing file"):
        net.load_backbone(offline=True)
    path = stored_scnn(tmp_path / "scnn.pkl")
    monkeypatch.setenv(dbcnn.SCNN_VARIABLE, str(path))
    with pytest.raises(WeightsError, match="get the authors' file again"):
        net.load_backbone(offline=True)
    monkeypatch.setattr(dbcnn, "SCNN_SHA256", file_sha256(path))
    assert file_sha256(path) in net.load_backbone(offline=True)
    assert torch.equal(net.scnn[0].weight, read_state_dict(path)["features.0.weight"])


def test_large_photographs_are_reduced_as_configured() -> None:
    entry = registry.entry("dbcnn")
    with torch.device("meta"):
        policy = entry.policy(entry.build(backbone=LITE, max_pixels=384 * 384))
    assert policy.target_size(500, 500) == (384, 384)
    assert policy.target_size(200, 300) == (200, 300)


def test_files_that_are_no_state_dicts(tmp_path: Path) -> None:
    path = tmp_path / "scnn.pkl"
    with pytest.raises(WeightsError, match="No such file"):
        read_state_dict(path)
    path.write_bytes(b"")
    with pytest.raises(WeightsError, match="not a PyTorch file"):
        read_state_dict(path)
    stored_scnn(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(WeightsError, match="not a PyTorch file"):
        read_state_dict(path)
    torch.save([torch.zeros(1)], path)
    with pytest.raises(WeightsError, match="dictionary of tensors"):
        read_state_dict(path)
    torch.save({"net": F.relu}, path)
    with pytest.raises(WeightsError, match="not a PyTorch file"):
        read_state_dict(path)


def test_old_files_cut_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "scnn.pkl"
    torch.save({"a": torch.zeros(2, 2)}, path, _use_new_zipfile_serialization=False)
    blob = path.read_bytes()
    assert set(read_state_dict(path)) == {"a"}
    for end in range(len(blob)):
        path.write_bytes(blob[:end])
        with pytest.raises(WeightsError, match="get it again"):
            read_state_dict(path)


def test_stages_in_between_are_refused() -> None:
    with torch.device("meta"):
        net = DBCNN(DBCNNConfig(LITE))
    with pytest.raises(ValueError, match="got stage 3"):
        net.stem(torch.zeros(1, 3, 64, 64), 3)


@pytest.mark.parametrize("path", [SHARED] if SHARED.is_file() else [])
def test_the_authors_scnn_fits(path: Path) -> None:
    net = build(backbone=LITE, scnn=str(path))
    net.load_backbone(offline=True)
    stored = read_state_dict(path)
    assert torch.equal(net.scnn[0].weight, stored["features.0.weight"])
    assert torch.equal(net.scnn[25].running_var, stored["features.25.running_var"])
