"""The exact kernel against the plain way, which is the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from halfsight.grid import GridError, RegionGrid
from halfsight.masking import kernel
from halfsight.masking.attention import exact_table, exact_tables
from halfsight.masking.base import Coalitions, Encoded
from halfsight.masking.plain import plain_table
from halfsight.models.triq import TRIQ, TRIQConfig


def network(seed: int = 0, *, spread: float = 1.0, **options: object) -> TRIQ:
    """A TRIQ whose weights, biases and norms are all random, ``spread`` times as large."""
    torch.manual_seed(seed)
    options = {"backbone": "test_resnet", "position_grid": (4, 5), **options}
    net = TRIQ(TRIQConfig(**options)).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for layer in net.encoder:
            for parameter in layer.parameters():
                if parameter.ndim == 1:
                    parameter.add_(0.3 * torch.randn_like(parameter))
                parameter.mul_(spread)
        net.head_output.weight.mul_(5)
    return net


def photograph(net: TRIQ, rows: int, cols: int, seed: int = 1, count: int = 1) -> Encoded:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(count, 1 + rows * cols, net.config.width, generator=generator)
    return Encoded(tokens, (rows, cols), (32 * rows, 32 * cols))


def difference(found: Coalitions, wanted: Coalitions) -> float:
    """Largest difference in scores and distributions; never nan."""
    assert found.scores.shape == wanted.scores.shape
    assert found.scores.dtype == np.float32
    worst = float(np.abs(found.scores - wanted.scores).max())
    assert (found.distributions is None) == (wanted.distributions is None)
    if found.distributions is not None and wanted.distributions is not None:
        worst = max(worst, float(np.abs(found.distributions - wanted.distributions).max()))
    assert found.quality is not None
    assert wanted.quality is not None
    assert np.allclose(found.quality, wanted.quality, rtol=1e-4, atol=2e-5)
    assert not math.isnan(worst)
    return worst


def test_all_4096_coalitions_of_the_papers_encoder() -> None:
    net = network()
    encoded = photograph(net, 6, 7)
    wanted = plain_table(net, encoded, RegionGrid(3, 4))
    assert np.ptp(wanted.scores) > 0.1
    assert difference(exact_table(net, encoded, RegionGrid(3, 4)), wanted) < 1e-5


@pytest.mark.parametrize(
    "options",
    [
        {"layers": 1},
        {"layers": 3},
        {"layers": 4, "heads": 2},
        {"heads": 1},
        {"heads": 32},
        {"width": 12, "heads": 3, "feed_forward": 20},
        {"width": 8, "heads": 4, "feed_forward": 1, "layers": 1},
        {"levels": 1},
        {"levels": 10, "layers": 3},
    ],
    ids=str,
)
def test_every_configuration(options: dict[str, int]) -> None:
    net = network(2, **options)
    encoded = photograph(net, 5, 4)
    for grid in (RegionGrid(2, 3), RegionGrid(1, 2)):
        wanted = plain_table(net, encoded, grid)
        assert difference(exact_table(net, encoded, grid), wanted) < 1e-5


@pytest.mark.parametrize("layers", [2, 3])
@pytest.mark.parametrize("rows", [1, 7, 40, 100_000])
def test_the_size_of_a_chunk_changes_nothing(layers: int, rows: int) -> None:
    net = network(3, layers=layers)
    encoded = photograph(net, 4, 5)
    grid = RegionGrid(2, 4)
    wanted = plain_table(net, encoded, grid)
    assert difference(exact_table(net, encoded, grid, rows=rows), wanted) < 1e-5


@settings(max_examples=15, deadline=None)
@given(
    grid=st.tuples(st.integers(1, 4), st.integers(1, 4)).filter(lambda g: 2 <= g[0] * g[1] <= 6),
    more=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    layers=st.integers(1, 3),
    spread=st.floats(0.1, 2.0),
    seed=st.integers(0, 1000),
)
def test_any_token_map_grid_and_scale(
    grid: tuple[int, int], more: tuple[int, int], layers: int, spread: float, seed: int
) -> None:
    net = network(seed, layers=layers, spread=spread)
    encoded = photograph(net, grid[0] + more[0], grid[1] + more[1], seed)
    wanted = plain_table(net, encoded, RegionGrid(*grid))
    # both round; with large weights the plain way itself is further than 1e-5 from the truth
    exact = _double(net, encoded, RegionGrid(*grid))
    own = difference(exact_table(net, encoded, RegionGrid(*grid)), exact)
    assert own < max(1e-5, 3 * float(np.abs(wanted.scores - exact.scores).max()))


def _double(net: TRIQ, encoded: Encoded, grid: RegionGrid) -> Coalitions:
    """The plain way in float64."""
    try:
        wide = Encoded(encoded.tokens.double(), encoded.shape, encoded.size)
        return plain_table(net.double(), wide, grid)
    finally:
        net.float()


@pytest.mark.parametrize("gap", [80.0, 160.0, 600.0])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_regions_whose_logits_are_far_apart(gap: float, layers: int) -> None:
    """Each region's tokens have logits of their own, ``gap`` apart, for every query and head.

    When the regions of high logits are masked, all weights that are left are less than the
    smallest number of float32 in terms of the highest.
    """
    net = network(4, layers=layers)
    grid, shape = RegionGrid(2, 3), (4, 5)
    encoded = photograph(net, *shape)
    owners = torch.from_numpy(grid.token_owners(*shape))
    attention = net.encoder[0].attention
    width, heads = net.config.width, net.config.heads
    with torch.no_grad():
        encoded.tokens[..., 0] = 1.0  # a constant feature, and one that tells the regions apart
        encoded.tokens[..., 1] = torch.cat((torch.tensor([-1.0]), owners.float()))
        for projection in (attention.query, attention.key):
            projection.weight.mul_(0.1)
            projection.bias.zero_()
        first = torch.arange(heads) * (width // heads)
        attention.query.weight[first] = 0
        attention.key.weight[first] = 0
        attention.query.weight[first, 0] = gap * (width // heads) ** 0.5
        attention.key.weight[first, 1] = 1.0
    wanted = plain_table(net, encoded, grid)
    assert np.isfinite(wanted.scores).all()
    assert np.ptp(wanted.scores) > 1e-3
    assert difference(exact_table(net, encoded, grid), wanted) < 1e-5


def test_last_layer_logits_far_apart() -> None:
    net = network(5)
    with torch.no_grad():
        net.encoder[1].attention.query.weight.mul_(40)
    encoded = photograph(net, 4, 5)
    exact = _double(net, encoded, RegionGrid(2, 3))
    plain = plain_table(net, encoded, RegionGrid(2, 3))
    rounding = float(np.abs(plain.scores - exact.scores).max())
    found = exact_table(net, encoded, RegionGrid(2, 3))
    assert np.abs(found.scores - exact.scores).max() < max(1e-5, 3 * rounding)


def test_sixteen_regions() -> None:
    net = network(6, width=8, heads=2, feed_forward=8)
    encoded = photograph(net, 4, 4)
    grid = RegionGrid(4, 4)
    found = exact_table(net, encoded, grid)
    assert found.scores.shape == (65536,)
    masks = torch.zeros(40, 17, dtype=torch.bool)
    chosen = np.random.default_rng(0).integers(0, 65536, 40)
    chosen[:2] = 0, 65535
    masks[:, 1:] = torch.from_numpy((chosen[:, None] >> np.arange(16)) & 1 == 1)
    with torch.inference_mode():
        wanted = net.encode(encoded.tokens, masks).numpy()
    assert found.quality is not None
    assert np.abs(found.quality[chosen] - wanted).max() < 2e-5


def test_threads_change_no_bit() -> None:
    net = network(7)
    encoded = photograph(net, 4, 5)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = exact_table(net, encoded, RegionGrid(2, 4), rows=16)
        torch.set_num_threads(3)
        shared = exact_table(net, encoded, RegionGrid(2, 4), rows=16)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(alone.scores, shared.scores)


def test_the_kernel_is_compiled_and_runs_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(8)
    encoded = photograph(net, 4, 5)
    compiled = exact_table(net, encoded, RegionGrid(2, 3))
    assert isinstance(kernel.compiled(), torch.jit.ScriptFunction)
    monkeypatch.setattr(kernel, "compiled", lambda: kernel.attended)
    as_it_stands = exact_table(net, encoded, RegionGrid(2, 3))
    assert difference(as_it_stands, compiled) < 1e-6


def test_photographs_of_one_size_together() -> None:
    net = network(8)
    encoded = photograph(net, 4, 5, count=3)
    grid = RegionGrid(2, 2)
    found = exact_tables(net, encoded, grid)
    assert len(found) == 3
    for tokens, one in zip(encoded.tokens, found, strict=True):
        alone = Encoded(tokens[None], encoded.shape, encoded.size)
        assert np.array_equal(exact_table(net, alone, grid).scores, one.scores)
        assert difference(one, plain_table(net, alone, grid)) < 1e-5
    with pytest.raises(ValueError, match="got tokens of 3 photographs"):
        exact_table(net, encoded, grid)


def test_a_grid_finer_than_the_tokens_is_refused() -> None:
    net = network()
    with pytest.raises(GridError, match="at least one"):
        exact_table(net, photograph(net, 2, 5), RegionGrid(3, 4))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_any_device_and_precision(layers: int) -> None:
    """Float64 shows that nothing is approximated: the difference is its rounding."""
    net = network(9, layers=layers).double()
    encoded = photograph(net, 4, 5)
    wide = Encoded(encoded.tokens.double(), encoded.shape, encoded.size)
    found, wanted = (way(net, wide, RegionGrid(2, 3)) for way in (exact_table, plain_table))
    assert np.abs(found.scores - wanted.scores).max() < 1e-6  # tables are float32
    if torch.cuda.is_available():
        cuda = Encoded(encoded.tokens.cuda(), encoded.shape, encoded.size)
        there = exact_table(net.float().cuda(), cuda, RegionGrid(2, 3))
        assert np.abs(there.scores - wanted.scores).max() < 1e-5
