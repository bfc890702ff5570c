from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halfsight.models.backbone import Normalisation
from halfsight.models.inputs import InputError, InputPolicy

PLAIN = InputPolicy(Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))


@pytest.mark.parametrize(
    ("given_size", "wanted"),
    [
        ((768, 1024), (768, 1024)),
        ((500, 500), (500, 500)),
        ((3000, 4000), (768, 1024)),
        ((4000, 3000), (1024, 768)),
        ((9000, 12000), (768, 1024)),
        ((64, 96), (128, 192)),
        ((32, 32), (128, 128)),
    ],
)
def test_sizes(given_size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert PLAIN.target_size(*given_size) == wanted


@pytest.mark.parametrize("size", [(1, 1), (31, 4000), (4, 4000)])
def test_tiny_photographs_are_refused_with_their_size(size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=rf"got {size[1]}x{size[0]} pixels, expected at least 32"):
        PLAIN.target_size(*size)


def test_elongated_photographs_are_refused() -> None:
    with pytest.raises(InputError, match="differ at most 48 times"):
        PLAIN.target_size(40, 4000)


@given(st.integers(32, 3000), st.integers(32, 3000))
def test_every_accepted_size_is_within_the_limits(height: int, width: int) -> None:
    try:
        new_height, new_width = PLAIN.target_size(height, width)
    except InputError:
        assert max(height, width) / min(height, width) > 40
        return
    assert min(new_height, new_width) >= 128
    assert new_height * new_width <= 1024 * 768 * 1.01
    assert new_height / new_width == pytest.approx(height / width, rel=0.02)


def test_fixed_size_stretches() -> None:
    policy = InputPolicy(PLAIN.normalisation, size=(384, 512))
    prepared = policy.prepare(np.zeros((100, 300, 3), dtype=np.uint8))
    assert prepared.tensor.shape == (1, 3, 384, 512)
    assert prepared.note == "resized from 300x100 to 512x384 pixels"


def test_normalisation_is_per_channel() -> None:
    policy = InputPolicy(Normalisation((0.1, 0.2, 0.3), (0.5, 1.0, 2.0)))
    pixels = np.full((128, 130, 3), 51, dtype=np.uint8)
    prepared = policy.prepare(pixels)
    assert prepared.note == ""
    assert torch.allclose(prepared.tensor[0, :, 0, 0], torch.tensor([0.2, 0.0, -0.05]), atol=1e-6)
