from __future__ import annotations

import pytest
from tests.foreign import Places, small_vit

from halfsight.masking.base import MaskingError
from halfsight.masking.choose import NAMES, choose
from halfsight.masking.pixels import PixelMasker
from halfsight.masking.positional import PositionalMasker
from halfsight.scorer import Scorer
from halfsight.wrapping import wrap


def test_auto_takes_attention_where_there_are_tokens(scorer: Scorer) -> None:
    assert isinstance(choose(scorer), PositionalMasker)
    assert isinstance(choose(wrap(small_vit())), PositionalMasker)
    assert choose(wrap(Places())) == PixelMasker("zero")


def test_every_name(scorer: Scorer) -> None:
    assert [choose(scorer, name).name for name in NAMES] == ["attention", *NAMES[1:]]
    mine = PixelMasker("blur", tokens=(6, 8))
    assert choose(scorer, mine) is mine


def test_what_cannot_be_had(scorer: Scorer) -> None:
    with pytest.raises(MaskingError, match="expected a model with tokens"):
        choose(wrap(Places()), "attention")
    with pytest.raises(MaskingError, match="got masking 'pink', expected one of auto, attention"):
        choose(scorer, "pink")
