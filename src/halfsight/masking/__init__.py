"""Hiding regions from a model, in its attention or in its pixels, for all coalitions or some."""

from halfsight.masking.base import Coalitions, Encoded, Masker, MaskingError, Subject

__all__ = ["Coalitions", "Encoded", "Masker", "MaskingError", "Subject"]
