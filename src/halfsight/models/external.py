"""Anyone's model: a torch module that was not made for us, asked for scores with care."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from halfsight.models import vit
from halfsight.models.base import QualityNet
from halfsight.models.card import Scale

_SWITCHING = Lock()
"""Held while a module is switched between training and evaluation mode."""

SUM_TOLERANCE = 1e-2
"""How far the probabilities of one image may be from a sum of 1 (half precision)."""

BATCH_TOLERANCE = 1e-3
"""How far, in parts of the scale, a score may move with the other images of its batch."""


class ModelError(RuntimeError):
    """A module that fails, or answers with something that is no score."""


class External(QualityNet):
    """A module that gives a score or a distribution of levels for each image.

    The module itself is left as it is: it is switched to evaluation mode for each call and back
    afterwards, and runs on its own device in its own precision. Answers carry gradients where the
    caller has them enabled, as attribution does.

    Attributes:
        module: the module, (N, 3, H, W) to (N,), (N, 1) or (N, K).
        scale: of the scores. K levels lie evenly on it, from its lowest to its highest score.
        logits: True if the module gives K logits rather than probabilities.
        batch: most images in a call; None leaves it to the caller.
        transformer: the timm VisionTransformer in it whose tokens can be hidden, or None.
    """

    fingerprint: Tensor

    def __init__(
        self,
        module: nn.Module,
        *,
        name: str,
        scale: Scale,
        logits: bool = False,
        batch: int | None = None,
        identity: str = "",
    ) -> None:
        super().__init__()
        if batch is not None and batch < 1:
            raise ValueError(f"got batch {batch}, expected at least 1 image a call")
        self.module = module
        self.name = name
        self.scale = scale
        self.logits = logits
        self.batch = batch
        self._users = 0
        self._modes: list[tuple[nn.Module, bool]] = []
        self._checked = False
        described = "\n".join((identity or describe(module), scale.model_dump_json(), str(logits)))
        digest = bytearray(hashlib.sha256(described.encode()).digest())
        # a buffer, so that the digest of the tensors tells apart modules that have none
        self.register_buffer("fingerprint", torch.frombuffer(digest, dtype=torch.uint8))
        self.transformer = vit.find(module)
        if self.transformer is not None and not self._reads_class_token(self.transformer):
            self.transformer = None

    def scores(self, output: Tensor) -> Tensor:
        """Output to scores on :attr:`scale`: (N, K) probabilities or (N,) scores to (N,)."""
        if output.ndim == 1:
            return output
        levels = torch.linspace(self.scale.min, self.scale.max, output.shape[1])
        return output @ levels.to(output)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (N, 3, H, W) to probabilities (N, K) or scores (N,), on the CPU.

        Raises:
            ModelError: if the module fails, or answers with something else.
        """
        return self._run(images, None)

    def masked(self, images: Tensor, masks: Tensor) -> Tensor:
        """Output with tokens hidden from attention.

        Args:
            images: normalised, (1, 3, H, W).
            masks: bool (M, 1 + rows * cols), True at hidden tokens; column 0, the class token,
                False.

        Returns:
            (M, K) or (M,).

        Raises:
            ModelError: as :meth:`forward`.
            ValueError: if the class token is hidden.
        """
        if masks[:, 0].any():
            raise ValueError("got a mask over the class token, expected it always kept")
        return self._run(images.expand(len(masks), -1, -1, -1), masks)

    def token_shape(self, height: int, width: int) -> tuple[int, int]:
        """(rows, cols) of the transformer's tokens for an image of this size in pixels."""
        return vit.token_shape(self.transformer, height, width)

    def stem(self, images: Tensor, stage: int) -> Tensor:
        """The images: the module is not cut."""
        return images

    def rest(self, features: Tensor, stage: int) -> Tensor:
        """As :meth:`forward`."""
        answer: Tensor = self(features)
        return answer

    def head_parameters(self) -> list[nn.Parameter]:
        """All parameters."""
        return list(self.module.parameters())

    def backbone_parameters(self, stage: int) -> list[nn.Parameter]:
        """None: the module is not cut."""
        return []

    def load_backbone(self, *, offline: bool) -> str:
        """Nothing to load."""
        return "the user's own"

    def _run(self, images: Tensor, masks: Tensor | None) -> Tensor:
        step = self.batch or len(images)
        with self._evaluating():
            outputs = [
                self._call(
                    images[start : start + step],
                    None if masks is None else masks[start : start + step],
                )
                for start in range(0, len(images), step)
            ]
            if not self._checked and masks is None and len(images) > 1 and step > 1:
                self._check_batch(outputs[0][:1], self._call(images[:1], None))
        return torch.cat(outputs)

    def _call(self, images: Tensor, masks: Tensor | None) -> Tensor:
        like = next((p for p in self.module.parameters() if p.is_floating_point()), images)
        wanted = torch.is_grad_enabled()
        # modules may keep what they compute; tensors made in inference mode would break training
        with torch.inference_mode(False), torch.set_grad_enabled(wanted):
            given = images.clone().to(like)
            try:
                if masks is None or self.transformer is None:
                    output = self.module(given)
                else:
                    with vit.hidden(self.transformer, masks):
                        output = self.module(given)
            except Exception as error:
                raise ModelError(
                    f"{self.name}: {type(error).__name__}: {error}; it was given images of shape "
                    f"{tuple(given.shape)}: if that is not what it takes, give size=(height, "
                    "width), or batch=1 if it takes one image at a time"
                ) from error
            return self._understood(output, len(images))

    def _understood(self, output: Any, count: int) -> Tensor:
        """The module's answer as (N,) scores or (N, K) probabilities."""
        expected = f"expected ({count},), ({count}, 1) or ({count}, K) for {count} images"
        if not isinstance(output, Tensor):
            raise ModelError(
                f"{self.name}: got {type(output).__name__}, expected one tensor; "
                "wrap it in a module that returns the score"
            )
        if output.ndim == 0 and count == 1:
            output = output[None]
        if output.ndim not in (1, 2) or len(output) != count or output.shape[-1] == 0:
            raise ModelError(
                f"{self.name}: got an output of shape {tuple(output.shape)}, {expected}; "
                "return one answer an image, or give batch=1 if it takes one image at a time"
            )
        answer: Tensor = output.float().cpu()
        if not torch.isfinite(answer).all():
            raise ModelError(
                f"{self.name}: got nan or infinity, expected finite numbers; "
                "check mean, std and size"
            )
        if answer.ndim == 1 or answer.shape[1] == 1:
            return answer.reshape(-1)
        if self.logits:
            return answer.softmax(-1)
        total = answer.sum(-1)
        if answer.min() < -SUM_TOLERANCE or (total - 1).abs().max() > SUM_TOLERANCE:
            raise ModelError(
                f"{self.name}: got {answer.shape[1]} numbers an image with sum {total[0]:.4g}, "
                "expected probabilities; give logits=True if they are logits"
            )
        return answer

    def _check_batch(self, together: Tensor, alone: Tensor) -> None:
        moved = float((self.scores(together) - self.scores(alone)).detach().abs().max())
        if moved > BATCH_TOLERANCE * (self.scale.max - self.scale.min):
            raise ModelError(
                f"{self.name}: got a score that moves by {moved:.4g} with the other images of its "
                "batch or from call to call, expected one that depends on its image alone; give "
                "batch=1 if images disturb each other, or make the module deterministic"
            )
        self._checked = True

    def _reads_class_token(self, found: Any) -> bool:
        """Whether hiding all patches leaves nothing of the image in the module's answer."""
        height, width = vit.input_size(found) or found.patch_embed.img_size or (224, 224)
        rows, cols = vit.token_shape(found, height, width)
        masks = torch.ones(1, 1 + rows * cols, dtype=torch.bool)
        masks[:, 0] = False
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(2, 1, 3, height, width, generator=generator)
        try:
            with torch.no_grad():
                first, second = (self.masked(image, masks) for image in images)
        except ModelError:  # it will say so itself when it is asked for a score
            return False
        return torch.equal(first, second)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Evaluation mode while anyone uses the module; the modes of all its parts come back."""
        with _SWITCHING:
            if self._users == 0:
                self._modes = [(part, part.training) for part in self.module.modules()]
                for part, _ in self._modes:
                    part.training = False
            self._users += 1
        try:
            yield
        finally:
            with _SWITCHING:
                self._users -= 1
                if self._users == 0:
                    for part, mode in self._modes:
                        part.training = mode


def describe(module: nn.Module) -> str:
    """What tells a module apart from others, beyond its tensors: its classes, code and settings."""
    lines = []
    for name, part in module.named_modules():
        kind = type(part)
        settings = {
            key: value
            for key, value in sorted(vars(part).items())
            if isinstance(value, (bool, int, float, str)) and key != "training"
        }
        # the layer's own line of settings knows strides and paddings, which are tuples
        lines.append(f"{name} {kind.__module__}.{kind.__qualname__} {settings} {part.extra_repr()}")
    try:
        lines.append(inspect.getsource(type(module)))
    except (OSError, TypeError):  # made in an interactive session
        lines.append(re.sub(r" at 0x[0-9a-f]+", "", repr(module)))
    return "\n".join(lines)
