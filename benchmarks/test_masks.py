"""All 4096 coalitions of the paper's TRIQ (193 tokens): the exact kernel, and the plain way.

Run: ``pytest benchmarks/test_masks.py``. ``halfsight bench masks`` also times a backbone beside
them and looks at memory; this keeps a history of the kernel alone.
"""

from __future__ import annotations

import pytest
import torch

from halfsight.bench.masks import fastest_chunk
from halfsight.grid import RegionGrid
from halfsight.masking.attention import exact_table
from halfsight.masking.base import Encoded
from halfsight.masking.plain import plain_table
from halfsight.models.triq import TRIQ, TRIQConfig

GRID = RegionGrid(3, 4)


@pytest.fixture(scope="module")
def net() -> TRIQ:
    torch.manual_seed(0)
    return TRIQ(TRIQConfig(backbone="test_resnet")).eval()  # the backbone is not run


@pytest.fixture(scope="module")
def encoded(net: TRIQ) -> Encoded:
    return Encoded(torch.randn(1, 193, net.config.width), (12, 16), (768, 1024))


@pytest.mark.benchmark(group="masks")
def test_exact_kernel(benchmark, net, encoded):
    benchmark.pedantic(exact_table, args=(net, encoded, GRID), rounds=10, warmup_rounds=1)


@pytest.mark.benchmark(group="masks")
def test_plain_way(benchmark, net, encoded):
    chunk = fastest_chunk(net, encoded, GRID)
    benchmark.extra_info["chunk"] = chunk
    benchmark.pedantic(plain_table, args=(net, encoded, GRID), kwargs={"chunk": chunk}, rounds=1)
