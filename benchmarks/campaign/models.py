"""Random networks: every layer, activation and loss, on vectors, series, images and words.

A network is drawn as a chain: something that reads the input, some layers and activations, what
makes a vector of it, a linear layer, a loss. All of it is torch's own modules and a few of our own
with their definition beside them, so that `definitions.forward` says what the chain means.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import morsescape as ms

from . import exact as X
from . import images  # noqa: F401  registers its definitions
from .checks import Outcome, examine
from .definitions import Weights, forward
from .losses import loss_value
from .own import RUINED, Network
from .parts import LOSS_CHOICES, STARTS, Chain, vectors

LARGEST = 64  # parameters


@dataclass
class Drawn:
    """A model, its loss and data, with the meaning of the whole."""

    model: Network
    loss: Any
    x: Tensor
    y: Tensor
    parts: tuple[str, ...]
    ruined: str = ""  # what keeps torch from differentiating f

    def formula(self) -> Callable[[np.ndarray], Any]:
        """L as a function of the variables, in the order of `model.parameters()`."""
        slices, start = {}, 0
        for p in self.model.parameters():
            if p.requires_grad:
                slices[id(p)] = slice(start, start + p.numel())
                start += p.numel()
        x, y = numbers(self.x), numbers(self.y)

        def value(theta: np.ndarray) -> Any:
            def weights(p: Tensor) -> np.ndarray:
                if id(p) in slices:
                    return theta[slices[id(p)]].reshape(tuple(p.shape))
                return X.array(p.double())

            w: Weights = weights
            return loss_value(self.loss, forward(self.model, x, w), y)

        return value


def numbers(t: Tensor) -> np.ndarray:
    """Floats as exact balls, integers as they are."""
    return X.array(t.double()) if t.is_floating_point() else t.numpy()


def draw(rng: random.Random, plain: bool = False) -> Drawn:
    """One network; the caller's torch random state is not touched.

    A plain one is linear, tanh, linear and cross-entropy.
    """
    while True:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(rng.randrange(2**31))
            chain = Chain(rng)
            try:
                loss, y, name = _plain(chain) if plain else _any(chain)
            except (RuntimeError, ValueError):  # sizes that do not fit: another one
                continue
            model = chain.module()
            if not plain and rng.random() < 0.06:
                chain.parts.append(model.ruin(rng.choice(list(RUINED))))
        if 0 < sum(p.numel() for p in model.parameters()) <= LARGEST:
            if not plain:
                _scale(model, rng)
            parts = tuple(dict.fromkeys([*chain.parts, name]))
            return Drawn(model.eval(), loss, chain.x, y, parts, model.ruined)


def _any(chain: Chain) -> tuple[Any, Tensor, str]:
    chain.rng.choice(STARTS)(chain)
    chain.grow(chain.rng.randint(1, 4))
    return chain.finish(chain.rng.choice(LOSS_CHOICES))


def _plain(chain: Chain) -> tuple[Any, Tensor, str]:
    vectors(chain)
    chain.add(nn.Tanh())
    chain.head(3)
    return "cross_entropy", torch.arange(chain.samples) % 3, "cross-entropy"


def _scale(model: Network, rng: random.Random) -> None:
    """Parameters of other sizes, zeros and duplicates among them; sometimes of extreme size."""
    kind = rng.random()
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    with torch.no_grad():
        for p in model.parameters():
            p.data = p.data.double()
            if kind < 0.4:
                p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64))
            elif kind < 0.46:
                p.mul_(rng.choice((1e-300, 1e-100, 1e-8, 1e3, 1e8, 1e60, 1e150)))
            elif kind < 0.52:
                p.mul_(torch.randint(0, 2, p.shape, generator=generator))
            elif kind < 0.56:
                p.copy_(p.float().half().double())
        for b in model.buffers():
            if b.is_floating_point():
                b.data = b.data.double()
    model.extreme = 0.4 <= kind < 0.46


def case(seed: int, plain: bool = False) -> Outcome:
    """The case of a seed; a plain one is what every state of the package proves something of."""
    rng = random.Random(f"models {seed}")
    drawn = draw(rng, plain)
    l2 = rng.choice((0.0, 0.0, 0.0, 1e-4, 0.1, 1e10 if rng.random() < 0.2 else 1.0))

    def build() -> ms.Objective:
        return ms.Objective(drawn.model, drawn.loss, (drawn.x, drawn.y), l2=l2)

    return examine(
        Outcome("models", seed, drawn.parts), build, drawn.formula(), seed=seed,
        critical=rng.random() < 0.05, loose=drawn.model.extreme,
    )  # fmt: skip
