"""A whole training run: data sets in, a weight file with its card out."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    ModelCheckpoint,
    RichProgressBar,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader

from halfsight import datasets
from halfsight.datasets import splits
from halfsight.datasets.base import LEVELS, Dataset
from halfsight.models import registry
from halfsight.models.base import QualityNet, tensor_names
from halfsight.models.card import ModelCard, Scale
from halfsight.outputs import write_atomic
from halfsight.training.cache import FeatureCache, Progress
from halfsight.training.data import Example, Examples, GroupedBatches, examples
from halfsight.training.denoise import denoise, pooled
from halfsight.training.ladder import Ladders
from halfsight.training.module import QualityTraining, backbone_parameters
from halfsight.training.recalibrate import recalibrate
from halfsight.training.recipe import Crop, Recipe, RecipeError
from halfsight.training.start import Start, begin
from halfsight.versions import versions
from halfsight.weights import store

HELD_LADDERS = 90
"""Validation images of which worse copies are made, to see whether their scores fall."""


@dataclass(frozen=True)
class Parts:
    """Training and validation parts of one data set."""

    train: Dataset
    validation: Dataset


def parts_of(recipe: Recipe, roots: Mapping[str, Path], *, hashes: Path) -> tuple[Parts, ...]:
    """Load the recipe's data sets and set the validation part aside.

    Args:
        recipe: the run.
        roots: folder of each data set, by name.
        hashes: folder that keeps perceptual hashes, by which twins are found.

    Raises:
        RecipeError: if the root of a data set is not given.
    """
    made = []
    for source in recipe.sources:
        if source.name not in roots:
            raise RecipeError(
                f"the recipe trains on {source.name}, whose folder is not given; "
                f"add --root {source.name}=DIR"
            )
        whole = datasets.load(source.name, roots[source.name], **source.options)
        chosen = splits.drawn(whole.split(*source.splits), source.limit, seed=recipe.seed)
        if recipe.validation.split is not None:
            train, validation = chosen, whole.split(recipe.validation.split)
        else:
            divided = splits.held_out(
                chosen, recipe.validation.fraction, seed=recipe.seed, hashes=hashes
            )
            train, validation = divided.split("train"), divided.split("val")
        made.append(Parts(train, validation))
    return tuple(made)


class _Epochs(Callback):
    """Tells the batch sampler which epoch it is, so that a resumed run sees the same order."""

    def __init__(self, sampler: GroupedBatches) -> None:
        self.sampler = sampler

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.sampler.set_epoch(trainer.current_epoch)


def _shapes(
    items: tuple[Example, ...], features: FeatureCache, parts: tuple[Dataset, ...]
) -> list[tuple[int, int]]:
    known: dict[Path, tuple[int, int]] = {}  # an image may be repeated
    for item in items:
        path = item.sample.path
        if path not in known:
            known[path] = features.shape(parts[item.dataset], item.sample)
    return [known[item.sample.path] for item in items]


def train(
    recipe: Recipe,
    roots: Mapping[str, Path],
    *,
    out: Path,
    cache: Path | None = None,
    offline: bool = True,
    command: str = "",
    on_cache: Progress | None = None,
    quiet: bool = False,
) -> ModelCard:
    """Train as the recipe says; go on where an earlier run in ``out`` stopped.

    Writes ``out/MODEL.safetensors`` with its card, ``out/checkpoints``, and ``out/log`` with
    ``metrics.csv`` and TensorBoard's file. Resuming repeats the original run exactly, from its
    last finished epoch, and logs to a folder beside the first.

    Args:
        recipe: the run.
        roots: folder of each data set, by name.
        out: folder of the run.
        cache: folder for cached features; ``out/cache`` by default.
        offline: forbid downloads of pretrained weights.
        command: how the run was started, for the card.
        on_cache: progress of caching, called with (done, total).
        quiet: no progress bar.

    Returns:
        The card of the trained weights, still without measured figures.
    """
    L.seed_everything(recipe.seed, verbose=False)
    entry = registry.entry(recipe.model)
    net = entry.build(**recipe.config)
    start = begin(net, recipe, offline=offline)
    store_folder = cache or out / "cache"
    store_folder.mkdir(parents=True, exist_ok=True)
    parts = parts_of(recipe, roots, hashes=store_folder)
    names = tuple(source.name for source in recipe.sources)
    policy = entry.policy(net)
    features = FeatureCache(net, policy, store_folder, stage=recipe.stage)
    for part in parts:
        samples = (*part.train.samples, *part.validation.samples)
        features.fill(part.train, samples, progress=on_cache)

    train_sets, kept = _labels(recipe, parts, store_folder, offline, on_cache)
    loaders = []
    samplers = []
    for role in ("train", "validation"):
        sets = train_sets if role == "train" else tuple(part.validation for part in parts)
        items: tuple[Example, ...] = ()
        for index, (dataset, source) in enumerate(zip(sets, recipe.sources, strict=True)):
            repeat = source.repeat if role == "train" else 1
            items += examples(dataset, index, level_std=recipe.level_std, repeat=repeat)
        training = role == "train"
        sampler = GroupedBatches(
            _shapes(items, features, sets),
            batch=recipe.batch,
            crop=recipe.crop if training else Crop(),
            seed=recipe.seed,
            shuffle=training,
            smallest=2 if any(isinstance(m, nn.BatchNorm1d) for m in net.modules()) else 1,
        )
        data = Examples(items, features, sets, flip=recipe.flip and training, seed=recipe.seed)
        samplers.append(sampler)
        # a generator of its own: a loader draws a seed when it starts, which on a resumed run
        # would shift the random numbers that dropout sees
        own = torch.Generator().manual_seed(recipe.seed)
        loaders.append(DataLoader(data, batch_sampler=sampler, num_workers=0, generator=own))

    folder = out / "checkpoints"
    log, last = "log", folder / "last.ckpt"
    frozen_norm = recipe.batch_norm == "frozen"
    if recipe.recalibrate and frozen_norm and not last.exists():  # a checkpoint has them already
        recalibrate(net, recipe, [part.train for part in parts], features)
    ladders = _ladders(recipe, parts, features, on_cache)
    module = QualityTraining(net, recipe, names, *ladders)
    keep = ModelCheckpoint(folder, filename="best", monitor="val_plcc", mode="max")
    # save_last of the other would keep the last epoch that was the best, not the last of all
    latest = ModelCheckpoint(folder, filename="last", enable_version_counter=False)
    callbacks: list[Callback] = [_Epochs(samplers[0]), keep, latest]
    if recipe.patience is not None:
        callbacks.append(EarlyStopping("val_plcc", mode="max", patience=recipe.patience))
    if not quiet:
        callbacks.append(RichProgressBar())
    if last.exists():
        epoch = int(torch.load(last, map_location="cpu", weights_only=False)["epoch"]) + 1
        log = f"log-from-epoch-{epoch}"  # a logger deletes what an earlier one of its name wrote
        # Lightning asks for the first batch of a resumed run before it tells anyone the epoch
        samplers[0].set_epoch(epoch)
    trainer = L.Trainer(
        max_epochs=recipe.epochs,
        accelerator="auto",
        devices=1,
        logger=[
            CSVLogger(out, name="", version=log),
            TensorBoardLogger(out, name="", version=log),
        ],
        callbacks=callbacks,
        gradient_clip_val=recipe.clip,
        enable_progress_bar=not quiet,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
    )
    trainer.fit(
        module,
        loaders[0],
        loaders[1],
        ckpt_path=last if last.exists() else None,
        weights_only=False,
    )
    best = torch.load(keep.best_model_path, map_location="cpu", weights_only=False)
    module.load_state_dict(best["state_dict"])
    if recipe.recalibrate and not frozen_norm:
        recalibrate(module.best_net, recipe, [part.train for part in parts], features)
    found = {key: round(float(value), 4) for key, value in best.get("figures", {}).items()}
    write_atomic(out / "recipe.json", recipe.model_dump_json(indent=2) + "\n")
    made: dict[str, Any] = {"chosen_epoch": int(best["epoch"]), "validation": found}
    if kept:
        made["labels_keep"] = kept
    return _save(module.best_net, recipe, parts, out, start, command, made)


def _labels(
    recipe: Recipe,
    parts: tuple[Parts, ...],
    folder: Path,
    offline: bool,
    progress: Progress | None,
) -> tuple[tuple[Dataset, ...], dict[str, float]]:
    """Training parts with the labels to train on, and how much noisy ones keep of themselves."""
    sets = tuple(part.train for part in parts)
    chosen = [source.denoise for source in recipe.sources]
    if not any(chosen):
        return sets, {}
    # a network that an earlier run tuned knows the labels already
    entry = registry.entry(recipe.model)
    net = entry.build(**recipe.config)
    net.load_backbone(offline=offline)
    cache = FeatureCache(net, entry.policy(net), folder, stage=recipe.stage)
    for one in sets:
        cache.fill(one, one.samples, progress=progress)
    features = [pooled(net, one, cache, progress) for one in sets]
    groups = [splits.twin_groups(one, folder) for one in sets]
    return denoise(sets, features, groups, chosen)


def _ladders(
    recipe: Recipe, parts: tuple[Parts, ...], cache: FeatureCache, progress: Progress | None
) -> tuple[Ladders | None, Ladders | None]:
    """Worse copies of training and of validation images."""
    if recipe.ladder is None:
        return None, None
    made = []
    for sets, count in (
        ([part.train for part in parts], recipe.ladder.photographs),
        ([part.validation for part in parts], HELD_LADDERS),
    ):
        ladders = Ladders(sets, cache, count=count, seed=recipe.seed)
        ladders.fill(progress)
        made.append(ladders)
    return made[0], made[1]


def _save(
    net: QualityNet,
    recipe: Recipe,
    parts: tuple[Parts, ...],
    out: Path,
    start: Start,
    command: str,
    made: Mapping[str, Any],
) -> ModelCard:
    entry = registry.entry(recipe.model)
    names = tensor_names(
        net,
        (*net.head_parameters(), *backbone_parameters(net, recipe)),
        buffers=recipe.batch_norm == "batch" or recipe.recalibrate > 0,  # statistics moved
    )
    names |= start.held
    data = tuple(
        f"{part.train.name}: {len(part.train)} images trained on, "
        f"{len(part.validation)} to choose the epoch"
        for part in parts
    )
    card = ModelCard(
        model=recipe.model,
        title=entry.title,
        status="trained here",
        paper=entry.paper,
        licence=entry.licence,
        scale=Scale(min=1.0, max=float(LEVELS)),  # of the targets, whatever the head
        config=recipe.config,
        input=entry.policy(net).to_dict(),
        backbone=start.backbone,
        tensors=_held(net, names),
        data=data,
        recipe={
            **recipe.model_dump(mode="json"),
            "start_from": start.said,
            **made,
        },
        seed=recipe.seed,
        command=command,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        versions=versions("lightning", "scikit-learn"),
        reading=entry.reading,
        limits=recipe.limits,
    )
    return store.save(out / f"{recipe.model}.safetensors", net, card, names=names)


def _held(net: QualityNet, names: set[str]) -> str:
    """What a file with these tensors holds, in words."""
    if names >= {name for name, _ in net.named_parameters()}:
        return "all"
    head = {id(parameter) for parameter in net.head_parameters()}
    if all(id(parameter) in head for name, parameter in net.named_parameters() if name in names):
        return "head alone"
    return "head and late stages"
