"""The maskers by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halfsight.masking import positional
from halfsight.masking.base import Masker, MaskingError
from halfsight.masking.pixels import FILLS, PixelMasker
from halfsight.masking.positional import PositionalMasker

if TYPE_CHECKING:
    from halfsight.scorer import Scorer

AUTO = "auto"
NAMES: tuple[str, ...] = (AUTO, "attention", *FILLS)


def choose(scorer: Scorer, masking: str | Masker = AUTO) -> Masker:
    """The masker of that name, for a model.

    Args:
        scorer: the model.
        masking: one of :data:`NAMES`, or a masker, which is returned as it is. ``auto`` hides
            regions in the attention of models with tokens, and blackens the pixels for others.

    Raises:
        MaskingError: if there is none of that name, or the model has no tokens to hide.
    """
    if isinstance(masking, Masker):
        return masking
    if masking == AUTO:
        return PositionalMasker() if positional.possible(scorer) else PixelMasker()
    if masking == "attention":
        positional.check(scorer)
        return PositionalMasker()
    for fill in FILLS:
        if masking == fill:
            return PixelMasker(fill)
    raise MaskingError(f"got masking {masking!r}, expected one of {', '.join(NAMES)}")
