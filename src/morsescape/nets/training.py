"""Training as the paper has it: mini-batches, cross-entropy, SGD for the MLPs, Adam for the CNN.

Its reviewer asked for L-BFGS, which takes all samples in every step.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from morsescape.boundary import (
    a_count,
    a_function,
    a_number,
    a_seed,
    checked,
    choice,
    fitting,
    instance,
)
from morsescape.data import Dataset
from morsescape.errors import ArgumentError, shown

_CHUNK = 4096  # samples per forward pass of the evaluation; bounds its memory
_LEAST_STEPS = 5000
OPTIMIZERS = ("sgd", "adam", "lbfgs")
_LBFGS_STEPS = 200
_LBFGS_ROUND = 10  # steps between two calls of `progress`; each round costs one gradient more


@checked(
    optimizer=choice(OPTIMIZERS), lr=a_number(above=0), epochs=a_count(), batch_size=a_count(1),
    momentum=a_number(least=0, most=1),
)  # fmt: skip
@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        optimizer: "sgd", "adam" or "lbfgs" (PyTorch's, other settings at their defaults; L-BFGS
            with a line search by the strong Wolfe conditions, on all samples at once).
        lr: learning rate, kept constant; of L-BFGS the first length that a line search tries.
        epochs: passes over all samples; of L-BFGS the steps.
        batch_size: samples per step; a smaller last batch of an epoch counts by its size, so that
            every sample weighs the same. L-BFGS ignores it.
        momentum: of SGD; must be 0 for the others.

    Raises:
        ArgumentError: a value out of range.

    Example:
        >>> from morsescape.nets import Recipe
        >>> print(Recipe("sgd", lr=0.1, epochs=20))
        sgd, learning rate 0.1, momentum 0, 20 epochs in batches of 64
    """

    optimizer: str
    lr: float
    epochs: int
    batch_size: int = 64
    momentum: float = 0.0

    def __post_init__(self) -> None:
        if self.optimizer != "sgd" and self.momentum != 0:
            raise ArgumentError(
                "momentum", expected=f"0 for {self.optimizer}", got=self.momentum,
                cure='leave it out, or take "sgd"',
            )  # fmt: skip

    def __str__(self) -> str:
        if self.optimizer == "lbfgs":
            return f"lbfgs, first length {self.lr:g}, {self.epochs} steps on all samples"
        momentum = f", momentum {self.momentum:g}" if self.optimizer == "sgd" else ""
        return (
            f"{self.optimizer}, learning rate {self.lr:g}{momentum}, {self.epochs} epochs "
            f"in batches of {self.batch_size}"
        )


class TrainingStatus(Enum):
    """How a training ended."""

    DONE = "all epochs done"
    DIVERGED = "the loss is no longer finite: a smaller learning rate may help"
    CONSTANT = "the output is the same for every image: the hidden units died, try another seed"


@dataclass(frozen=True)
class Training:
    """What a training came to.

    Attributes:
        loss: mean cross-entropy over all samples at the end, in nats.
        accuracy: share of samples whose largest logit is that of their label, in [0, 1].
        seconds: wall-clock time of the training, evaluation included.
        recipe: how it was trained.
        seed: seed of the order of the samples.
        status: how it ended.
    """

    loss: float
    accuracy: float
    seconds: float
    recipe: Recipe
    seed: int
    status: TrainingStatus

    def __str__(self) -> str:
        return (
            f"loss {self.loss:.4f}, accuracy {self.accuracy:.2%} after {self.seconds:.1f} s "
            f"({self.recipe}; seed {self.seed}): {self.status.value}"
        )


