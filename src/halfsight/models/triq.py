"""TRIQ: a transformer encoder over CNN features (You & Korhonen, ICIP 2021, arXiv 2101.01097).

The layers follow the paper and the authors' repository (junyongyou/triq, MIT). Beyond the authors':
any timm backbone, any image size (positions are interpolated in two dimensions), either
orientation, and positional masking as an argument of the encoder.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from halfsight.models.backbone import Backbone
from halfsight.models.base import QualityNet
from halfsight.models.inputs import InputError, InputPolicy
from halfsight.models.packaged import load_imagenet
from halfsight.models.registry import ModelEntry

MASK_LOGIT = -1e9
"""Added to query.key at masked keys (METHOD section 2; slide "Positionally masked TRIQ")."""

Positions = Literal["interpolate", "truncate"]
Gelu = Literal["exact", "tanh"]


@dataclass(frozen=True)
class TRIQConfig:
    """Shape of a TRIQ model; the defaults are the paper's.

    Attributes:
        backbone: timm name.
        levels: quality levels of the softmax head; 1 makes a linear scalar head.
        width: model width d.
        heads: attention heads; they divide ``width``.
        layers: encoder layers.
        feed_forward: hidden width of the feed-forward sublayer.
        head_width: hidden width of the quality head.
        dropout: dropout rate on sublayer outputs, embeddings and the head.
        position_grid: (rows, cols) of the learned table of positions, in tokens.
        positions: ``interpolate`` resizes the table to the token map; ``truncate`` takes its first
            rows, as the authors' code does, and refuses larger maps.
        pool_from: feature map side from which 2x2 max pooling applies: the shorter side, so that
            a turned photograph is treated alike; the height alone with ``truncate``, as the
            authors' code. On landscape photographs the two are the same.
        gelu: the head's activation: ``exact``, or the ``tanh`` approximation that the authors' code
            gets from TensorFlow Addons, for their weights.
    """

    backbone: str = "resnet50"
    levels: int = 5
    width: int = 32
    heads: int = 8
    layers: int = 2
    feed_forward: int = 64
    head_width: int = 64
    dropout: float = 0.1
    position_grid: tuple[int, int] = (12, 16)
    positions: Positions = "interpolate"
    pool_from: int = 16
    gelu: Gelu = "exact"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for cards and files."""
        return asdict(self)


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention with separate query, key, value and output layers."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"got width {width} and {heads} heads, expected heads to divide it")
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def split(self, x: Tensor) -> Tensor:
        """(N, T, width) to (N, heads, T, width / heads)."""
        n, t, width = x.shape
        return x.view(n, t, self.heads, width // self.heads).transpose(1, 2)

    def forward(self, x: Tensor, masked: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Self-attention.

        Args:
            x: tokens (N, T, width).
            masked: bool (N or 1, T), True at masked keys; None masks nothing.

        Returns:
            (N, T, width) and the attention weights (N, heads, T, T).
        """
        q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        logits = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if masked is not None:
            logits = logits + MASK_LOGIT * masked[:, None, None, :].to(logits.dtype)
        weights = logits.softmax(-1)
        mixed = (weights @ v).transpose(1, 2).flatten(2)
        return self.output(mixed), weights


class EncoderLayer(nn.Module):
    """Post-LayerNorm encoder layer: attention, then a ReLU feed-forward, each with a residual."""

    def __init__(self, config: TRIQConfig) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(config.width, config.heads)
        self.norm1 = nn.LayerNorm(config.width, eps=1e-6)
        self.expand = nn.Linear(config.width, config.feed_forward)
        self.contract = nn.Linear(config.feed_forward, config.width)
        self.norm2 = nn.LayerNorm(config.width, eps=1e-6)
        self.dropout = nn.Dropout(config.dropout)

    def after_attention(self, x: Tensor, attended: Tensor) -> Tensor:
        """The rest of the layer, token by token: residual, norms and feed-forward."""
        x = self.norm1(x + self.dropout(attended))
        fed = self.contract(F.relu(self.expand(x)))
        out: Tensor = self.norm2(x + self.dropout(fed))
        return out

    def forward(self, x: Tensor, masked: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tokens (N, T, width) to tokens and attention weights (N, heads, T, T)."""
        attended, weights = self.attention(x, masked)
        return self.after_attention(x, attended), weights


class TRIQ(QualityNet):
    """Backbone, 1x1 projection, optional pooling, quality token, encoder, head.

    ``forward`` gives level probabilities (N, levels), or scores (N,) for ``levels=1``.
    """

    def __init__(self, config: TRIQConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TRIQConfig()
        self.backbone = Backbone(config.backbone)
        self.project = nn.Conv2d(self.backbone.channels, config.width, 1)
        self.quality_token = nn.Parameter(torch.zeros(1, 1, config.width))
        rows, cols = config.position_grid
        self.positions = nn.Parameter(torch.randn(1, 1 + rows * cols, config.width) * 0.02)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))
        self.head_hidden = nn.Linear(config.width, config.head_width)
        self.head_output = nn.Linear(config.head_width, config.levels)

    def token_map(self, features: Tensor) -> Tensor:
        """Features (N, C, h, w) to the projected, perhaps pooled map (N, width, rows, cols)."""
        x: Tensor = self.project(features)
        height, width = features.shape[-2:]
        side = height if self.config.positions == "truncate" else min(height, width)
        if side >= self.config.pool_from:
            x = F.max_pool2d(x, 2)
        return x

    def position_table(self, rows: int, cols: int) -> Tensor:
        """Positional embedding (1, 1 + rows * cols, width) for a token map.

        Raises:
            ValueError: with ``positions="truncate"``, if the table is too small.
        """
        table_rows, table_cols = self.config.position_grid
        if self.config.positions == "truncate":
            wanted = 1 + rows * cols
            if wanted > self.positions.shape[1]:
                raise ValueError(
                    f"got {rows}x{cols} tokens, expected at most {self.positions.shape[1] - 1} "
                    'with positions="truncate"; use a smaller image or positions="interpolate"'
                )
            return self.positions[:, :wanted]
        if (rows, cols) == (table_rows, table_cols):
            return self.positions
        grid = self.positions[:, 1:].transpose(1, 2).reshape(1, -1, table_rows, table_cols)
        resized = F.interpolate(grid, size=(rows, cols), mode="bilinear", align_corners=False)
        return torch.cat((self.positions[:, :1], resized.flatten(2).transpose(1, 2)), 1)

    def tokens(self, features: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Features (N, C, h, w) to embedded tokens (N, 1 + rows * cols, width) and (rows, cols).

        Token 0 is the quality token; the others lie row-major.
        """
        x = self.token_map(features)
        rows, cols = int(x.shape[-2]), int(x.shape[-1])
        sequence = x.flatten(2).transpose(1, 2)
        sequence = torch.cat((self.quality_token.expand(len(x), -1, -1), sequence), 1)
        embedded: Tensor = self.dropout(sequence + self.position_table(rows, cols))
        return embedded, (rows, cols)

    def encode(self, tokens: Tensor, masked: Tensor | None = None) -> Tensor:
        """Quality token after the encoder.

        Args:
            tokens: (N, T, width), or (1, T, width) shared by all masks.
            masked: bool (M, T) with token 0 False, or None. M must equal N or one of them be 1.

        Returns:
            (N or M, width).
        """
        if masked is not None:
            if masked[:, 0].any():
                raise ValueError("got a mask over the quality token, expected it always kept")
            tokens = tokens.expand(max(len(masked), len(tokens)), -1, -1)
        for layer in self.encoder:
            tokens, _ = layer(tokens, masked)
        return tokens[:, 0]

    def head(self, quality: Tensor) -> Tensor:
        """Quality tokens (N, width) to probabilities (N, levels), or scores (N,)."""
        approximate = "tanh" if self.config.gelu == "tanh" else "none"
        hidden = self.dropout(F.gelu(self.head_hidden(quality), approximate=approximate))
        out: Tensor = self.head_output(hidden)
        return out[:, 0] if self.config.levels == 1 else out.softmax(-1)

    def stem(self, images: Tensor, stage: int) -> Tensor:
        """Images (N, 3, H, W) to the feature map after ``stage`` backbone stages."""
        return self.backbone.first(images, stage)

    def rest(self, features: Tensor, stage: int) -> Tensor:
        """What :meth:`stem` gave to probabilities (N, levels) or scores (N,)."""
        tokens, _ = self.tokens(self.backbone.after(features, stage))
        return self.head(self.encode(tokens))

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters outside the backbone."""
        return [p for name, p in self.named_parameters() if not name.startswith("backbone.")]

    def backbone_parameters(self, stage: int) -> list[nn.Parameter]:
        """Parameters of the backbone after ``stage`` stages."""
        return self.backbone.late_parameters(stage)

    def load_backbone(self, *, offline: bool) -> str:
        """Load the backbone's ImageNet weights; returns a line that says where from."""
        return load_imagenet(self.backbone, offline=offline)

    def masked(self, images: Tensor, masks: Tensor) -> Tensor:
        """Output under positional masks.

        Args:
            images: normalised, (N, 3, H, W).
            masks: bool (N, 1 + tokens), True at masked tokens; column 0, the quality token, False.

        Returns:
            (N, levels) or (N,).
        """
        tokens, _ = self.tokens(self.backbone(images))
        return self.head(self.encode(tokens, masks))


@dataclass(frozen=True)
class TruncatedPolicy(InputPolicy):
    """The policy of ``positions="truncate"``: photographs with too many tokens are refused.

    Attributes:
        tokens: rows of the table of positions, without the quality token's.
        stride: pixels a side of a cell of the feature map.
        pool_from: height of the feature map from which 2x2 cells make one token.
    """

    tokens: int = 192
    stride: int = 32
    pool_from: int = 16

    def target_size(self, height: int, width: int) -> tuple[int, int]:
        """Input (height, width) for a photograph of the given size.

        Raises:
            InputError: if the photograph is too small, too elongated, or has too many tokens.
        """
        height, width = super().target_size(height, width)
        rows, cols = -(-height // self.stride), -(-width // self.stride)
        if rows >= self.pool_from:
            rows, cols = rows // 2, cols // 2
        if rows * cols > self.tokens:
            raise InputError(
                f"got {width}x{height} pixels, that is {rows}x{cols} tokens, expected at most "
                f"{self.tokens} with truncated positions; resize it to 1024x768 or 512x384, or "
                "import the weights with --positions interpolate"
            )
        return height, width

    def to_dict(self) -> dict[str, object]:
        """Plain values, for cards."""
        return {**super().to_dict(), "tokens": self.tokens}


def policy(net: TRIQ) -> InputPolicy:
    """How photographs reach a TRIQ."""
    if net.config.positions == "interpolate":
        return InputPolicy(net.backbone.normalisation)
    return TruncatedPolicy(
        net.backbone.normalisation,
        tokens=net.positions.shape[1] - 1,
        stride=16 if net.config.backbone.startswith("vgg") else 32,  # VGG's last pooling is cut
        pool_from=net.config.pool_from,
    )


def build(**options: Any) -> TRIQ:
    """A TRIQ from options of :class:`TRIQConfig`; lists are taken where tuples are meant."""
    if "position_grid" in options:
        rows, cols = options["position_grid"]
        options["position_grid"] = (int(rows), int(cols))
    return TRIQ(TRIQConfig(**options))


ENTRY = ModelEntry(
    name="triq",
    title="TRIQ",
    paper="You & Korhonen, Transformer for image quality assessment, ICIP 2021, arXiv 2101.01097",
    licence="Apache-2.0 (our code; the authors' repository junyongyou/triq is MIT)",
    build=build,
    policy=policy,
    reading=(
        "Positions are interpolated in two dimensions for token maps of another size than the "
        "learned table; the authors truncate it."
    ),
)
