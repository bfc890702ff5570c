"""Other people's explanations of the same score: LIME, Grad-CAM, attention rollout."""

from halfsight.attribution.base import Answer, Attribution, AttributionError, Question
from halfsight.attribution.registry import attribute, names

__all__ = ["Answer", "Attribution", "AttributionError", "Question", "attribute", "names"]
