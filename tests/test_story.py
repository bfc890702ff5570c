from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

STORY = Path(__file__).parents[1] / "examples" / "story.py"


@pytest.fixture(scope="module")
def story() -> ModuleType:
    spec = importlib.util.spec_from_file_location("story", STORY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_notebook_runs_and_its_numbers_agree(story: ModuleType) -> None:
    _, found = story.app.run()
    result = found["result"]
    assert result.masks == 4094
    assert found["best"][-1] == found["worst"][-1] == result.table[0]
    assert found["best"][0] == result.table[-1]
    assert 0 <= found["trivial"] <= found["changes"].max()
