from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.pictures import Pixels, picture

from halfsight.models import registry
from halfsight.models.card import ModelCard, Scale
from halfsight.models.triq import TRIQ, TRIQConfig
from halfsight.scorer import Scorer
from halfsight.weights import store


@pytest.fixture(scope="session")
def scorer() -> Scorer:
    """An untrained TRIQ on Lite0: every path is real but for the weights."""
    torch.manual_seed(0)
    net = TRIQ(TRIQConfig(backbone="tf_efficientnet_lite0", position_grid=(8, 8), pool_from=8))
    net.load_backbone(offline=True)
    with torch.no_grad():  # spread the answers: fresh weights give nearly the same to all
        net.head_output.weight.mul_(20)
        for layer in net.encoder:
            layer.attention.query.weight.mul_(4)
    net.eval()
    card = ModelCard(
        model="triq",
        title="TRIQ",
        status="user's own",
        paper="",
        licence="",
        scale=Scale(min=1, max=5),
    )
    return Scorer(net, registry.entry("triq").policy(net), card)


@pytest.fixture(scope="session")
def photo_pixels() -> Pixels:
    return picture(240, 320)


@pytest.fixture
def photo(tmp_path: Path, photo_pixels: Pixels) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(photo_pixels).save(path)
    return path


@pytest.fixture(scope="session")
def weights(scorer: Scorer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The untrained model as a weight file, for commands."""
    path = tmp_path_factory.mktemp("weights") / "triq.safetensors"
    head = {id(p) for p in scorer.net.head_parameters()}
    names = {name for name, p in scorer.net.named_parameters() if id(p) in head}
    config = {"backbone": "tf_efficientnet_lite0", "position_grid": [8, 8], "pool_from": 8}
    store.save(path, scorer.net, scorer.card.model_copy(update={"config": config}), names=names)
    return path
