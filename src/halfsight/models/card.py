"""Model cards: where weights come from, what they were trained on, how well they do."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Status = Literal["trained here", "imported", "not trained here", "user's own"]


class Scale(BaseModel):
    """What a score means.

    Attributes:
        min: lowest score the model can give.
        max: highest score the model can give.
        higher_is_better: False for models of impairment.
    """

    model_config = ConfigDict(frozen=True)

    min: float
    max: float
    higher_is_better: bool = True


class Figure(BaseModel):
    """Agreement of scores with MOS on one part of a data set, with 95 % bootstrap intervals."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    split: str
    n: int
    plcc: float
    plcc_interval: tuple[float, float]
    srocc: float
    srocc_interval: tuple[float, float]
    krocc: float
    rmse: float
    note: str = ""


class ModelCard(BaseModel):
    """Provenance of one set of weights.

    Attributes:
        model: name in the registry.
        config: options of the model's constructor.
        backbone: where the backbone's tensors come from that the file does not hold.
        tensors: what the file holds.
        recipe: the training recipe as it was run.
        command: command that makes the file again.
        figures: measured agreement with MOS, on images never trained on.
        sha256: digest of the safetensors file, checked at load.
        reading: what we chose where the paper is silent.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    title: str
    status: Status
    paper: str
    licence: str
    scale: Scale
    config: dict[str, Any] = {}
    input: dict[str, Any] = {}
    backbone: str = ""
    tensors: str = ""
    data: tuple[str, ...] = ()
    recipe: dict[str, Any] = {}
    seed: int | None = None
    command: str = ""
    date: str = ""
    versions: dict[str, str] = {}
    figures: tuple[Figure, ...] = ()
    parameters: int = 0
    bytes: int = 0
    sha256: str = ""
    reading: str = ""
    limits: str = ""
