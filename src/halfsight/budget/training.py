"""A whole run: data sets and a model in, the budget's file and its card out."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from halfsight import statistics
from halfsight.budget import files, glance, rank
from halfsight.budget import selector as selectors
from halfsight.budget.crops import Box, area, score
from halfsight.budget.distil import Settings, subset_scores, teach, train_head
from halfsight.budget.files import MODEL, BudgetHead
from halfsight.budget.glance import Glance
from halfsight.budget.policy import STEP, Stopping
from halfsight.budget.selector import Learned, kept, ranking
from halfsight.budget.thumbnail import ThumbnailNet
from halfsight.budget.views import Item, ViewCache, items_of
from halfsight.datasets import splits
from halfsight.datasets.base import Dataset, DatasetError
from halfsight.models.base import mean_level
from halfsight.models.card import ModelCard
from halfsight.models.triq import TRIQ
from halfsight.scorer import Scorer
from halfsight.versions import versions

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How far to go from the model's own head to the trained one; chosen on photographs held out."""

AFFORDABLE = 0.625
"""Share of the pixels for half of the regions above which a selector costs too much: beyond it, the
backbone alone leaves less than 1.6x."""

SLACK = 0.005
"""PLCC that a selector may be behind the best one if it reads fewer pixels."""

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done, in all)."""


def parts_of(
    sets: Sequence[Dataset], *, limit: int | None, settings: Settings, hashes: Path
) -> tuple[list[Dataset], list[Dataset]]:
    """Training and held-out parts of each data set, twins on one side.

    Args:
        sets: data sets, or the splits of them to train on.
        limit: as many photographs of each, drawn by the seed; None takes all.
        settings: share held out, and the seed.
        hashes: folder that keeps the perceptual hashes.
    """
    train, held = [], []
    for dataset in sets:
        chosen = splits.drawn(dataset, limit, seed=settings.seed)
        divided = splits.held_out(chosen, settings.held_out, seed=settings.seed, hashes=hashes)
        if set(divided.splits) != {"train", "val"}:
            raise DatasetError(
                f"got {len(chosen)} photographs of {dataset.name}, expected enough to keep "
                f"{settings.held_out:.0%} of them from training"
            )
        train.append(divided.split("train"))
        held.append(divided.split("val"))
    return train, held


def all_items(sets: Sequence[Dataset], *, enlarged: int, size: tuple[int, int]) -> list[Item]:
    """Photographs as they are, and the first ``enlarged`` of each data set at ``size`` too."""
    made: list[Item] = []
    for dataset in sets:
        made += items_of(dataset)
        made += items_of(dataset.replace(dataset.samples[:enlarged]), size=size)
    return made


def kept_sets(orders: Sequence[Sequence[int]], count: int, regions: int) -> np.ndarray:
    """First ``count`` regions of each ranking as bool (len(orders), regions)."""
    sets = np.zeros((len(orders), regions), dtype=bool)
    for row, order in enumerate(orders):
        sets[row, list(order[:count])] = True
    return sets


def scores_by_count(
    net: TRIQ, items: Sequence[Item], cache: ViewCache, orders: Sequence[Sequence[int]]
) -> dict[int, np.ndarray]:
    """Scores (N,) from the first 2, 4 ... regions of each photograph's ranking."""
    n = len(cache.grid)
    counts = list(range(STEP, n + 1, STEP))
    rows = []
    for item, order in zip(items, orders, strict=True):
        sets = np.concatenate([kept_sets([order], count, n) for count in counts])
        rows.append(subset_scores(net, item, cache, sets))
    table = np.stack(rows)
    return {count: table[:, column] for column, count in enumerate(counts)}


@torch.inference_mode()
def rankings(
    name: str, net: ThumbnailNet | None, items: Sequence[Item], cache: ViewCache
) -> list[tuple[int, ...]]:
    """Each photograph's regions in the order of a selector that needs the thumbnail at most."""
    selector = selectors.load(name) if net is None else Learned(net)
    found = []
    for item in items:
        shown = np.asarray(cache.array(item, "thumbnail"), np.uint8)
        grid = cache.layout_of(item).grid
        found.append(ranking(selector.values(shown, grid)))
    return found


@torch.inference_mode()
def read_scores(
    nets: Sequence[TRIQ],
    items: Sequence[Item],
    cache: ViewCache,
    rankings: Sequence[Sequence[Sequence[int]]],
    count: int,
) -> np.ndarray:
    """Scores from regions as they are read for use, side by side in one window.

    Args:
        nets: heads on one backbone.
        items: photographs.
        cache: knows the model's input and grid.
        rankings: for every head, the ranking of every item.
        count: regions read.

    Returns:
        (len(nets), N).
    """
    policy = cache.full.policy
    found = np.empty((len(nets), len(items)))
    for column, item in enumerate(items):
        pixels = item.pixels(policy)
        layout = cache.layout(pixels)
        seen: dict[Box, torch.Tensor] = {}
        for row, net in enumerate(nets):
            chosen = kept(rankings[row][column], count)
            found[row, column] = score(net, policy, pixels, layout, chosen, seen=seen)
    return found


