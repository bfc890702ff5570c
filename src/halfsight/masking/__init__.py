"""Hiding regions from a model, in its attention or in its pixels, for all coalitions at once."""

from halfsight.masking.base import Coalitions, Encoded

__all__ = ["Coalitions", "Encoded"]
