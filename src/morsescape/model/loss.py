"""A loss as shares that sum to L over any partition of the samples.

L is a mean over samples of one term each; or a sum of such terms over a divisor that no output
moves, as with class weights or masks; or, where it is neither, a function of all samples at once.
Which of these a function of the caller's is, `read_loss` says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from morsescape.errors import ArgumentError
from morsescape.model.samples import count, take
from morsescape.rounding.enclose import Values
from morsescape.rounding.floats import U
from morsescape.rounding.program import NotTraceable, Program, record

LossFunction = Callable[[Any, Any], Tensor]
LossName = Literal["cross_entropy", "mse"]
NAMES = get_args(LossName)


class Loss:
    """What all losses answer.

    Attributes:
        name: as the user knows it.
        convex: whether it is known to be convex in the model's output.
        shift_invariant: whether adding one number to all logits of a sample is known not to matter.
        is_of_labels: whether each target is the number of a class, and nothing else.
        at_once: whether it takes all samples in one call.
        divisible: whether shares of any samples may be asked for, not only those of a partition.
        scale_error: the shares are within this relative error of those of the exact divisor.
    """

    name = "loss"
    convex = False
    shift_invariant = False
    is_of_labels = False
    at_once = False
    divisible = True
    scale_error = 0.0

    def __str__(self) -> str:
        return self.name

    def share(self, output: Any, y: Any) -> Tensor:
        """The chunk's share of L."""
        raise NotImplementedError

    def sizes(self, size: int, y: Any) -> list[int]:
        """How the samples are divided into chunks of about `size`."""
        total = count(y)
        size = total if self.at_once else size
        return [min(size, total - start) for start in range(0, total, size)]