def glances(net: TRIQ, items: Sequence[Item], cache: ViewCache) -> np.ndarray:
    """Scores (N,) of glances at whole photographs, nan where none would be taken."""
    policy, one = cache.full.policy, Glance(weight=1)
    shown = (item.pixels(policy) for item in items)
    return np.array([one.score(net, policy, p) if one.taken(p) else np.nan for p in shown])


def weigh(
    parts: np.ndarray, seen: np.ndarray, full: np.ndarray, items: Sequence[Item]
) -> dict[float, float]:
    """PLCC with the full score by the weight of a glance, over the photographs that take one."""
    at = np.flatnonzero(np.isfinite(seen))
    if len(at) < 3:
        return {0.0: agreement(parts, full, items)}
    chosen = [items[int(row)] for row in at]
    return glance.by_weight(parts[at], seen[at], lambda now: agreement(now, full[at], chosen))


def share_read(
    items: Sequence[Item], cache: ViewCache, orders: Sequence[Sequence[int]], count: int
) -> float:
    """Mean share of the photographs' pixels that the windows of ``count`` regions hold."""
    shares = []
    for item, order in zip(items, orders, strict=True):
        layout = cache.layout_of(item)
        windows = layout.windows(kept(order, count))
        shares.append(area(windows) / (layout.size[0] * layout.size[1]))
    return float(np.mean(shares))


def between(start: TRIQ, end: TRIQ, share: float) -> TRIQ:
    """A head whose weights lie between those of two heads on one backbone.

    Source: Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022, arXiv 2109.01903.
    """
    made = files.with_own_head(start)
    ours, trained = files.head_tensors(made), files.head_tensors(end)
    with torch.no_grad():
        for name, tensor in ours.items():
            tensor.lerp_(trained[name], share)
    return made.eval()


def cheapest(tried: Mapping[str, tuple[float, float]]) -> str:
    """The selector that reads the fewest pixels among the affordable ones that agree almost best.

    Where none is affordable, all are looked at.

    Args:
        tried: PLCC with the full score and share of the pixels read, by name.
    """
    choice = {name: one for name, one in tried.items() if one[1] <= AFFORDABLE} or tried
    best = max(plcc for plcc, _ in choice.values())
    good = [name for name, (plcc, _) in choice.items() if plcc >= best - SLACK]
    return min(good, key=lambda name: choice[name][1])


def agreement(scores: np.ndarray, full: np.ndarray, items: Sequence[Item]) -> float:
    """PLCC with the full score, mean over the sizes that photographs were brought to."""
    kinds = [item.size for item in items]
    found = []
    for kind in sorted(set(kinds), key=str):
        chosen = np.array([one == kind for one in kinds])
        if chosen.sum() >= 3:
            found.append(statistics.plcc(scores[chosen], full[chosen]))
    return float(np.mean(found))


