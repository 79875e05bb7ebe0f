"""Accuracy under attack along a curve: FGSM and PGD on images in [0, 1].

Written here on torch: torchattacks and foolbox are no longer maintained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.boundary import a_boolean, a_count, a_number, a_seed, checked, choice, instance
from morsescape.errors import ArgumentError
from morsescape.model.network import Network
from morsescape.objective import Objective
from morsescape.paths.curve import Curve
from morsescape.paths.profile import check_curve
from morsescape.paths.statistics import (
    UNFITTING,
    as_statistics,
    at_statistics_of,
    on_data,
    with_statistics,
)

ATTACKS = ("fgsm", "pgd")
_AN_OBJECTIVE = instance(Objective, "make one: morsescape.Objective(model, loss, data)")


@checked(f=_AN_OBJECTIVE, eps=a_number(least=0))
def fgsm(f: Objective, theta: Float64[Tensor, "D"], eps: float) -> Tensor:
    """The images of f, moved one step against the model at θ: x + ε sign(∂L/∂x), cut to [0, 1].

    Raises:
        ArgumentError: inputs that are not one tensor of numbers in [0, 1].

    Source:
        Goodfellow, Shlens & Szegedy, Explaining and harnessing adversarial examples (2015).

    Example:
        >>> import torch, morsescape as ms
        >>> x, y = torch.tensor([[0.5, 0.5]]), torch.tensor([0])
        >>> f = ms.Objective(torch.nn.Linear(2, 2, bias=False), "cross_entropy", (x, y))
        >>> fgsm(f, torch.tensor([1.0, 0, 0, 1]).double(), 0.125)
        tensor([[0.3750, 0.6250]], dtype=torch.float64)
    """
    return pgd(f, theta, eps, steps=1, step=eps, random_start=False)


@checked(
    f=_AN_OBJECTIVE, eps=a_number(least=0), steps=a_count(1), step=a_number(least=0),
    random_start=a_boolean(), seed=a_seed(),
)  # fmt: skip
def pgd(
    f: Objective,
    theta: Float64[Tensor, "D"],
    eps: float,
    *,
    steps: int = 10,
    step: float | None = None,
    random_start: bool = True,
    seed: int = 0,
) -> Tensor:
    """The images of f after projected gradient ascent on L in the ∞-norm ball of radius ε.

    x ← P(x + step · sign(∂L/∂x)), P the projection to {|x - x₀| ≤ ε} ∩ [0, 1].

    Args:
        f: whose images, targets and loss.
        theta: the parameters of the model that is attacked.
        eps: ε.
        steps: how many.
        step: its length; None for 2.5 ε / steps, which can cross the ball.
        random_start: start at a uniformly random place of the ball, not at its middle.
        seed: of the start.

    Raises:
        ArgumentError: inputs that are not one tensor of numbers in [0, 1].

    Source:
        Madry et al., Towards deep learning models resistant to adversarial attacks (2018).

    Example:
        >>> import torch, morsescape as ms
        >>> x, y = torch.tensor([[0.5, 0.5]]), torch.tensor([0])
        >>> f = ms.Objective(torch.nn.Linear(2, 2, bias=False), "cross_entropy", (x, y))
        >>> pgd(f, torch.tensor([1.0, 0, 0, 1]).double(), 0.125)
        tensor([[0.3750, 0.6250]], dtype=torch.float64)
    """
    f.check(theta)
    net, step = _of_images(f), 2.5 * eps / steps if step is None else step
    generator, moved = torch.Generator().manual_seed(seed), []
    for x, y in net.chunks(net.chunk):
        at = x
        if random_start:
            drawn = torch.rand(x.shape, generator=generator, dtype=x.dtype)
            at = (x + eps * (2 * drawn - 1)).clamp(0, 1)
        for _ in range(steps):
            at = at + step * _slope(net, theta, at, y).sign()
            at = torch.minimum(torch.maximum(at, x - eps), x + eps).clamp(0, 1)
        moved.append(at)
    return torch.cat(moved)


def _slope(net: Network, theta: Tensor, x: Tensor, y: Any) -> Tensor:
    """∂L/∂x; the sign of each sample's own loss, of which L is a sum with positive weights."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        loss = net.chunk_loss(net.unflatten(theta), x, y)
        (slope,) = torch.autograd.grad(loss, x)
    return slope


def _of_images(f: Objective) -> Network:
    net, x = f.source, f.source.x
    if not isinstance(net, Network) or not isinstance(x, Tensor) or not x.is_floating_point():
        got = f"inputs of type {type(x).__name__}" if net.of_samples else "a function"
        raise ArgumentError(
            "f", expected="a network on images, one tensor of numbers in [0, 1]", got=got,
            cure="attack a classifier of images",
        )  # fmt: skip
    if float(x.min()) < 0 or float(x.max()) > 1:
        raise ArgumentError(
            "f", expected="images in [0, 1]", got=f"{float(x.min()):g} to {float(x.max()):g}",
            cure="put the normalisation into the model, as its first layer",
        )  # fmt: skip
    return net


