from __future__ import annotations

import pytest
import torch
from scipy.stats import pearsonr

from halfsight.training.data import GroupedBatches
from halfsight.training.module import correlation_loss, loss_of, rate_factor
from halfsight.training.recipe import Crop, Loss, Schedule


def test_correlation_loss_is_one_minus_pearson() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(20), torch.randn(20)
    assert float(correlation_loss(a, b)) == pytest.approx(1 - pearsonr(a, b)[0], abs=1e-5)
    assert float(correlation_loss(a[:2], b[:2])) == 0


def test_loss_terms() -> None:
    p = torch.tensor([[0.1, 0.2, 0.4, 0.2, 0.1]])
    target = torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0]])
    score = torch.tensor([4.0])
    cross = loss_of(p, target, score, Loss(cross_entropy=1, squared_error=0))
    assert float(cross) == pytest.approx(-torch.log(torch.tensor(0.4)).item(), abs=1e-6)
    squared = loss_of(p, target, score, Loss(cross_entropy=0, squared_error=2))
    assert float(squared) == pytest.approx(2.0, abs=1e-5)
    scalar = loss_of(torch.tensor([3.5]), target, score, Loss(cross_entropy=1, squared_error=1))
    assert float(scalar) == pytest.approx(0.25)


def test_the_authors_schedule() -> None:
    # Adam 5e-5: 10 epochs warm-up, hold 30, cosine to 120
    schedule = Schedule(warmup=10, hold=30)
    assert rate_factor(5, 120, schedule) == 0.5
    assert rate_factor(10, 120, schedule) == 1
    assert rate_factor(40, 120, schedule) == 1
    assert rate_factor(80, 120, schedule) == pytest.approx(0.5)
    assert rate_factor(120, 120, schedule) == pytest.approx(0)
    assert rate_factor(120, 120, Schedule(floor=0.1)) == pytest.approx(0.1)


def test_batches_hold_one_shape_and_every_image_once() -> None:
    shapes = [(4, 5), (5, 4)] * 9 + [(4, 5)]
    sampler = GroupedBatches(shapes, batch=4, crop=Crop(smallest=0.5, largest=0.8), seed=1)
    seen: list[int] = []
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        orders.append([key[1] for batch in batches for key in batch])
        for batch in batches:
            assert len({shapes[key[1]] for key in batch}) == 1
            assert len({key[2] for key in batch}) == 1
            assert 0.5 <= batch[0][2] <= 0.8
        seen = sorted(orders[-1])
        assert seen == list(range(len(shapes)))
    assert orders[0] == orders[2] != orders[1]


def test_a_last_batch_of_one_joins_the_one_before() -> None:
    shapes = [(4, 5)] * 9
    sampler = GroupedBatches(shapes, batch=4, crop=Crop(), seed=1, smallest=2)
    batches = list(sampler)
    assert sorted(len(batch) for batch in batches) == [4, 5]
    assert sorted(key[1] for batch in batches for key in batch) == list(range(9))
    assert len(sampler) == 2
    alone = GroupedBatches(shapes[:1], batch=4, crop=Crop(), seed=1, smallest=2)
    assert [len(batch) for batch in alone] == [1]