@checked(
    model=instance(nn.Module, "pass the network"),
    samples=a_count(1),
    optimizer=choice(("lbfgs",), cure="make a Recipe, with a learning rate of its own"),
)
def default_recipe(model: nn.Module, samples: int, optimizer: str | None = None) -> Recipe:
    """The recipe that `train` uses when it is given none.

    SGD with learning rate 0.1 for 20 epochs; with a convolution in the model, Adam with learning
    rate 0.003 for 15 epochs; batches of 64. On small data there are more epochs, enough for 5,000
    steps. The paper names the optimizers but neither rates nor epochs: these are ours, chosen on
    MNIST. Share of the training images classified right, and the longest time on one thread of a
    2-core machine (`benchmarks/default_recipes.py`):

    ============= ===== ======================= =====
    data          net   accuracy, seeds 0, 1, 2 time
    ============= ===== ======================= =====
    mnist         mlp2  94.55, 94.71, 94.69 %   5 s
    mnist         mlp3  95.33, 94.92, 95.48 %   5 s
    mnist         cnn   94.27, 94.18, 93.17 %   30 s
    fashion-mnist mlp2  87.23, 87.13, 86.43 %   5 s
    fashion-mnist mlp3  87.67, 87.73, 86.40 %   5 s
    fashion-mnist cnn   83.62, 83.82, 83.25 %   33 s
    digits        mlp2  99.39, 99.17, 99.50 %   2 s
    digits        mlp3  99.78, 99.83, 99.05 %   1 s
    digits        cnn   82.47, 10.18, 75.90 %   4 s
    ============= ===== ======================= =====

    The 10.18 % is a CNN whose hidden units died (`TrainingStatus.CONSTANT`).

    With "lbfgs" it is 200 steps on all samples.

    Args:
        model: the network; only whether it has an `nn.Conv2d` matters.
        samples: number of samples that it will be trained on.
        optimizer: "lbfgs", or None for the paper's.

    Raises:
        ArgumentError: no samples, or an optimizer without a default.

    Source:
        The optimizers: Akhtiamov & Thomson, as cited in `build`.

    Example:
        >>> from morsescape.nets import build, default_recipe
        >>> print(default_recipe(build("cnn"), samples=60_000))
        adam, learning rate 0.003, 15 epochs in batches of 64
        >>> default_recipe(build("mlp2", image_shape=(8, 8)), samples=1797).epochs
        173
    """
    if optimizer == "lbfgs":
        return Recipe("lbfgs", 1.0, _LBFGS_STEPS, batch_size=samples)
    convolutional = any(isinstance(layer, nn.Conv2d) for layer in model.modules())
    recipe = Recipe("adam", 3e-3, 15) if convolutional else Recipe("sgd", 0.1, 20)
    steps_per_epoch = math.ceil(samples / recipe.batch_size)
    return replace(recipe, epochs=max(recipe.epochs, math.ceil(_LEAST_STEPS / steps_per_epoch)))


