"""f(theta) = L(theta) + l2 |theta|^2 on a flat float64 vector: what everything above works on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor, nn
from torch.func import jvp

from morsescape.boundary import (
    Argument,
    a_boolean,
    a_count,
    a_function,
    a_number,
    a_vector,
    checked,
    instance,
)
from morsescape.errors import ArgumentError, is_out_of_memory
from morsescape.hessian.dense import exact_hessian
from morsescape.hessian.enclosed_matrix import EnclosedMatrix
from morsescape.hessian.plan import HessianPlan, hessian_plan
from morsescape.hessian.value import Hessian
from morsescape.model.audit import check_derivatives, check_derivatives_at
from morsescape.model.function import Function
from morsescape.model.loss import LossFunction, LossName
from morsescape.model.network import Network
from morsescape.model.outputs import Choice
from morsescape.model.own_copy import unwrapped
from morsescape.model.reverse import product_backward, value_and_gradient
from morsescape.model.source import Source
from morsescape.notebook import Shown

_RIDGE = a_number(least=0)


def _a_choice(argument: Argument) -> Any:
    value = argument.value
    if value is None or isinstance(value, str | int) or callable(value):
        return value
    raise argument.refused("a key, a place or a function of the model's output")


class Objective(Shown):
    """A loss landscape f(θ) = L(θ) + λ‖θ‖² on flat float64 vectors θ of shape (D,).

    L is the mean of a loss over all samples, or what else the loss makes of them (below). ∇f = ∇L +
    2λθ and Hess f = Hess L + 2λI. θ lists the parameters that require a gradient in the order of
    `model.parameters()`. Model, loss and data are copied to the CPU, wherever they are, and f is
    the model in float64 throughout; the caller's are never changed. A point θ may be a float64
    tensor, a NumPy array or a list of numbers.

    What is assumed of a model is read off its recorded program or probed, once, at construction:
    that each output depends on its own sample alone, that no random number is drawn and nothing
    written, and that differences of f are what autograd says. What fails is refused by name; what
    stays in doubt (a `detach`, an autograd.Function of one's own) makes later answers estimates.

    Args:
        model: a network whose output is a function of its parameters and of one input at a time.
        loss: "cross_entropy" (mean over samples, in nats), "mse" (mean over all elements), a module
            such as nn.CrossEntropyLoss(weight=..., ignore_index=..., label_smoothing=...), or a
            function (output, target) -> scalar: the mean over the samples of one loss each, a sum
            over samples divided by what no output moves (weights, masks), or any function of all
            samples at once.
        data: (inputs, targets), (inputs, targets, weights) for L = Σ w_n ℓ_n / Σ w_n, a DataLoader,
            a Dataset or a list of batches. Inputs and targets are tensors, arrays, or tuples,
            dictionaries and dataclasses of them, samples in dimension 0. A tuple is spread over
            the parameters of `forward` where it fits, a dictionary over their names.
        l2: λ ≥ 0.
        output: which part of a model's output the loss takes: a key, a place, or a function of it.

    Attributes:
        theta: the model's own parameters as a flat vector, shape (D,).
        dim: D.
        l2: λ.
        source: L itself, and what may be asked of it.

    Raises:
        ArgumentError: data with NaN, no samples, labels out of range, shapes that do not match, a
            model with dropout or batch normalisation in training mode or another source of noise,
            outputs that depend on other samples, a forward pass that writes, a gradient of autograd
            that is not that of f, a negative or infinite λ.

    Source:
        Akhtiamov & Thomson, section 3; the factor 2 of 2λI is missing there.

    Example:
        >>> import torch, morsescape as ms
        >>> model = torch.nn.Linear(2, 1)
        >>> x, y = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0], [1.0]])
        >>> f = ms.Objective(model, "mse", (x, y), l2=0.5)
        >>> f.dim
        3
        >>> f.hessian(f.theta)
        tensor([[2., 0., 1.],
                [0., 5., 2.],
                [1., 2., 3.]], dtype=torch.float64)
    """

    @checked(
        model=instance(nn.Module, "pass the network, a torch.nn.Module"),
        l2=_RIDGE, output=_a_choice,
    )  # fmt: skip
    def __init__(
        self,
        model: nn.Module,
        loss: LossName | LossFunction,
        data: Any,
        *,
        l2: float = 0.0,
        output: Choice = None,
    ) -> None:
        self._of(Network(model, loss, data, torch.float64, output=output), l2)

    def _of(self, source: Source, l2: float) -> None:
        self.source, self.l2 = source, l2
        self.dim, self.theta = source.dim, source.theta
        self._reverse_only = False
        self._settled = source.of_samples  # a function is probed where nobody asked for it

    @property
    def network(self) -> Network | None:
        """The source where it is a model with a loss and data; None for `from_function`."""
        return self.source if isinstance(self.source, Network) else None

    @classmethod
    @checked(fn=a_function(1), dim=a_count(1, words="1 or more"), l2=_RIDGE)
    def from_function(
        cls, fn: Callable[[Tensor], Tensor], dim: int, *, l2: float = 0.0
    ) -> Objective:
        """The landscape of any twice differentiable torch function of a vector.

        Args:
            fn: maps a float64 vector of shape (dim,) to a scalar, by torch operations.
            dim: D ≥ 1.
            l2: λ ≥ 0, as above.

        Raises:
            ArgumentError: dim below 1, or a result that is not a scalar.

        Example:
            >>> import torch, morsescape as ms
            >>> f = ms.Objective.from_function(lambda t: t[0] ** 2 - t[1] ** 2, 2)
            >>> f.gradient(torch.tensor([1.0, 1.0]).double())
            tensor([ 2., -2.], dtype=torch.float64)
        """
        self = cls.__new__(cls)
        self._of(Function(fn, dim), l2)
        result = fn(self.theta)
        if not isinstance(result, Tensor) or result.shape != ():
            got = f"shape {tuple(result.shape)}" if isinstance(result, Tensor) else repr(result)
            raise ArgumentError(
                "fn", expected="a scalar tensor", got=got, cure="end it in .sum() or .mean()"
            )
        self.source.doubts = check_derivatives(self.source)
        return self

    def __repr__(self) -> str:
        return f"Objective({self})"

    def _shown(self) -> dict[str, object]:
        return {"": str(self), "variables": f"{self.dim:,}", "λ": f"{self.l2:g}"}

    def __str__(self) -> str:
        ridge = f" + {self.l2:g} |theta|^2" if self.l2 else ""
        return f"f(theta) = {self.source.loss}{ridge}, {self.source.size}"

    @checked(theta=a_vector())
    def value(self, theta: Float64[Tensor, "D"]) -> float:
        """f(θ).

        Raises:
            ArgumentError: θ of another shape or dtype.
        """
        with torch.set_grad_enabled(self.source.needs_graph):
            (value,) = self.over_chunks(lambda loss: (loss(theta).detach(),))
        return float(value) + self._ridge(theta)

    @checked(theta=a_vector())
    def value_and_gradient(self, theta: Float64[Tensor, "D"]) -> tuple[float, Tensor]:
        """f(θ) and ∇f(θ), shape (D,), for the price of the gradient."""
        self._settle(theta)
        value, gradient = self.over_chunks(partial(value_and_gradient, theta=theta))
        return float(value) + self._ridge(theta), gradient + 2 * self.l2 * theta

    @checked(theta=a_vector())
    def gradient(self, theta: Float64[Tensor, "D"]) -> Float64[Tensor, "D"]:
        """∇f(θ) = ∇L(θ) + 2λθ."""
        return self.value_and_gradient(theta)[1]

    @checked(theta=a_vector(), v=a_vector())
    def hvp(self, theta: Float64[Tensor, "D"], v: Float64[Tensor, "D"]) -> Float64[Tensor, "D"]:
        """Hess f(θ) v, forward over reverse: about the price of two gradients."""
        self._settle(theta)
        (moved,) = self.over_chunks(lambda loss: (self._product(loss, theta, v),))
        return moved + 2 * self.l2 * v

    @checked(theta=a_vector())
    def hessian(self, theta: Float64[Tensor, "D"]) -> Float64[Tensor, "D D"]:
        """Hess f(θ) as a dense symmetric matrix.

        Example:
            >>> import torch, morsescape as ms
            >>> f = ms.Objective.from_function(lambda t: t[0] * t[1], 2)
            >>> f.hessian(torch.zeros(2).double())
            tensor([[0., 1.],
                    [1., 0.]], dtype=torch.float64)
        """
        self._settle(theta)
        matrix = exact_hessian(self.source, theta, bounded=False).matrix
        matrix.diagonal().add_(2 * self.l2)
        return matrix

    @checked(theta=a_vector(), bounded=a_boolean())
    def hessian_at(self, theta: Float64[Tensor, "D"], *, bounded: bool = True) -> Hessian:
        """Hess f(θ) as one value, which `ms.inertia` and `ms.certify` take in place of f and θ.

        Its matrix, eigenpairs and the like are computed once, by whoever asks for them first.

        Args:
            theta: the point.
            bounded: prove how far the matrix is from the true one.

        Example:
            >>> import torch, morsescape as ms
            >>> f = ms.Objective.from_function(lambda t: t[0] ** 2 - t[1] ** 2, 2)
            >>> H = f.hessian_at(torch.zeros(2).double())
            >>> ms.inertia(H).negative, ms.certify(H).index
            ((1, 1), (1, 1))
        """
        self._settle(theta)
        return Hessian(self, theta, bounded=bounded)

    @checked(theta=a_vector())
    def enclosed_hessian(self, theta: Float64[Tensor, "D"]) -> EnclosedMatrix:
        """Hess L(θ), without 2λI, with a bound on the distance of the computed matrix from it.

        Where the model uses an operation without an error rule, the bound is an estimate, and
        `estimate` says so.
        """
        return self.hessian_at(theta).enclose()

    def hessian_plan(self) -> HessianPlan:
        """How the exact Hessian will be computed, and what it costs, before anything runs.

        Example:
            >>> import torch, morsescape as ms
            >>> model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Linear(6, 3))
            >>> f = ms.Objective(model, "mse", (torch.zeros(9, 4), torch.zeros(9, 3)))
            >>> print(f.hessian_plan())
            51 parameters, 9 samples, 9 at a time
            0.weight + 0.bias: 6 output tangents (fewer than its 30 parameters)
            1.weight + 1.bias: 3 output tangents (fewer than its 21 parameters)
            about 0.0 Gflop and 0.00 GiB
        """
        return hessian_plan(self.source)

    @checked(l2=_RIDGE)
    def at_l2(self, l2: float) -> Objective:
        """The same L with another λ; model and data are shared."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.l2 = l2
        return other

    @checked(
        model=instance(nn.Module, "pass a network, a torch.nn.Module"), theta=a_vector(finite=True)
    )
    def load_into(self, model: nn.Module, theta: Float64[Tensor, "D"] | None = None) -> nn.Module:
        """Write θ into the parameters of a model, each rounded to its own dtype.

        Args:
            model: the one that f was made of, or another whose parameters have the same names and
                shapes; what f takes as fixed is left as it is.
            theta: the point; None takes `theta`.

        Returns:
            The same model.

        Raises:
            ArgumentError: f of a function, or a parameter that is missing or of another shape.

        Example:
            >>> import torch, morsescape as ms
            >>> model, x = torch.nn.Linear(2, 1, bias=False), torch.eye(2)
            >>> f = ms.Objective(model, "mse", (x, torch.ones(2, 1)))
            >>> f.load_into(model, [1.0, 2.0]).weight
            Parameter containing:
            tensor([[1., 2.]], requires_grad=True)
        """
        if not self.source.of_samples:
            raise ArgumentError(
                "f", expected="an objective made from a network", got="a function",
                cure="ms.Objective(model, loss, data) makes one",
            )  # fmt: skip
        parts = self.source.unflatten(self.theta if theta is None else theta)
        own = dict(unwrapped(model).named_parameters())
        for name, part in parts.items():
            if name not in own or own[name].shape != part.shape:
                raise ArgumentError(
                    "model", expected=f"a parameter {name} of shape {tuple(part.shape)}",
                    got=f"shape {tuple(own[name].shape)}" if name in own else "none of that name",
                    cure="build it as the one that f was made of",
                )  # fmt: skip
        with torch.no_grad():
            for name, part in parts.items():
                own[name].copy_(part)
        return model

    def over_chunks(
        self, compute: Callable[[Callable[[Tensor], Tensor]], tuple[Tensor, ...]]
    ) -> list[Tensor]:
        """Sum what `compute` makes of each chunk's share of L, a function of θ alone."""
        parts = [compute(self.source.on(x, y)) for x, y in self.source.chunks(self.source.chunk)]
        return [torch.stack(terms).sum(0) for terms in zip(*parts, strict=True)]

    # -- inside -------------------------------------------------------------------------------

    def _settle(self, theta: Tensor) -> None:
        """Refuse a function with doubtful derivatives where they are wrong at the first point."""
        if not self._settled and self.source.doubts:
            check_derivatives_at(self.source, theta)
        self._settled = True

    def _product(self, loss: Callable[[Tensor], Tensor], theta: Tensor, v: Tensor) -> Tensor:
        """H v forward over reverse; where torch cannot, and then ever after, by two reverse passes.

        Checkpointing, hooks and functions of the older form know reverse mode only.
        """
        if not self._reverse_only:
            try:
                moved: Tensor = jvp(torch.func.grad(loss), (theta,), (v,))[1]
                return moved.detach()
            except Exception as error:
                if is_out_of_memory(error):
                    raise
        product = product_backward(loss, theta, v)
        self._reverse_only = True
        return product

    def _ridge(self, theta: Tensor) -> float:
        return self.l2 * float(theta @ theta)

    def check(self, vector: Tensor, name: str = "theta", *, finite: bool = False) -> None:
        """Refuse what is no point of this landscape: a float64 vector (D,) on the CPU.

        Args:
            vector: the point, or a direction.
            name: what to call it in the message.
            finite: refuse NaN and infinity too.
        """
        fits = vector.shape == (self.dim,) and vector.dtype == torch.float64
        if not (fits and vector.device.type == "cpu"):
            raise ArgumentError(
                name,
                expected=f"a float64 vector of shape ({self.dim},) on the CPU",
                got=f"{vector.dtype} of shape {tuple(vector.shape)} on {vector.device}",
                cure="start from f.theta, or flatten the parameters in the order of the model",
            )
        if finite and not bool(vector.isfinite().all()):
            raise ArgumentError(
                name, expected="finite numbers", got="NaN or infinity", cure="start elsewhere"
            )


def hessian_of(f: Objective | Hessian, theta: Tensor | None) -> Hessian:
    """The Hessian that is meant: f itself, or that of f at θ, by default the model's own.

    Raises:
        ArgumentError: a point beside a Hessian.
    """
    if isinstance(f, Objective):
        return f.hessian_at(f.theta if theta is None else theta)
    if theta is not None:
        raise ArgumentError(
            "theta", expected="None beside a Hessian, which is that of its own point",
            got="a vector", cure="leave it out",
        )  # fmt: skip
    return f