class CrossEntropy(Loss):
    """Σ a_n ℓ_n / Σ a_n, ℓ = logsumexp(z) - z_y, a the weight of the label; 0 where ignored.

    Written so, its derivatives need few operations. With smoothing ε and C classes ℓ is
    (1 - ε) (lse - z_y) + ε/C Σ_c w_c (lse - z_c) / w_y, as in torch.
    """

    name = "cross_entropy"
    shift_invariant = True

    def __init__(
        self, y: Any, weights: Tensor | None = None, *, weight: Tensor | None = None,
        ignore: int | None = None, smoothing: float = 0.0,
    ) -> None:  # fmt: skip
        self.weight, self.ignore, self.smoothing = weight, ignore, smoothing
        self.weighted = weights is not None
        self.convex = (weight is None or not bool((weight < 0).any())) and 0 <= smoothing <= 1
        labels = y[0] if self.weighted else y
        self.probabilities = labels.is_floating_point()
        self.simple = weight is None and not self.weighted and not smoothing
        self.is_of_labels = not self.probabilities and not self.weighted and labels.ndim == 1
        # Class probabilities sum to one only up to rounding.
        self.shift_invariant = not self.probabilities
        self.total, self.scale_error = self._total(labels, weights)
        self.simple &= self.probabilities or self.total == labels.numel()

    def _total(self, labels: Tensor, weights: Tensor | None) -> tuple[float, float]:
        if self.probabilities:
            each = labels.new_ones(labels.shape[0], *labels.shape[2:])
        else:
            each = self._coefficients(labels, torch.float64)[0]
        if weights is not None:
            each = each * _as_rows(weights, each)
        return _exact_sum(each, "the weights of all labels")

    def _coefficients(self, labels: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The weight of each label, and labels that may be looked up."""
        kept = torch.ones_like(labels, dtype=dtype)
        if self.ignore is not None:
            kept = (labels != self.ignore).to(dtype)
            labels = torch.where(labels != self.ignore, labels, 0)
        return (kept if self.weight is None else kept * self.weight.to(dtype)[labels]), labels

    def share(self, output: Tensor, y: Any) -> Tensor:
        """The chunk's share of L."""
        labels, weights = y if self.weighted else (y, None)
        if self.simple and self.probabilities:
            return (labels * (output.logsumexp(1, keepdim=True) - output)).sum() / self.divisor
        if self.simple:
            chosen = output.gather(1, labels.unsqueeze(1)).squeeze(1)
            return (output.logsumexp(1) - chosen).sum() / self.divisor
        each = self._terms(output, labels)
        each = each if weights is None else each * _as_rows(weights, each)
        return each.sum() / self.divisor

    @property
    def divisor(self) -> float | int:
        """Σ a_n."""
        return int(self.total) if self.total == int(self.total) else self.total

    def _terms(self, output: Tensor, labels: Tensor) -> Tensor:
        above = output.logsumexp(1, keepdim=True) - output  # -log of the probabilities
        classes = output.shape[1]
        shape = [1, classes, *[1] * (output.ndim - 2)]
        by_class = output.new_ones(classes) if self.weight is None else self.weight.to(output.dtype)
        # As tensors: what Python makes of 1 - ε and ε/C is rounded, and no program would know.
        smoothing = output.new_tensor(self.smoothing)
        if self.probabilities:
            share = labels * (1 - smoothing) + smoothing / classes if self.smoothing else labels
            return (above * share * by_class.view(shape)).sum(1)
        each, places = self._coefficients(labels, output.dtype)
        own = above.gather(1, places.unsqueeze(1)).squeeze(1) * each
        if not self.smoothing:
            return own
        kept = 1.0 if self.ignore is None else (labels != self.ignore).to(output.dtype)
        even = (above * by_class.view(shape)).sum(1) * kept
        return own * (1 - smoothing) + even * (smoothing / classes)


class MeanSquare(Loss):
    """The mean over all elements of (output - target)², of weighted samples if asked for."""

    name = "mse"
    convex = True

    def __init__(self, y: Any, weights: Tensor | None = None) -> None:
        self.samples, self.weighted = count(y), weights is not None
        if weights is not None:
            self.total, self.scale_error = _exact_sum(weights, "the samples' weights")

    def share(self, output: Tensor, y: Any) -> Tensor:
        """The chunk's share of L."""
        if not self.weighted:
            return (output - y).square().sum() / (self.samples * output[0].numel())
        each = (output - y[0]).square()
        return (each * _as_rows(y[1], each)).sum() / (self.total * output[0].numel())


class MeanOf(Loss):
    """The mean over samples, by a function that gives the mean over a chunk."""

    def __init__(self, function: LossFunction, samples: int) -> None:
        self.function, self.samples = function, samples
        self.name = name_of(function)

    def share(self, output: Any, y: Any) -> Tensor:
        """The chunk's share of L; both roundings are seen."""
        return self.function(output, y) * count(y) / self.samples


class WeightedMeanOf(Loss):
    """Σ w_n ℓ_n / Σ w_n, ℓ_n the function on sample n alone."""

    def __init__(self, function: LossFunction, weights: Tensor) -> None:
        self.function, self.name = function, name_of(function)
        self.total, self.scale_error = _exact_sum(weights, "the samples' weights")

    def share(self, output: Any, y: Any) -> Tensor:
        """The chunk's share of L."""
        each = [
            self.function(take(output, slice(n, n + 1)), take(y[0], slice(n, n + 1)))
            for n in range(len(y[1]))
        ]
        return (torch.stack(each) * y[1]).sum() / self.total


class RatioOf(Loss):
    """A sum of terms of one sample each over a divisor that no output moves: Σ s_n / D.

    On a chunk the caller's function gives S / D of the chunk. Its program says how D comes from the
    targets; with D of all samples the share is (S / D_chunk) D_chunk / D.
    """

    divisible = False

    def __init__(
        self, function: LossFunction, output: Any, y: Any, step: int, few: Program
    ) -> None:
        self.function, self.name, self.step, self.few = function, name_of(function), step, few
        self.y = y
        self.one_output = take(output, slice(0, 1))
        self.divisors: dict[int, Program] = {}
        self.divisions: dict[int, list[int]] = {}
        self.prepare(count(y))
        self.total, self.scale_error = _exact_sum(self._divisor(y).reshape(1), "the divisor")
        self.scale_error = 0.0 if float(self.total).is_integer() else (count(y) + 8) * U

    def prepare(self, size: int) -> None:
        """Record how the divisor of a chunk of this size comes about."""
        if size in self.divisors:
            return
        places = torch.arange(size) % count(self.y)
        output = take(self.one_output, torch.zeros(size, dtype=torch.long))
        program = record(self.function, output, take(self.y, places))
        if [s.target for s in program.steps] != [s.target for s in self.few.steps]:
            raise NotTraceable("one whose operations depend on the number of samples")
        self.divisors[size] = program.up_to(self.step)

    def _divisor(self, y: Any) -> Tensor:
        output = take(self.one_output, torch.zeros(count(y), dtype=torch.long))
        found: Tensor = self.divisors[count(y)].run(Values(), output, y)
        return found.double()

    def sizes(self, size: int, y: Any) -> list[int]:
        """In chunks whose divisor is not zero: some hold no sample that counts."""
        if size not in self.divisions:
            self.divisions[size] = self._sizes(size)
        return self.divisions[size]

    def _sizes(self, size: int) -> list[int]:
        found: list[int] = []
        start, total = 0, count(self.y)
        stop = min(size, total)
        while start < total:
            self.prepare(stop - start)
            empty = float(self._divisor(take(self.y, slice(start, stop)))) == 0
            if empty and stop < total:
                stop = min(stop + size, total)
                continue
            if empty and found:  # the last ones go with those before them
                start -= found.pop()
                continue
            found.append(stop - start)
            start, stop = stop, min(stop + size, total)
        return found

    def share(self, output: Any, y: Any) -> Tensor:
        """The chunk's share of L."""
        self.prepare(count(y))
        return self.function(output, y) * self._divisor(y).reshape(()) / self.total


class AtOnce(Loss):
    """A function of all samples together, taken as it is."""

    at_once, divisible = True, False

    def __init__(self, function: LossFunction) -> None:
        self.function, self.name = function, name_of(function)

    def share(self, output: Any, y: Any) -> Tensor:
        """All of L."""
        return self.function(output, y)


def name_of(function: Any) -> str:
    """What to call a function of the caller's: cross-entropy and the like keep their names."""
    name = type(function).__name__ if isinstance(function, nn.Module) else ""
    return name or getattr(function, "__name__", "loss").strip("<>") or "loss"


def _as_rows(weights: Tensor, like: Tensor) -> Tensor:
    return weights.view(-1, *[1] * (like.ndim - 1))


def _exact_sum(terms: Tensor, what: str) -> tuple[float, float]:
    """The sum, rounded once, and a bound on its relative error."""
    total = math.fsum(terms.reshape(-1).tolist())
    if not 0 < total < math.inf:
        raise ArgumentError(
            "loss", expected=f"a divisor above 0 ({what})", got=total,
            cure="let some sample count",
        )  # fmt: skip
    whole = bool((terms == terms.round()).all()) and total < 2**53
    return total, 0.0 if whole else U