@checked(
    model=instance(nn.Module, "pass a network, as `build` gives"),
    dataset=instance(Dataset, "put images and labels together: data.Dataset(name, x, y, classes)"),
    seed=a_seed(),
    recipe=instance(Recipe, 'Recipe("sgd", lr=0.1, epochs=20) makes one'),
    progress=a_function(2),
)
def train(
    model: nn.Module,
    dataset: Dataset,
    *,
    seed: int,
    recipe: Recipe | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Training:
    """Train `model` in place on the mean cross-entropy of `dataset`.

    The order of the samples is drawn from a private generator, so the same seed, model, recipe and
    number of threads give the same parameters bit for bit; the global random state is not used
    (a model with dropout would use it itself). Data is cast to the dtype of the parameters. The
    model is left in evaluation mode.

    Args:
        model: network from images (n, 1, h, w) to logits (n, C).
        dataset: what to train on, all of it.
        seed: seed of the order of the samples.
        recipe: how; None takes `default_recipe`.
        progress: called as progress(done, total) after each epoch.

    Returns:
        The loss and accuracy at the end, with a status. A loss that stops being finite ends the
        training as DIVERGED. A network whose hidden units all died ends as CONSTANT: the paper's
        CNN, with one channel and ReLU, does so for some seeds. Neither raises.

    Raises:
        ArgumentError: the model has no parameters, or its output is not that of the data.

    Source:
        Akhtiamov & Thomson: SGD for the MLPs, Adam for the CNN, cross-entropy, mini-batches.

    Example:
        >>> from morsescape.data import load
        >>> from morsescape.nets import Recipe, build, train
        >>> digits = load("digits", samples=200)
        >>> model = build("mlp2", image_shape=digits.image_shape)
        >>> result = train(model, digits, seed=0, recipe=Recipe("adam", lr=1e-2, epochs=40))
        >>> result.status.value, result.accuracy > 0.9
        ('all epochs done', True)
    """
    recipe = recipe or default_recipe(model, len(dataset))
    start = time.perf_counter()
    parameter = next(model.parameters(), None)
    if parameter is None:
        raise ArgumentError(
            "model", expected="parameters to train", got="none", cure="pass a network with layers"
        )
    if parameter.is_meta:
        raise ArgumentError(
            "model", expected="parameters with values", got="parameters on the meta device",
            cure='model.to_empty(device="cpu"), and initialise them',
        )  # fmt: skip
    x, y = dataset.x.to(parameter), dataset.y.to(parameter.device)
    height, width = dataset.image_shape
    with fitting(
        "model", expected=f"a network that takes images of shape (n, 1, {height}, {width})",
        cure="build it for images of this size",
    ):  # fmt: skip
        logits = _logits(_unhooked(model), x[:1])
    _check_output(logits, dataset.classes)
    if recipe.optimizer == "lbfgs":
        _descend_on_all(model, x, y, recipe, progress)
    else:
        _descend(model, x, y, seed, recipe, progress)
    logits = _logits(model, x)
    # In double: 60,000 float32 terms would cost three digits of the loss.
    loss = float(cross_entropy(logits.double(), y))
    accuracy = int((logits.argmax(1) == y).sum()) / len(y)
    status = _status(logits, loss)
    return Training(loss, accuracy, time.perf_counter() - start, recipe, seed, status)


def _check_output(logits: Tensor, classes: int) -> None:
    fits = isinstance(logits, Tensor) and logits.ndim == 2 and logits.shape[1] >= classes
    if not fits:
        raise ArgumentError(
            "model", expected=f"logits of shape (n, {classes}), as the data has classes",
            got=shown(logits), cure="give the last layer as many outputs as there are classes",
        )  # fmt: skip


def _descend(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    seed: int,
    recipe: Recipe,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Run the epochs, or stop after the first whose last loss is not finite."""
    optimizer = optimizer_of(model, recipe)
    generator = torch.Generator().manual_seed(seed)
    size = min(recipe.batch_size, len(y))
    model.train()
    for epoch in range(recipe.epochs):
        order = torch.randperm(len(y), generator=generator).to(y.device)
        for batch in order.split(recipe.batch_size):
            optimizer.zero_grad()
            # Divided by the full size: a last batch of 5 would else weigh 13 times as much per
            # sample, and what it does to the last step of the training can be seen.
            loss = cross_entropy(model(x[batch]), y[batch], reduction="sum") / size
            loss.backward()
            optimizer.step()
        if progress is not None:
            progress(epoch + 1, recipe.epochs)
        if not torch.isfinite(loss):
            return


class _NotFinite(Exception):
    """Ends a step of L-BFGS, which would go on with NaN."""


def _descend_on_all(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    recipe: Recipe,
    progress: Callable[[int, int], None] | None,
) -> None:
    """L-BFGS until its steps are done, none lowers the loss or the loss is not finite."""
    rounds = torch.optim.LBFGS(
        model.parameters(), lr=recipe.lr, max_iter=_LBFGS_ROUND, max_eval=25 * _LBFGS_ROUND,
        tolerance_grad=0.0, tolerance_change=0.0, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def loss() -> float:
        rounds.zero_grad()
        total = 0.0
        for images, labels in zip(x.split(_CHUNK), y.split(_CHUNK), strict=True):
            part = cross_entropy(model(images), labels, reduction="sum") / len(y)
            part.backward()
            total += float(part.detach())
        if not math.isfinite(total):
            raise _NotFinite
        return total

    model.train()
    last = math.inf
    for done in range(0, recipe.epochs, _LBFGS_ROUND):
        rounds.param_groups[0]["max_iter"] = min(_LBFGS_ROUND, recipe.epochs - done)
        try:
            first = rounds.step(loss)
        except _NotFinite:  # the model stays there, so that the status says so
            return
        if progress is not None:
            progress(min(done + _LBFGS_ROUND, recipe.epochs), recipe.epochs)
        if not first < last:
            return
        last = first


def optimizer_of(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The one that steps batch by batch: Adam or SGD."""
    if recipe.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), lr=recipe.lr)
    return torch.optim.SGD(model.parameters(), lr=recipe.lr, momentum=recipe.momentum)


def _unhooked(model: nn.Module) -> nn.Module:
    """A copy to try things on: the caller's hooks see the training alone."""
    own = copy.deepcopy(model)
    for module in own.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    return own


@torch.no_grad()
def _logits(model: nn.Module, x: Tensor) -> Tensor:
    model.eval()
    return torch.cat([model(images) for images in x.split(_CHUNK)])


def _status(logits: Tensor, loss: float) -> TrainingStatus:
    if not math.isfinite(loss):
        return TrainingStatus.DIVERGED
    # A dead ReLU layer passes on exact zeros, so the logits are equal to the last bit.
    if len(logits) > 1 and bool((logits == logits[0]).all()):
        return TrainingStatus.CONSTANT
    return TrainingStatus.DONE
