"""A model, a loss and data as one pure function of a flat parameter vector.

    L(theta) = (1/N) sum_n loss(model_theta(x_n), y_n)

or another sum over the samples, or a function of all of them (see `loss`). Everything above this
file sees a network through `Network`: it splits theta into named tensors, walks over the samples
in chunks, and refuses models whose output is not a function of the parameters and of one sample at
a time (see `audit`).
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.stateless import _reparametrize_module
from torch.utils._pytree import tree_leaves, tree_map

from morsescape.errors import ArgumentError
from morsescape.model.audit import check_derivatives
from morsescape.model.independence import check_rows, rows_apart, sums_over_samples
from morsescape.model.loss import (
    Loss,
    LossFunction,
    LossName,
    MeanOf,
    WeightedMeanOf,
)
from morsescape.model.outputs import Choice, choice_of, chosen, opened, opening_records
from morsescape.model.own_copy import computed_attributes, own_copy, unwrapped
from morsescape.model.passes import check_loss, check_passes
from morsescape.model.plain import plain
from morsescape.model.read_loss import is_named, named, own_loss, read_off
from morsescape.model.samples import numbers_per_sample, read_samples, split, take
from morsescape.model.source import Parameters, Source
from morsescape.model.targets import check_targets
from morsescape.rounding.kept import Kept

_OUTPUT_BYTES = 2**27  # of a chunk whose outputs are computed together
_CHUNK_BYTES = 2**27  # one chunk's inputs and activations, roughly
# The same with convolutions: in double precision they are three times as fast on what the cache
# holds, where a plain layer would rather have one large product.
_CHUNK_BYTES_CONVOLUTION = 2**22


class Network(Source):
    """L as a pure function: parameters by name in, a chunk's share of the loss out."""

    what, of_samples, spreads = "model", True, (1e-2, 1e-5, 0.0)

    def __init__(
        self,
        model: nn.Module,
        loss: LossName | LossFunction,
        data: Any,
        dtype: torch.dtype,
        *,
        output: Choice = None,
    ) -> None:
        model = unwrapped(model)
        _refuse_training_mode(model)
        # Copies: the caller's model, loss and data are never written to. On the CPU, for which the
        # rounding of every operation is known.
        self.model = own_copy(model, dtype)
        self.dtype = dtype
        samples = read_samples(data, dtype)
        self.x, self.y, self.samples = samples.x, samples.y, samples.size
        trainable = [(n, p) for n, p in self.model.named_parameters() if p.requires_grad]
        if not trainable:
            raise ArgumentError(
                "model",
                expected="at least one parameter that requires a gradient",
                got="none",
                cure="unfreeze the parameters to study",
            )
        self.shapes = {name: tuple(p.shape) for name, p in trainable}
        self.slices = _slices(self.shapes)
        self.dim = sum(p.numel() for _, p in trainable)
        self.theta = torch.cat([p.detach().reshape(-1) for _, p in trainable]).clone()
        self.programs = Kept()
        self._thin: dict[int, Network] = {}  # what `thinned` made
        self.doubts: tuple[str, ...] = ()
        self.needs_graph = False
        self.choice = output
        self._spread = _spreading(self.model, self.x)
        fresh = copy.deepcopy(self.model)
        check_passes(self, fresh, computed_attributes(model))
        self._learn_inputs()
        self.row_by_row = rows_apart(self)
        loss = own_loss(loss, dtype)
        weights = samples.weights
        data = (self.x, self.y) if weights is None else (self.x, self.y, weights)
        self.made_of = loss, output, data
        self.loss: Loss = self._learn_loss(loss, weights)
        if dtype == torch.float64:
            self.doubts = check_derivatives(self)

    @property
    def sample_numbers(self) -> int:
        """How many numbers the input of one sample has."""
        return max(1, numbers_per_sample(self.x))

    @property
    def chunk(self) -> int:
        """How many samples are evaluated at a time."""
        convolutional = any(isinstance(layer, nn.Conv2d) for layer in self.model.modules())
        limit = _CHUNK_BYTES_CONVOLUTION if convolutional else _CHUNK_BYTES
        return max(1, min(self.samples, limit // (32 * self.sample_numbers)))

    @property
    def size(self) -> str:
        """So many parameters and samples."""
        return f"{self.dim:,} parameters, {self.samples:,} samples"

    def in_precision(self, dtype: torch.dtype) -> Network:
        """The same network, loss and data in another precision."""
        loss, output, data = self.made_of
        return Network(self.model, loss, data, dtype, output=output)

    def on_data(self, data: Any) -> Network:
        """The same model and loss on other data."""
        loss, output, _ = self.made_of
        return Network(self.model, loss, data, self.dtype, output=output)

    def unflatten(self, theta: Float[Tensor, " d"]) -> dict[str, Tensor]:
        """Split a flat vector into the model's named parameters (views, no copy)."""
        return {name: theta[s].view(self.shapes[name]) for name, s in self.slices.items()}

    def output(self, parameters: Parameters, x: Any) -> Any:
        """The model's output on a chunk of inputs: a tensor, or what the loss takes."""
        positional, keywords = self._spread(opened(x))
        with plain(self.dtype):
            found = functional_call(self.model, dict(parameters), positional, keywords)
        return chosen(found, self.choice)

    def share(self, output: Any, y: Any) -> Tensor:
        """The chunk's share of L: its shares over any partition of the samples sum to L."""
        if isinstance(output, Tensor) and isinstance(y, Tensor):
            with plain(self.dtype):
                return self.loss.share(output, y)
        with plain(self.dtype):
            return self.loss.share(opened(output), opened(y))

    def chunk_loss(self, parameters: Parameters, x: Any, y: Any) -> Tensor:
        """`share` of the model's output on the chunk."""
        return self.share(self.output(parameters, x), y)

    def on(self, x: Any, y: Any) -> ChunkLoss:
        """The chunk's share as a function of θ."""
        return ChunkLoss(self, x, y)

    def chunks(self, size: int) -> Iterator[tuple[Any, Any]]:
        """The samples in order, about `size` at a time."""
        sizes = self.loss.sizes(size, self.y)
        return zip(split(self.x, sizes), split(self.y, sizes), strict=True)

    def some(self, places: Tensor) -> tuple[Any, Any]:
        """Inputs and targets of some samples."""
        return take(self.x, places), take(self.y, places)

    def thinned(self, most: int) -> Network:
        """The shares of some samples alone, evenly spread; the same where there are few more."""
        if self.samples <= 2 * most or not self.loss.divisible:
            return self
        thin = self._thin.get(most)
        if thin is None or thin.model is not self.model:  # a copy may have another model
            thin, places = copy.copy(self), torch.linspace(0, self.samples - 1, most).round().long()
            (thin.x, thin.y), thin.samples = self.some(places), most
            self._thin[most] = thin
        return thin

    # -- learning what was given ----------------------------------------------------------------

    def _learn_inputs(self) -> None:
        """Run the model once: with autograd if it differentiates, on floats if it wants floats."""
        parameters = self.unflatten(self.theta)
        x = take(self.x, slice(0, 4))
        try:
            with torch.no_grad():
                self.output(parameters, x)
        except RuntimeError as error:
            if "grad" in str(error):
                self.needs_graph = True
            elif not self._learn_floats(parameters, error):
                raise
        with torch.set_grad_enabled(self.needs_graph):
            output = self.output(parameters, take(self.x, slice(0, 4)))
        _check_output(output)

    def _learn_floats(self, parameters: Parameters, error: RuntimeError) -> bool:
        """Whether the model runs on whole-number features as floating-point numbers."""
        kept = self.x
        self.x = tree_map(lambda leaf: leaf.to(self.dtype) if _is_whole(leaf) else leaf, self.x)
        try:
            with torch.no_grad():
                self.output(parameters, take(self.x, slice(0, 4)))
        except (RuntimeError, IndexError, TypeError):
            self.x = kept
            return False
        return any(_is_whole(leaf) for leaf in tree_leaves(kept))

    def _learn_loss(self, loss: Any, weights: Tensor | None) -> Loss:
        with torch.no_grad(), torch.set_grad_enabled(self.needs_graph):
            few = self.output(self.unflatten(self.theta), take(self.x, slice(0, 4)))
        if isinstance(loss, str) or is_named(loss):
            check_rows(self)
            if self.choice is None:
                self.choice = choice_of(few)
                few = chosen(few, self.choice)
            self.y = check_targets(loss, few, self.y)
            known = named(loss, self._with(weights), weights)
            assert known is not None
            self.y = self._with(weights)
            return known
        function = opening_records(loss)
        check_loss(function, few, take(self.y, slice(0, 4)))
        if weights is not None:
            self.y = self._with(weights)
            return WeightedMeanOf(function, weights)
        if not self.row_by_row and sums_over_samples(self, function):
            return MeanOf(function, self.samples)
        check_rows(self)
        with plain(self.dtype):
            return read_off(function, self._all_outputs(), self.y)

    def _with(self, weights: Tensor | None) -> Any:
        return self.y if weights is None else (self.y, weights)

    def _all_outputs(self) -> Any:
        """The model's outputs at its own parameters, on all samples."""
        parameters, found = self.unflatten(self.theta), []
        size = max(1, _OUTPUT_BYTES // (64 * self.sample_numbers))
        sizes = Loss().sizes(size, self.x)
        with torch.set_grad_enabled(self.needs_graph):
            for x in split(self.x, sizes):
                found.append(tree_map(lambda leaf: leaf.detach(), self.output(parameters, x)))
        return found[0] if len(found) == 1 else tree_map(lambda *a: torch.cat(a), *found)


# torch's vmap asks every call for the repr of what has no name: it must print no data.
@dataclasses.dataclass(frozen=True, repr=False)
class ChunkLoss:
    """A chunk's share of L, as a function of θ alone."""

    net: Network
    x: Any
    y: Any

    def __call__(self, theta: Tensor) -> Tensor:
        """The share at θ."""
        return self.net.chunk_loss(self.net.unflatten(theta), self.x, self.y)

    @contextmanager
    def held(self, theta: Tensor) -> Iterator[None]:
        """Keep θ in the model while autograd goes back: checkpoints run parts of it again."""
        parameters = self.net.unflatten(theta)
        model = self.net.model
        with _reparametrize_module(model, parameters, tie_weights=True), plain(self.net.dtype):
            yield


def _slices(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, slice]:
    slices, start = {}, 0
    for name, shape in shapes.items():
        stop = start + torch.Size(shape).numel()
        slices[name] = slice(start, stop)
        start = stop
    return slices


# -- forms of inputs and outputs ------------------------------------------------------------------

Spread = Callable[[Any], tuple[tuple[Any, ...], dict[str, Any]]]


def _spreading(model: nn.Module, x: Any) -> Spread:
    """How inputs enter forward: a tuple or dictionary over its parameters, where they fit."""
    signature = inspect.signature(model.forward)
    if isinstance(x, dict) and _binds(signature, (), x):
        return lambda x: ((), x)
    if type(x) is tuple and len(x) > 1 and _binds(signature, x, {}):
        return lambda x: (x, {})
    return lambda x: ((x,), {})


def _binds(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _is_whole(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and not (leaf.is_floating_point() or leaf.is_complex())


# -- refusals -------------------------------------------------------------------------------------


def _refuse_training_mode(model: nn.Module) -> None:
    for name, module in model.named_modules() if isinstance(model, nn.Module) else ():
        kind = type(module).__name__
        random = "Dropout" in kind and getattr(module, "p", 0.0) > 0
        batch = "BatchNorm" in kind
        if module.training and (random or batch):
            what = "noise" if random else "the other samples of its batch"
            raise ArgumentError(
                "model",
                expected="an output that is a function of the parameters and one input",
                got=f"{kind} {name!r} in training mode, whose output depends on {what}",
                cure="call model.eval() first",
            )


def _is_below(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf, dtype=torch.bool) if leaf.is_complex() else leaf == -torch.inf


def _check_output(output: Any) -> None:
    leaves = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
    if not leaves:
        raise ArgumentError(
            "model", expected="a tensor, or tuples and dictionaries of tensors, as output",
            got=type(output).__name__, cure="let forward return its result",
        )  # fmt: skip
    # A masked class has the logit -inf, and a finite loss.
    if any(
        bool((leaf.isnan() | (leaf.abs() == torch.inf) & ~_is_below(leaf)).any()) for leaf in leaves
    ):
        raise ArgumentError(
            "model",
            expected="finite outputs at its own parameters",
            got="nan or inf",
            cure="check the parameters: a training that diverged ends so",
        )
