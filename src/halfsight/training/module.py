"""The training loop's inside: losses, rates, moving average, validation figures."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from halfsight import statistics
from halfsight.models.base import QualityNet, mean_level
from halfsight.training.ladder import KINDS, Ladders, falls, in_order
from halfsight.training.recipe import Loss, Recipe, Schedule

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": partial(torch.optim.SGD, momentum=0.9),
}


def rate_factor(progress: float, epochs: int, schedule: Schedule) -> float:
    """Learning-rate factor after ``progress`` epochs: warm-up, hold, cosine to the floor.

    The authors' schedule for TRIQ has this form (METHOD section 1).
    """
    if progress < schedule.warmup:
        return progress / schedule.warmup
    start = schedule.warmup + schedule.hold
    if progress <= start:
        return 1.0
    through = min(1.0, (progress - start) / max(epochs - start, 1e-9))
    return schedule.floor + (1 - schedule.floor) * 0.5 * (1 + math.cos(math.pi * through))


def correlation_loss(predicted: Tensor, wanted: Tensor) -> Tensor:
    """1 - Pearson correlation over the batch; 0 for fewer than three images."""
    if len(predicted) < 3:
        return predicted.sum() * 0
    a, b = predicted - predicted.mean(), wanted - wanted.mean()
    loss: Tensor = 1 - (a * b).sum() / (a.norm() * b.norm()).clamp_min(1e-6)
    return loss


def loss_of(output: Tensor, target: Tensor, score: Tensor, weights: Loss) -> Tensor:
    """Weighted sum of the recipe's loss terms.

    Args:
        output: probabilities (N, 5), or scores (N,) for scalar heads.
        target: distributions (N, 5).
        score: MOS (N,) in five-level units.
        weights: the recipe's weights. Cross-entropy needs a five-level head.
    """
    predicted = mean_level(output)
    total = predicted.sum() * 0
    if weights.cross_entropy and output.ndim == 2:
        log_probability = output.clamp_min(1e-7).log()
        total = total - weights.cross_entropy * (target * log_probability).sum(1).mean()
    if weights.squared_error:
        total = total + weights.squared_error * (predicted - score).square().mean()
    if weights.correlation:
        total = total + weights.correlation * correlation_loss(predicted, score)
    return total


def backbone_parameters(net: QualityNet, recipe: Recipe) -> list[nn.Parameter]:
    """Parameters outside the head that the recipe trains: from pixels, all of them."""
    if not recipe.backbone_rate:
        return []
    if recipe.stage is not None:
        return net.backbone_parameters(recipe.stage)
    head = {id(parameter) for parameter in net.head_parameters()}
    return [parameter for parameter in net.parameters() if id(parameter) not in head]


def run_from(net: QualityNet, stage: int | None, features: Tensor) -> Tensor:
    """A network's output on what enters it after ``stage`` stages; None is the whole network."""
    if stage is None:
        return net(features)  # type: ignore[no-any-return]
    return net.rest(features.contiguous(memory_format=torch.channels_last), stage)


