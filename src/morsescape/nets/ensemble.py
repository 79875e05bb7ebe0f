"""Many networks of one form trained at once, on the same mini-batches."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from morsescape.data import Dataset
from morsescape.errors import ArgumentError
from morsescape.nets.architectures import build
from morsescape.nets.stacked_cnn import StackedCnn
from morsescape.nets.stacked_mlp import StackedMlp
from morsescape.nets.training import Recipe, TrainingStatus, default_recipe, optimizer_of

STACKS: dict[str, type[StackedCnn] | type[StackedMlp]] = {"cnn": StackedCnn, "mlp2": StackedMlp}
OPTIMIZERS = ("sgd", "adam")  # they go number by number; L-BFGS would mix the members
_BLOCK = 128  # members at a time, so that their buffers fit a core's cache
_SAME = 1e-12  # logits of two images that differ by less, relative, are equal but for rounding


@dataclass(frozen=True, eq=False)
class EnsembleTraining:
    """What the trainings came to, one member a row, in the order of `seeds`.

    Attributes:
        theta: final points, in the order of `model.parameters()`.
        loss: mean cross-entropy over all samples in nats, computed in float64.
        accuracy: share of samples whose largest logit is that of their label, in [0, 1].
        statuses: how each ended.
        seeds: of the initialisations.
        order_seed: of the order of the samples, the same for all.
        recipe: how they were trained.
        seconds: wall-clock time of all, evaluation included.
    """

    theta: Float64[Tensor, "M D"]
    loss: Float64[Tensor, "M"]
    accuracy: Float64[Tensor, "M"]
    statuses: tuple[TrainingStatus, ...]
    seeds: tuple[int, ...]
    order_seed: int
    recipe: Recipe
    seconds: float

    def __str__(self) -> str:
        done = sum(status is TrainingStatus.DONE for status in self.statuses)
        return (
            f"{len(self.seeds):,} networks in {self.seconds:.1f} s ({self.recipe}): {done:,} done, "
            f"median loss {float(self.loss.median()):.4f}"
        )


def train_ensemble(
    name: str,
    dataset: Dataset,
    *,
    seeds: Sequence[int],
    recipe: Recipe | None = None,
    activation: str = "relu",
    pool: str = "max",
    order_seed: int = 0,
    dtype: torch.dtype = torch.float32,
    progress: Callable[[int, int], None] | None = None,
) -> EnsembleTraining:
    """Train the networks `build(name, seed=s)` for all s in `seeds` in one batched computation.

    Member s goes through the same steps as `train(build(name, seed=s), dataset, seed=order_seed)`,
    with other rounding: every member sees the same mini-batches in the same order, so that what is
    computed from the images alone is computed once. In float64 the parameters agree to 1e-9 after
    tens of steps; in float32 rounding grows as training goes on, until the members differ as other
    runs of the same network do. A member that diverges or dies does not touch the others.

    Args:
        name: "cnn" or "mlp2".
        dataset: what to train on, all of it.
        seeds: of the initialisations.
        recipe: how; None takes `default_recipe`.
        activation: as in `build`.
        pool: as in `build`.
        order_seed: seed of the order of the samples.
        dtype: of the training, float32 or float64.
        progress: called as progress(done, total) after each epoch.

    Returns:
        The final points, with losses and statuses as values; nothing is raised for a network that
        diverged or whose hidden units died.

    Raises:
        ArgumentError: another network, no seeds, L-BFGS, another dtype, or options that `build`
            refuses.

    Source:
        Akhtiamov & Thomson, section 5.3: 500 initialisations of the CNN, trained with Adam.

    Example:
        >>> from morsescape.data import load
        >>> from morsescape.nets import Recipe
        >>> digits = load("digits", samples=100)
        >>> recipe = Recipe("adam", lr=3e-3, epochs=2)
        >>> result = train_ensemble("cnn", digits, seeds=range(5), recipe=recipe)
        >>> result.theta.shape, result.loss.shape
        (torch.Size([5, 102]), torch.Size([5]))
    """
    _check(name, seeds, recipe, dtype)
    start = time.perf_counter()
    models = [
        build(
            name, image_shape=dataset.image_shape, classes=dataset.classes, activation=activation,
            pool=pool, seed=seed,
        )
        for seed in seeds
    ]  # fmt: skip
    recipe = recipe or default_recipe(models[0], len(dataset))
    theta = torch.stack([nn.utils.parameters_to_vector(m.parameters()) for m in models]).detach()
    stacks = _stacks(name, theta.to(dtype), dataset, activation, pool)
    for k, stack in enumerate(stacks):
        _descend(stack, dataset, recipe, order_seed, _later(progress, k, len(stacks)))
    theta = torch.cat([stack.theta for stack in stacks]).double()
    loss, accuracy, constant = evaluate(name, theta, dataset, activation=activation, pool=pool)
    pairs = zip(loss.tolist(), constant.tolist(), strict=True)
    return EnsembleTraining(
        theta, loss, accuracy, tuple(_status(*pair) for pair in pairs), tuple(seeds), order_seed,
        recipe, time.perf_counter() - start,
    )  # fmt: skip


def evaluate(
    name: str,
    theta: Float64[Tensor, "M D"],
    dataset: Dataset,
    *,
    activation: str = "relu",
    pool: str = "max",
) -> tuple[Float64[Tensor, "M"], Float64[Tensor, "M"], Bool[Tensor, "M"]]:
    """Loss, accuracy, and whether the output is the same for every image, over all samples.

    Example:
        >>> from morsescape.data import load
        >>> digits = load("digits", samples=50)
        >>> loss, _, constant = evaluate("cnn", torch.zeros(2, 102).double(), digits)
        >>> loss, constant  # the logarithm of 10
        (tensor([2.3026, 2.3026], dtype=torch.float64), tensor([True, True]))
    """
    parts = [_evaluate(s, dataset) for s in _stacks(name, theta, dataset, activation, pool)]
    loss, accuracy, constant = (torch.cat(values) for values in zip(*parts, strict=True))
    return loss, accuracy, constant


# -- inside ---------------------------------------------------------------------------------------

_Stack = StackedCnn | StackedMlp


def _stacks(name: str, theta: Tensor, dataset: Dataset, activation: str, pool: str) -> list[_Stack]:
    """The members in blocks."""
    shape, classes = dataset.image_shape, dataset.classes
    return [
        STACKS[name](block, image_shape=shape, classes=classes, activation=activation, pool=pool)
        for block in theta.split(_BLOCK)
    ]


def _descend(
    stack: _Stack,
    dataset: Dataset,
    recipe: Recipe,
    order_seed: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """The epochs of `train`, for all members of the stack at once."""
    optimizer = optimizer_of(nn.ParameterList([stack.flat]), recipe)
    generator = torch.Generator().manual_seed(order_seed)
    size = min(recipe.batch_size, len(dataset))
    dtype = stack.flat.dtype
    pixels, targets = _pixels(dataset.x, dtype), one_hot(dataset.y, dataset.classes).to(dtype)
    targets /= size
    for epoch in range(recipe.epochs):
        order = torch.randperm(len(dataset), generator=generator)
        for batch in order.split(recipe.batch_size):
            optimizer.zero_grad(set_to_none=False)
            for part in _parts(batch, stack):
                stack.accumulate(pixels[part], targets[part], size)
            optimizer.step()
        if progress is not None:
            progress(epoch + 1, recipe.epochs)


def _later(
    progress: Callable[[int, int], None] | None, block: int, blocks: int
) -> Callable[[int, int], None] | None:
    """The progress of one block of several."""
    if progress is None:
        return None
    return lambda done, total: progress(block * total + done, blocks * total)


def _pixels(images: Tensor, dtype: torch.dtype) -> Tensor:
    """The pixels with a one and a zero at their end, one row an image."""
    x = images.flatten(1).to(dtype)
    return torch.cat([x, x.new_tensor([1.0, 0.0]).expand(len(x), 2)], 1)


def _parts(samples: Tensor, stack: _Stack) -> tuple[Tensor, ...]:
    """In parts of almost the same size whose buffers fit the cache."""
    return samples.tensor_split(math.ceil(len(samples) / stack.images))


def _evaluate(stack: _Stack, dataset: Dataset) -> tuple[Tensor, Tensor, Tensor]:
    loss, right = torch.zeros(2, stack.members, dtype=torch.float64)
    ends: list[Tensor] = []
    for part in _parts(torch.arange(len(dataset)), stack):
        logits = stack.logits(_pixels(dataset.x[part], torch.float64))
        y = dataset.y[part].expand(stack.members, -1)
        loss += cross_entropy(logits, y, reduction="none").sum(1)
        right += (logits.argmax(1) == y).sum(1)
        ends += [logits.amin(2), logits.amax(2)]
    low, high = torch.stack(ends).amin(0), torch.stack(ends).amax(0)
    spread, size = (high - low).amax(1), torch.maximum(high.abs(), low.abs()).amax(1)
    return loss / len(dataset), right / len(dataset), spread <= _SAME * size


def _status(loss: float, constant: bool) -> TrainingStatus:
    if not math.isfinite(loss):
        return TrainingStatus.DIVERGED
    return TrainingStatus.CONSTANT if constant else TrainingStatus.DONE


def _check(name: str, seeds: Sequence[int], recipe: Recipe | None, dtype: torch.dtype) -> None:
    optimizer = "sgd" if recipe is None else recipe.optimizer
    for what, holds, expected, got in (
        ("net", name in STACKS, " | ".join(STACKS), repr(name)),
        ("seeds", len(seeds) > 0, "at least one", "none"),
        ("recipe.optimizer", optimizer in OPTIMIZERS, " | ".join(OPTIMIZERS), repr(optimizer)),
        ("dtype", dtype in (torch.float32, torch.float64), "float32 | float64", dtype),
    ):
        if not holds:
            raise ArgumentError(what, expected=expected, got=got, cure="pass one of these")
