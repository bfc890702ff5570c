"""Two encoder layers as the exact kernel wants them: fewer, larger products, fewer passes.

Three rewritings, each equal to the layer but for rounding:

- *Centring.* A LayerNorm first takes the mean from its input. What feeds it is a sum of linear
  layers, so the mean is taken from their weights instead, once.
- *Scale.* ReLU gives s * relu(x) for relu(s * x) when s > 0, and LayerNorm does not see the scale
  of its input. So the first norm's division by the standard deviation is left out; biases after
  it, and the epsilon of the second norm, are multiplied with the standard deviation instead, which
  travels along as one more feature.
- *Gain and shift.* Those of a norm go into the weights and biases of the linear layers behind it. A
  shift of the keys adds the same to all logits of a query, which no softmax sees, and is dropped.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from halfsight.models.triq import EncoderLayer


class Folded(NamedTuple):
    """Weights from the first layer's mixed values to the last layer's queries, keys and values.

    With a the mixed values and x the layer's input minus its mean, and s the standard deviation:
    z = output a + output_bias + x; hidden = expand (z, s), whose last row is no ReLU's input but
    minus the mean of gain1 z; v = gain1 z + contract (relu(hidden), s). Then v is the input of the
    second norm times s, its mean taken off, and y = v / sqrt(mean(v^2) + eps2 s^2) is that norm's
    output before gain and shift.

    Attributes:
        output: (width, width).
        output_bias: (width, 1).
        expand: (hidden + 1, width + 1).
        contract: (width, hidden + 2).
        gain1: (width, 1).
        eps1: of the first norm.
        gain2: (width, 1).
        shift2: (width, 1).
        eps2: of the second norm.
        query: (width, width), y to scaled queries.
        query_bias: (width, 1).
        key_value: (2 width, width), y to keys and values.
        value_bias: (width, 1), added to the mixed values.
    """

    output: Tensor
    output_bias: Tensor
    expand: Tensor
    contract: Tensor
    gain1: Tensor
    eps1: float
    gain2: Tensor
    shift2: Tensor
    eps2: float
    query: Tensor
    query_bias: Tensor
    key_value: Tensor
    value_bias: Tensor


def fold(first: EncoderLayer, last: EncoderLayer) -> Folded:
    """Rewrite the weights, in float64.

    Args:
        first: the layer whose output is wanted on many tokens.
        last: the layer that reads it.
    """
    dtype = first.expand.weight.dtype

    def own(tensor: Tensor) -> Tensor:
        return tensor.detach().double()

    def column(tensor: Tensor) -> Tensor:
        return own(tensor)[:, None]

    def done(tensor: Tensor) -> Tensor:
        return tensor.to(dtype).contiguous()

    gain1, shift1 = column(first.norm1.weight), column(first.norm1.bias)
    gain2, shift2 = column(first.norm2.weight), column(first.norm2.bias)
    width = len(gain1)
    output, expand, contract = first.attention.output, first.expand, first.contract
    rows = own(expand.weight)
    mean = -gain1.T / width
    expanded = torch.cat(
        (
            torch.cat((rows * gain1.T, rows @ shift1 + column(expand.bias)), 1),
            torch.cat((mean, torch.zeros_like(mean[:, :1])), 1),
        )
    )
    contracted = torch.cat(
        (
            _centred(own(contract.weight)),
            torch.ones_like(gain1),
            _centred(shift1 + column(contract.bias)),
        ),
        1,
    )
    attention = last.attention
    scale = (width // attention.heads) ** -0.5
    query, key, value = (
        own(part.weight) for part in (attention.query, attention.key, attention.value)
    )
    return Folded(
        output=done(_centred(own(output.weight))),
        output_bias=done(_centred(column(output.bias))),
        expand=done(expanded),
        contract=done(contracted),
        gain1=done(gain1),
        eps1=float(first.norm1.eps),
        gain2=done(gain2),
        shift2=done(shift2),
        eps2=float(first.norm2.eps),
        query=done(query * gain2.T * scale),
        query_bias=done((query @ shift2 + column(attention.query.bias)) * scale),
        key_value=done(torch.cat((key, value)) * gain2.T),
        value_bias=done(value @ shift2 + column(attention.value.bias)),
    )


def _centred(weight: Tensor) -> Tensor:
    """Weight whose output has the mean 0."""
    return weight - weight.mean(0)
