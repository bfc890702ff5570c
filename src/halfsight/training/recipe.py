"""Training recipes: every choice of a run, read from YAML and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator


class RecipeError(ValueError):
    """A recipe file that cannot be read or has a wrong entry."""


class Strict(BaseModel):
    """Refuses entries it does not know, so that a misspelt one is noticed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Strict):
    """One data set of a mixed run.

    Attributes:
        name: name in the registry.
        splits: its parts to train on.
        repeat: times each image is seen in an epoch.
        limit: train on this many of the images alone, drawn at random by the recipe's seed; None
            takes them all.
        denoise: shrink the labels towards cross-fitted predictions, most in the subsets whose
            labels are hardest to predict (:mod:`halfsight.training.denoise`).
        options: of the data set's loader, such as ``labels``.
    """

    name: str
    splits: tuple[str, ...] = ("train",)
    repeat: int = Field(default=1, ge=1)
    limit: int | None = Field(default=None, ge=1)
    denoise: bool = False
    options: dict[str, Any] = {}


class Validation(Strict):
    """How the images that choose the epoch are set apart.

    With ``split`` the data set's own split is used; otherwise a fraction of the training images,
    with near-identical twins kept on one side.
    """

    split: str | None = None
    fraction: float = Field(default=0.08, gt=0, lt=1)


class Crop(Strict):
    """Random crops of the cached feature map, as fractions of its side."""

    smallest: float = Field(default=1.0, gt=0, le=1)
    largest: float = Field(default=1.0, gt=0, le=1)


class Schedule(Strict):
    """Linear warm-up, hold, cosine decay to ``floor`` times the rate; lengths in epochs."""

    warmup: float = 0.0
    hold: float = 0.0
    floor: float = 0.0


class Loss(Strict):
    """Weights of the loss terms."""

    cross_entropy: float = Field(default=1.0, ge=0)
    squared_error: float = Field(default=0.0, ge=0, description="on the score in five-level units")
    correlation: float = Field(default=0.0, ge=0, description="1 - PLCC over the batch")


class Ladder(Strict):
    """Photographs whose copies are made worse step by step (:mod:`halfsight.training.ladder`).

    Attributes:
        photographs: drawn from the training images.
        batch: of them in a step, beside the labelled images.
        weight: of the loss.
        margin: share of a photograph's distance from the lowest score that each rung has to lose.
    """

    photographs: int = Field(ge=1)
    batch: int = Field(default=2, ge=1)
    weight: float = Field(default=1.0, gt=0)
    margin: float = Field(default=0.15, ge=0, lt=1)


class Recipe(Strict):
    """A whole training run.

    Attributes:
        origin: whose recipe it is, and what it leaves out.
        limits: what its weights should not be used for, or need besides; for the card.
        model: name in the registry.
        config: options of the model's constructor.
        sources: the data sets, mixed.
        stage: backbone stages that are frozen and whose output is cached; -1 freezes the backbone
            whole, None caches nothing and starts from pixels.
        start_from: ``imagenet`` takes the backbone's pretrained weights, ``scratch`` none; the
            path of a weight file goes on from an earlier run, a list of paths from the mean of
            their weights. ``earlier`` in a recipe asks for such paths.
        level_std: standard deviation of a target, in levels, where the data set states none.
        optimiser: ``sgd`` has momentum 0.9.
        backbone_rate: 0 leaves the backbone as it is.
        average: decay of the weights' moving average; 0 keeps none.
        clip: largest norm of the gradient; None does not limit it.
        recalibrate: whole training images that give the normalisation layers their statistics:
            after training, or before it where ``batch_norm`` is ``frozen``; 0 keeps those there
            are.
        ladder: also learn that worse copies of a photograph score lower; None does not.
        patience: epochs without gain before stopping; None runs them all.
    """

    origin: str = ""
    limits: str = ""
    model: str
    config: dict[str, Any] = {}
    sources: tuple[Source, ...]
    validation: Validation = Validation()
    stage: int | None = -1
    start_from: str | Annotated[tuple[str, ...], Field(min_length=1)] = "imagenet"
    level_std: float = Field(default=0.7, gt=0)
    epochs: int = Field(ge=1)
    batch: int = Field(ge=1)
    optimiser: Literal["adam", "adamw", "sgd"] = "adamw"
    head_rate: float = Field(gt=0)
    backbone_rate: float = Field(default=0.0, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Schedule = Schedule()
    loss: Loss = Loss()
    ladder: Ladder | None = None
    crop: Crop = Crop()
    flip: bool = True
    batch_norm: Literal["frozen", "batch"] = "frozen"
    average: float = Field(default=0.0, ge=0, lt=1)
    recalibrate: int = Field(default=0, ge=0)
    clip: float | None = Field(default=1.0, gt=0)
    patience: int | None = Field(default=None, ge=1)
    seed: int = 0

    @property
    def earlier(self) -> tuple[str, ...]:
        """What the run starts from, as a tuple."""
        return (self.start_from,) if isinstance(self.start_from, str) else self.start_from

    @model_validator(mode="after")
    def _cached_features_are_there(self) -> Recipe:
        if self.stage is None and any(source.denoise for source in self.sources):
            raise ValueError("denoise reads cached features; set stage to -1 or a number of stages")
        if self.ladder is not None and (self.stage is None or self.batch_norm != "frozen"):
            raise ValueError(
                "ladder reads cached features, and copies of one photograph are no batch to take "
                "statistics of; set stage to -1 or a number of stages, and batch_norm to frozen"
            )
        return self


def shipped() -> dict[str, Path]:
    """Recipes that come with the package, by name."""
    folder = Path(__file__).parent / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def default(model: str) -> str:
    """Name of the shipped recipe for a model on a small machine, else of its first.

    Raises:
        RecipeError: if no recipe for it is shipped.
    """
    names = [name for name in shipped() if name.startswith(f"{model}-")]
    if not names:
        raise RecipeError(f"no recipe for {model} is shipped; give one with --recipe FILE")
    small = [name for name in names if name.endswith(("-lite0", "-small"))]
    return (small or names)[0]


def read(source: str | Path) -> Recipe:
    """Read a recipe by its shipped name or from a YAML file.

    Raises:
        RecipeError: one line that says which entry is wrong.
    """
    path = shipped().get(str(source), Path(source))
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(
            f"got recipe {str(source)!r}: {error.strerror or error}; "
            f"give a YAML file or one of {', '.join(shipped())}"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RecipeError(f"{path}: {where}: {first['msg']}") from None


def with_sources(recipe: Recipe, names: list[str]) -> Recipe:
    """The recipe on other data sets; those it knows keep how often they are repeated."""
    known = {source.name: source for source in recipe.sources}
    sources = tuple(known.get(name, Source(name=name)) for name in names)
    return recipe.model_copy(update={"sources": sources})
