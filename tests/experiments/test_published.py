from __future__ import annotations

import pytest

from halfsight import datasets
from halfsight.experiments import published
from halfsight.models import registry


@pytest.mark.parametrize("dataset", [d for d in datasets.names() if d not in published.DATASETS])
def test_only_the_papers_data_sets_have_published_numbers(dataset: str) -> None:
    assert published.pair(dataset) is None
    assert published.matching(dataset, "saliency") is None
    assert not [name for name in registry.names() if published.half(dataset, name)]


@pytest.mark.parametrize("dataset", published.DATASETS)
def test_published_numbers_are_consistent(dataset: str) -> None:
    trivial, important = published.pair(dataset) or (0, 1)
    assert important < trivial
    for model in registry.BUILT_IN:
        row = published.half(dataset, model)
        assert row is not None
        assert row.important_predicted < row.trivial_predicted
    for measure in ("saliency", "frequency", "objectness", "averaged"):
        degrees = published.matching(dataset, measure)
        assert degrees is not None
        assert list(degrees) == sorted(degrees, reverse=True)