class QualityTraining(L.LightningModule):
    """Trains the part of a quality network that the recipe leaves free.

    With ``batch_norm: frozen`` batch normalisation keeps its pretrained statistics, with ``batch``
    it follows the batches in training and keeps running statistics for scoring.

    Args:
        net: the network.
        recipe: the run.
        names: names of the data sets, in the order of the examples' indices.
        ladders: worse copies of training images, where the recipe asks for them.
        held_ladders: the same of validation images.

    Attributes:
        figures: what the last validation found, by name; checkpoints keep it.
    """

    def __init__(
        self,
        net: QualityNet,
        recipe: Recipe,
        names: tuple[str, ...],
        ladders: Ladders | None = None,
        held_ladders: Ladders | None = None,
    ) -> None:
        super().__init__()
        self.ladders = ladders
        self.held_ladders = held_ladders
        self.net = net
        self.recipe = recipe
        self.names = names
        self.averaged: nn.Module | None = copy.deepcopy(net) if recipe.average else None
        if self.averaged is not None:
            self.averaged.requires_grad_(False)
        self.figures: dict[str, float] = {}
        self._outputs: list[tuple[Tensor, Tensor, Tensor]] = []

    @property
    def best_net(self) -> QualityNet:
        """The network to score with: the moving average where the recipe asks for one."""
        chosen = self.averaged if self.averaged is not None else self.net
        assert isinstance(chosen, QualityNet)
        return chosen

    def train(self, mode: bool = True) -> QualityTraining:
        """Training mode, but for frozen batch normalisation and the moving average."""
        super().train(mode)
        if self.recipe.batch_norm == "frozen":
            for module in self.net.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        if self.averaged is not None:
            self.averaged.eval()
        return self

    def configure_optimizers(self) -> Any:
        """Two groups of parameters: the head, and the backbone's free part."""
        for parameter in self.net.parameters():
            parameter.requires_grad_(False)
        head = self.net.head_parameters()
        groups = [{"params": head, "lr": self.recipe.head_rate}]
        late = backbone_parameters(self.net, self.recipe)
        if late:
            groups.append({"params": late, "lr": self.recipe.backbone_rate})
        for parameter in (*head, *late):
            parameter.requires_grad_(True)
        optimiser = OPTIMISERS[self.recipe.optimiser](groups, weight_decay=self.recipe.weight_decay)
        steps = max(1, int(self.trainer.estimated_stepping_batches) // self.recipe.epochs)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimiser,
            lambda step: rate_factor((step + 1) / steps, self.recipe.epochs, self.recipe.schedule),
        )
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def on_train_epoch_start(self) -> None:
        """Seed dropout by the epoch, so that a resumed run repeats the original exactly."""
        self.train()  # Lightning leaves modules in the mode it finds them in
        torch.manual_seed(self.recipe.seed * 100_003 + self.current_epoch)

    def training_step(self, batch: tuple[Tensor, ...], _: int) -> Tensor:
        """One step on (features, target, score, data set)."""
        features, target, score, _dataset = batch
        output = run_from(self.net, self.recipe.stage, features)
        loss = loss_of(output, target, score.to(output.dtype), self.recipe.loss)
        ladder = self.recipe.ladder
        if ladder is not None and self.ladders is not None:
            rungs = self.ladders.drawn(self.global_step, ladder.batch)
            lost = [falls(self._scores(self.net, one), ladder.margin) for one in rungs]
            loss = loss + ladder.weight * torch.stack(lost).mean()
        self.log("loss", loss, prog_bar=True, on_step=True, on_epoch=True, batch_size=len(score))
        return loss

    @torch.no_grad()
    def on_train_batch_end(self, *_: Any) -> None:
        """Move the average towards the weights; a young average moves faster."""
        if self.averaged is None:
            return
        step = self.global_step
        decay = min(self.recipe.average, (1 + step) / (10 + step))
        for mean, new in zip(self.averaged.parameters(), self.net.parameters(), strict=True):
            if new.requires_grad:
                mean.lerp_(new.detach(), 1 - decay)
        pairs = zip(self.averaged.buffers(), self.net.buffers(), strict=True)
        for kept, current in pairs:
            kept.copy_(current)

    def validation_step(self, batch: tuple[Tensor, ...], _: int) -> None:
        """Collect scores; the figures need the whole validation part."""
        features, _target, score, dataset = batch
        predicted = self._scores(self.best_net, features)
        self._outputs.append((predicted.cpu(), score.cpu(), dataset.cpu()))

    def _scores(self, net: QualityNet, features: Tensor) -> Tensor:
        return mean_level(run_from(net, self.recipe.stage, features))

    def on_validation_epoch_end(self) -> None:
        """PLCC and SROCC of each data set, and their mean over data sets as ``val_plcc``."""
        predicted, score, dataset = (
            torch.cat(part).numpy() for part in zip(*self._outputs, strict=True)
        )
        self._outputs.clear()
        plccs = []
        self.figures = {}
        for index, name in enumerate(self.names):
            chosen = dataset == index
            if chosen.sum() < 3:
                continue
            plcc = statistics.plcc(predicted[chosen], score[chosen])
            plccs.append(0.0 if math.isnan(plcc) else plcc)
            self.figures[f"val_plcc_{name}"] = plccs[-1]
            self.figures[f"val_srocc_{name}"] = float(
                statistics.srocc(predicted[chosen], score[chosen])
            )
        self.figures["val_plcc"] = sum(plccs) / len(plccs) if plccs else 0.0
        if self.held_ladders is not None:
            held = self.held_ladders
            for kind in KINDS:
                chosen = [i for i in range(len(held)) if held.kind(i) == kind]
                shares = [in_order(self._scores(self.best_net, held[i])) for i in chosen]
                self.figures[f"val_in_order_{kind}"] = sum(shares) / max(1, len(shares))
        for key, value in self.figures.items():
            self.log(key, value, prog_bar=key == "val_plcc")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the figures of the epoch with its weights."""
        checkpoint["figures"] = dict(self.figures)
