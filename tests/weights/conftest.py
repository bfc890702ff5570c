from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from tests.weights import keras_files
from torch import Tensor, nn


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
