from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.pictures import picture

from halfsight.models import registry
from halfsight.models.card import ModelCard, Scale
from halfsight.models.triq import TRIQ, TRIQConfig
from halfsight.scorer import Scorer
from halfsight.weights import store

CONFIG = {"backbone": "test_resnet", "position_grid": [4, 5], "pool_from": 16}


@pytest.fixture(scope="session")
def tiny() -> Scorer:
    """An untrained TRIQ on a backbone for tests: milliseconds a photograph."""
    torch.manual_seed(1)
    net = TRIQ(TRIQConfig(backbone="test_resnet", position_grid=(4, 5))).eval()
    with torch.no_grad():  # spread the answers: fresh weights give nearly the same to all
        net.head_output.weight.mul_(20)
    card = ModelCard(
        model="triq",
        title="TRIQ",
        status="user's own",
        paper="",
        licence="",
        scale=Scale(min=1, max=5),
        config=CONFIG,
    )
    return Scorer(net, registry.entry("triq").policy(net), card)


@pytest.fixture(scope="session")
def tiny_file(tiny: Scorer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model as a weight file."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    store.save(path, tiny.net, tiny.card, names=set(tiny.net.state_dict()))
    return path


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty small photographs of two shapes; one is cut short, one is no picture."""
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(20):
        size = (160, 128) if number % 3 == 0 else (128, 160)
        Image.fromarray(picture(*size, seed=number)).save(folder / f"{number:02}.jpg", quality=90)
    whole = (folder / "07.jpg").read_bytes()
    (folder / "07.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "13.jpg").write_text("not a picture")
    return folder


@pytest.fixture(scope="session")
def items(photographs: Path) -> list[tuple[str, str]]:
    return [(path.name, str(path)) for path in sorted(photographs.iterdir())]
