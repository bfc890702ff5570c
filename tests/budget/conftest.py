from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.pictures import picture

from halfsight.budget import files
from halfsight.budget.files import BudgetHead
from halfsight.budget.policy import Bound, Stopping
from halfsight.budget.thumbnail import ThumbnailNet
from halfsight.models.card import ModelCard, Scale
from halfsight.scorer import Scorer


@pytest.fixture(scope="session")
def head(scorer: Scorer) -> BudgetHead:
    """A head that differs from the model's, and a selector with fresh weights."""
    torch.manual_seed(1)
    net = files.with_own_head(scorer.transformer())
    with torch.no_grad():
        net.head_output.bias.add_(torch.randn(5))
    bounds = {count: Bound(0.5 - count / 24, 0.5) for count in range(2, 13, 2)}
    card = ModelCard(
        model=files.MODEL,
        title="",
        status="user's own",
        paper="",
        licence="",
        scale=Scale(min=1, max=5),
        recipe={
            "model_sha256": scorer.card.sha256,
            "selector": "learned",
            "stopping": Stopping(bounds).to_dict(),
        },
    )
    return BudgetHead(net.eval(), ThumbnailNet().eval(), card, files.with_own_head(net).eval())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A small labelled data set in the layout of a CSV table."""
    root = tmp_path / "set"
    root.mkdir()
    rows = ["filename,mos,split"]
    for i in range(14):
        height, width = (140, 190) if i % 3 else (190, 140)
        Image.fromarray(picture(height, width, i)).save(root / f"{i}.png")
        rows.append(f"{i}.png,{0.1 + 0.06 * i:.3f},{'train' if i < 11 else 'test'}")
    (root / "biq2021.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="session")
def budgeted(weights: Path, head: BudgetHead, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The untrained model with a budget beside it, for commands."""
    model = tmp_path_factory.mktemp("budgeted") / "triq.safetensors"
    for suffix in (".safetensors", ".json"):
        model.with_suffix(suffix).write_bytes(weights.with_suffix(suffix).read_bytes())
    recipe = {**head.card.recipe, "model_sha256": files.load_full(model).card.sha256}
    card = head.card.model_copy(update={"recipe": recipe})
    files.save(files.path_beside(model), BudgetHead(head.net, head.selector, card, head.downscaled))
    return model