def check_attackable(f: Objective) -> None:
    """Refuse what has no accuracy under attack.

    Raises:
        ArgumentError: no labels, images outside [0, 1].
    """
    if not _of_images(f).loss.is_of_labels:
        raise ArgumentError(
            "f", expected="cross-entropy of class labels", got=f"the loss {f.source.loss}",
            cure="take a classifier: accuracy needs labels",
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Robustness:
    """Accuracy along a curve, on the images as they are and under attack.

    Attributes:
        t: shape (k,).
        clean, attacked: accuracy in [0, 1], shape (k,).
        loss_attacked: L on the attacked images, shape (k,).
        attack, eps: which, and in which ball.
        warning: what is amiss with the numbers; empty if nothing is known to be.
    """

    t: Float64[Tensor, "k"]
    clean: Float64[Tensor, "k"]
    attacked: Float64[Tensor, "k"]
    loss_attacked: Float64[Tensor, "k"]
    attack: str
    eps: float
    warning: str

    def to_json(self) -> dict[str, Any]:
        """As JSON values, but for NaN and infinity."""
        tensors = ("t", "clean", "attacked", "loss_attacked")
        rest = {"attack": self.attack, "eps": self.eps, "warning": self.warning}
        return {name: getattr(self, name).tolist() for name in tensors} | rest


@checked(
    f=_AN_OBJECTIVE,
    curve=instance(Curve, "Curve.chain(points) joins points by straight segments"),
    eps=a_number(least=0), points=a_count(2), attack=choice(ATTACKS), steps=a_count(1),
    seed=a_seed(), recompute=a_boolean(),
)  # fmt: skip
def robustness(
    f: Objective,
    curve: Curve,
    *,
    eps: float,
    points: int = 11,
    attack: str = "pgd",
    steps: int = 10,
    test: Any = None,
    seed: int = 0,
    recompute: bool = False,
) -> Robustness:
    """Accuracy of the models on a curve against FGSM or PGD, each attacked by itself.

    An attack is a search: it bounds the accuracy against all perturbations from above only.

    Args:
        f: the landscape; its images are attacked if there is no test data.
        curve: γ.
        eps: ε, radius of the ball in the ∞-norm.
        points: even in t, both ends included.
        attack: "fgsm" or "pgd".
        steps: of "pgd".
        test: (images, labels), or another Objective of the same θ, to attack instead.
        seed: of the starts, the same at every t.
        recompute: as in `profile`, from the training images as they are.

    Raises:
        ArgumentError: no labels, images outside [0, 1], a curve of another dimension.

    Source:
        Zhao et al., Bridging mode connectivity in loss landscapes and adversarial robustness
        (2020).

    Example:
        >>> import torch, morsescape as ms
        >>> from morsescape.paths.curve import Curve
        >>> x, y = torch.tensor([[0.6, 0.5], [0.0, 1.0]]), torch.tensor([0, 1])
        >>> f = ms.Objective(torch.nn.Linear(2, 2, bias=False), "cross_entropy", (x, y))
        >>> curve = Curve.chain(torch.tensor([[1.0, 0, 0, 1], [2, 0, 0, 2]]).double())
        >>> found = robustness(f, curve, eps=0.1, points=2)
        >>> found.clean.tolist(), found.attacked.tolist()
        ([1.0, 1.0], [0.5, 0.5])
    """
    check_curve(f, curve)
    target = on_data(f, test) or f
    check_attackable(target)
    times, rows = [k / (points - 1) for k in range(points)], []
    for t in times:
        theta, there = curve(t), target
        if recompute:
            there = as_statistics(target, at_statistics_of(f, theta))
        if attack == "fgsm":
            moved = fgsm(there, theta, eps)
        else:
            moved = pgd(there, theta, eps, steps=steps, seed=seed)
        rows.append(_counted(_of_images(there), theta, moved))
    clean, attacked, loss = torch.tensor(rows, dtype=torch.float64).T
    warning = UNFITTING if with_statistics(f) and not recompute else ""
    return Robustness(
        torch.tensor(times, dtype=torch.float64), clean, attacked, loss, attack, eps, warning
    )


def _counted(net: Network, theta: Tensor, moved: Tensor) -> tuple[float, float, float]:
    """Accuracy on the images, and on the moved ones, and L there."""
    parameters, start, loss, right = net.unflatten(theta), 0, 0.0, [0, 0]
    with torch.set_grad_enabled(net.needs_graph):
        for x, y in net.chunks(net.chunk):
            images = (x, moved[start : start + len(x)])
            outputs = [net.output(parameters, part) for part in images]
            right = [n + int((o.argmax(1) == y).sum()) for n, o in zip(right, outputs, strict=True)]
            loss += float(net.share(outputs[1], y))
            start += len(x)
    return right[0] / net.samples, right[1] / net.samples, loss