def train(
    full: Scorer,
    sets: Sequence[Dataset],
    *,
    out: Path,
    cache: Path,
    limit: int | None = None,
    enlarged: int = 0,
    size: tuple[int, int] = (768, 1024),
    settings: Settings | None = None,
    with_rival: bool = True,
    command: str = "",
    progress: Progress | None = None,
) -> ModelCard:
    """Train head, selector and the rival's head, and write them with their card.

    Args:
        full: the model; its file stays as it is.
        sets: data sets with MOS, their training splits alone.
        out: the file to write, ``NAME-budget.safetensors``.
        cache: folder for features and hashes.
        limit: photographs of each data set, all by default.
        enlarged: as many of each part are also seen brought to ``size``.
        size: (height, width).
        settings: of the run.
        with_rival: also train the head of the rival that sees the photograph downscaled.
        command: how the run was started, for the card.
        progress: told what is being done.

    Raises:
        DatasetError: if there are too few photographs.
        TypeError: for models without tokens.
    """
    chosen = settings or Settings()
    teacher = full.transformer()
    tell = progress or (lambda what, done, total: None)

    def step(what: str) -> Callable[[int, int], None]:
        return lambda done, total: tell(what, done, total)

    cache.mkdir(parents=True, exist_ok=True)
    views = ViewCache(full, cache)
    parts = parts_of(sets, limit=limit, settings=chosen, hashes=cache)
    items, held = (all_items(part, enlarged=enlarged, size=size) for part in parts)
    if len(items) < 8 or len(held) < 3:
        raise DatasetError(
            f"got {len(items)} photographs to train on and {len(held)} to choose by, "
            "expected at least 8 and 3"
        )
    views.fill([*items, *held], progress=step("features"))
    answers = teach(teacher, items, views)
    wanted = mean_level(teach(teacher, held, views)).double().numpy()

    head = files.with_own_head(teacher)
    train_head(head, items, answers, views, chosen, progress=step("head"))
    rival = files.with_own_head(teacher) if with_rival else None
    if rival is not None:
        train_head(
            rival, items, answers, views, chosen, view="downscaled", progress=step("rival's head")
        )

    nets: dict[str, ThumbnailNet] = {}
    for target in rank.TARGETS:
        values = rank.region_values(
            teacher, head, items, answers, views, target, progress=step(f"regions by {target}")
        )
        nets[target] = rank.train_ranking(
            items, values, views, chosen, progress=step(f"selector by {target}")
        )
    half = len(views.grid) // 2
    names = (*rank.TARGETS, "checkerboard", "centre", "random")
    orders = {name: rankings(name, nets.get(name), held, views) for name in names}
    heads = {share: between(teacher, head, share) for share in SHARES}
    ways = list(itertools.product(heads, names))
    tell("choice", 0, 1)
    read = read_scores(
        [heads[share] for share, _ in ways], held, views, [orders[n] for _, n in ways], half
    )
    tell("choice", 1, 1)
    tried = {way: agreement(scores, wanted, held) for way, scores in zip(ways, read, strict=True)}
    share_of = {name: max(SHARES, key=lambda share: tried[share, name]) for name in names}
    at_best = {name: tried[share_of[name], name] for name in names}
    target = max(rank.TARGETS, key=lambda name: at_best[name])
    pixels = {name: share_read(held, views, orders[name], half) for name in names}
    best = cheapest(
        {name: (at_best[name], pixels[name]) for name in (target, "checkerboard", "centre")}
    )
    head = heads[share_of[best]]
    seen = glances(head, held, views)
    weights = weigh(read[ways.index((share_of[best], best))], seen, wanted, held)
    looked = Glance(glance.heaviest(weights))
    by_count = {
        count: scores
        if count == len(views.grid)
        else np.where(np.isfinite(seen), looked.mixed(scores, seen), scores)
        for count, scores in scores_by_count(head, held, views, orders[best]).items()
    }
    whole = np.concatenate(
        [subset_scores(head, item, views, np.ones((1, 12), bool), view="full") for item in held]
    )
    validation = {
        "photographs": len(held),
        "plcc_full_half_read": {
            name: {f"{share:g}": tried[share, name] for share in SHARES} for name in names
        },
        "share_of_pixels_half_read": pixels,
        "plcc_full_half_read_by_glance": {f"{weight:g}": plcc for weight, plcc in weights.items()},
        "plcc_full_all_read_whole": agreement(whole, wanted, held),
    }
    card = _card(full, sets, parts, chosen, command, enlarged, size)
    card = card.model_copy(
        update={
            "recipe": {
                **card.recipe,
                "selector": "learned" if best == target else best,
                "selector_target": target,
                "share_of_training": share_of[best],
                "glance": asdict(looked),
                "stopping": Stopping.fit(by_count, wanted).to_dict(),
                "validation": validation,
            }
        }
    )
    return files.save(out, BudgetHead(head, nets[target], card, rival))


def _card(
    full: Scorer,
    sets: Sequence[Dataset],
    parts: tuple[list[Dataset], list[Dataset]],
    settings: Settings,
    command: str,
    enlarged: int,
    size: tuple[int, int],
) -> ModelCard:
    extra = f", {enlarged} of each part also at {size[1]}x{size[0]}" if enlarged else ""
    data = tuple(
        f"{whole.name}: {len(train)} images trained on, {len(held)} to choose by{extra}"
        for whole, train, held in zip(sets, *parts, strict=True)
    )
    recipe: dict[str, Any] = {
        **asdict(settings),
        "enlarged": enlarged,
        "model_sha256": full.card.sha256,
        "teacher": full.card.title,
    }
    return ModelCard(
        model=MODEL,
        title=f"{full.card.title} from a part of the photograph",
        status="trained here",
        paper=full.card.paper,
        licence=full.card.licence,
        scale=full.scale,
        config=full.card.config,
        input=full.card.input,
        backbone=f"that of the model with SHA-256 {full.card.sha256}, which it does not change",
        tensors="head, network that ranks regions, head of the downscaled rival",
        data=data,
        recipe=recipe,
        seed=settings.seed,
        command=command,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        versions=versions(),
        reading=(
            "A second head on the model's own backbone, trained on features of blocks under random "
            "masks to give the full model's score; the full model itself is untouched."
        ),
        limits="Defects confined to regions that are not read are not seen.",
    )
