"""What people do with a curve of good points: average the weights, or the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from morsescape.accuracy import accuracy
from morsescape.boundary import a_boolean, a_count, checked, instance
from morsescape.model.loss import MeanSquare
from morsescape.model.source import Source
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
from morsescape.store.codec import Saved


@dataclass(frozen=True)
class Score(Saved):
    """L without ridge, and the accuracy in [0, 1], None without class labels."""

    loss: float
    accuracy: float | None


@dataclass(frozen=True)
class Scores(Saved):
    """The ends of a curve against what is made of the points on it.

    Attributes:
        first, last: the ends alone.
        average: the mean of the weights.
        ensemble: the mean of the outputs, of class probabilities if the targets are labels; None
            where the loss is neither cross-entropy of labels nor a mean square.
    """

    first: Score
    last: Score
    average: Score
    ensemble: Score | None


@dataclass(frozen=True)
class Uses(Saved):
    """What the points of a curve are good for.

    Attributes:
        times: the t of the points.
        train, test: on the training data, and on test data if it was given.
        warning: what is amiss with the numbers; empty if nothing is known to be.
    """

    times: tuple[float, ...]
    train: Scores
    test: Scores | None
    warning: str


@checked(
    f=instance(Objective, "make one: morsescape.Objective(model, loss, data)"),
    curve=instance(Curve, "Curve.chain(points) joins points by straight segments"),
    points=a_count(2), recompute=a_boolean(),
)  # fmt: skip
def uses(
    f: Objective, curve: Curve, *, points: int = 11, test: Any = None, recompute: bool = False
) -> Uses:
    """Average the weights, and the outputs, of points of a curve that are even in t.

    The average is θ̄ = Σ_k γ(t_k) / n; the ensemble's output is the mean of softmax of the logits at
    γ(t_k), and its loss the cross-entropy of that (the mean of the outputs, for a mean square).

    Args:
        f: the landscape; its ridge counts in none of the numbers.
        curve: γ.
        points: n, both ends included.
        test: (inputs, targets), or another Objective of the same θ on test data.
        recompute: compute the running statistics of batch normalisation anew from the training
            inputs, at every point and at the average.

    Raises:
        ArgumentError: a curve of another dimension, test data that does not fit.

    Source:
        Izmailov et al., Averaging weights leads to wider optima (2018); Garipov et al. (2018),
        section 5.

    Example:
        >>> import torch, morsescape as ms
        >>> from morsescape.paths.curve import Curve
        >>> model, x = torch.nn.Linear(1, 1, bias=False), torch.ones(3, 1)
        >>> f = ms.Objective(model, "mse", (x, x))
        >>> found = uses(f, Curve.chain(torch.tensor([[0.0], [2.0]]).double())).train
        >>> found.first.loss, found.average.loss, found.ensemble.loss
        (1.0, 0.0, 0.0)
    """
    check_curve(f, curve)
    other = on_data(f, test)
    times = tuple(k / (points - 1) for k in range(points))
    thetas = [curve(t) for t in times]
    mean = torch.stack(thetas).mean(0)
    own = [at_statistics_of(f, theta) if recompute else f for theta in (*thetas, mean)]
    fitted = [other if other is None or not recompute else as_statistics(other, g) for g in own]
    there = None if other is None else _scores([g for g in fitted if g], thetas, mean)
    warning = UNFITTING if with_statistics(f) and not recompute else ""
    return Uses(times, _scores(own, thetas, mean), there, warning)


def _scores(own: Sequence[Objective], thetas: Sequence[Tensor], mean: Tensor) -> Scores:
    """From one objective for each θ, with the statistics that belong to it."""
    *members, averaged = own
    return Scores(
        score_of(members[0], thetas[0]), score_of(members[-1], thetas[-1]),
        score_of(averaged, mean),
        _ensemble([(g.source, theta) for g, theta in zip(members, thetas, strict=True)]),
    )  # fmt: skip


def score_of(f: Objective, theta: Tensor) -> Score:
    """Of one network."""
    return Score(f.at_l2(0.0).value(theta), accuracy(f, theta))


def _ensemble(members: list[tuple[Source, Tensor]]) -> Score | None:
    nets = [(net, net.unflatten(theta)) for net, theta in members]
    first = nets[0][0]
    labelled = first.loss.is_of_labels
    if not (labelled or isinstance(first.loss, MeanSquare)):
        return None
    total, right = 0.0, 0
    with torch.set_grad_enabled(first.needs_graph):
        for x, y in first.chunks(first.chunk):
            outputs = torch.stack([net.output(p, x).detach() for net, p in nets])
            joint = _mean_of_classes(outputs) if labelled else outputs.mean(0)
            total += float(first.share(joint, y))
            right += int((joint.argmax(1) == y).sum()) if labelled else 0
    return Score(total, right / first.samples if labelled else None)


def _mean_of_classes(logits: Tensor) -> Tensor:
    """Log of the mean of softmax over dimension 0: logits of the ensemble."""
    return logits.log_softmax(2).logsumexp(0) - torch.tensor(float(len(logits))).double().log()
