"""What the REST interface sends, and the form that it takes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from halfsight.importance import CRITERIA
from halfsight.models.card import ModelCard, Scale
from halfsight.web.errors import ErrorDetail

Stage = Literal[
    "waiting", "reading", "scoring", "masking", "maps", "writing", "done", "failed", "cancelled"
]
"""Where a photograph is on its way."""

State = Literal["waiting", "running", "done", "cancelled"]


class Summary(BaseModel):
    """An explanation without its table.

    Attributes:
        score: unmasked; entry 0 of the table.
        importance: one value a region, row by row; null where it is not defined.
        boxes: pixel box of each region: top, left, bottom, right.
        size: height and width of the photograph in pixels.
        seconds: wall time of the stages.
    """

    score: float
    scale: Scale
    grid: tuple[int, int]
    criterion: str
    masks: int
    importance: list[float | None]
    important: list[int]
    trivial: list[int]
    score_important_masked: float
    score_trivial_masked: float
    boxes: list[tuple[int, int, int, int]]
    size: tuple[int, int]
    notes: list[str]
    seconds: dict[str, float]


class ResultLinks(BaseModel):
    """Addresses of one photograph's files."""

    explanation: str
    report: str
    picture: str
    thumb: str
    figure: str


class ItemStatus(BaseModel):
    """One photograph with one model.

    Attributes:
        number: its place in the job, from 0.
        masks: masks evaluated so far and in all, while ``masking``.
    """

    number: int
    name: str
    model: str
    stage: Stage
    masks: tuple[int, int] | None = None
    error: ErrorDetail | None = None
    result: Summary | None = None
    links: ResultLinks | None = None


class JobLinks(BaseModel):
    """Addresses of a job."""

    status: str
    events: str
    zip: str


class JobStatus(BaseModel):
    """A job: every photograph of a request with every model of it.

    Attributes:
        id: random; whoever knows it can see the results.
        version: grows with every change.
        ahead: jobs that are worked on before this one.
        seconds_left: until its files are deleted; null while it is not finished.
    """

    id: str
    version: int
    state: State
    ahead: int
    seconds_left: float | None
    items: list[ItemStatus]
    links: JobLinks


class ScoreResult(BaseModel):
    """The score of one photograph by one model, or why there is none."""

    name: str
    model: str
    score: float | None = None
    scale: Scale | None = None
    distribution: list[float] | None = None
    size: tuple[int, int] | None = None
    notes: list[str] = []
    error: ErrorDetail | None = None


class ScoreList(BaseModel):
    """The answer of ``POST /api/score``."""

    scores: list[ScoreResult]


class OfferedModel(BaseModel):
    """A model that the server offers."""

    name: str
    default: bool
    scale: Scale
    card: ModelCard


class ModelList(BaseModel):
    """The answer of ``GET /api/models``."""

    models: list[OfferedModel]


class Example(BaseModel):
    """A photograph to try."""

    name: str
    title: str
    picture: str


class ExampleList(BaseModel):
    """The answer of ``GET /api/examples``."""

    examples: list[Example]


class LimitList(BaseModel):
    """What one request may hold, and how long results are kept."""

    photographs: int
    megabytes: float
    megapixels: float
    regions: int
    seconds: float
    waiting: int
    minutes: float


def form(*, explain: bool) -> dict[str, Any]:
    """OpenAPI's description of the multipart form; the server reads it by itself, bounded.

    Args:
        explain: with the options of an explanation.
    """
    properties: dict[str, Any] = {
        "photographs": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "Photographs to upload.",
        },
        "example": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Names from /api/examples, as well as or in place of uploads.",
        },
        "model": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Names from /api/models; the first of them if none is given.",
        },
    }
    if explain:
        properties |= {
            "grid": {"type": "string", "default": "3x4", "description": "ROWSxCOLUMNS."},
            "criterion": {
                "type": "string",
                "enum": list(CRITERIA),
                "description": "How importance is measured; by the model's kind if not given.",
            },
            "also": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Further maps: lime, gradcam, rollout, saliency, frequency, "
                "objectness, averaged. Those that a model does not allow are left out.",
            },
        }
    schema = {"type": "object", "properties": properties}
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    }
