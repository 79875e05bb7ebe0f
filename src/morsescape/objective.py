"""f(theta) = L(theta) + l2 |theta|^2 on a flat float64 vector: what everything above works on."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float64
from torch import Tensor, nn
from torch.func import grad_and_value, jvp

from morsescape.errors import ArgumentError
from morsescape.hessian.dense import Hessian, exact_hessian
from morsescape.hessian.function import function_hessian
from morsescape.hessian.plan import HessianPlan, hessian_plan
from morsescape.network import LossFunction, Network, differentiable
from morsescape.progress import StageProgress

_CHUNK_BYTES = 2**27  # one chunk's inputs and activations, roughly
# The same with convolutions: in double precision they are three times as fast on what the cache
# holds, where a plain layer would rather have one large product.
_CHUNK_BYTES_CONVOLUTION = 2**22


class Objective:
    """A loss landscape f(θ) = L(θ) + λ‖θ‖² on flat float64 vectors θ of shape (D,).

    L is the mean of a loss over all samples. ∇f = ∇L + 2λθ and Hess f = Hess L + 2λI.
    θ lists the parameters that require a gradient in the order of `model.parameters()`. Model and
    data are copied to the CPU, wherever they are, and cast to float64; the caller's are never
    changed.

    Args:
        model: a network whose output is a function of its parameters and of one input at a time.
        loss: "cross_entropy" (mean over samples, in nats), "mse" (mean over all elements), or a
            function (output, target) -> scalar, the mean over the samples of one loss each.
        data: inputs (N, ...) and targets (N, ...).
        l2: λ ≥ 0.

    Attributes:
        theta: the model's own parameters as a flat vector, shape (D,).
        dim: D.
        l2: λ.
        network: the model, loss and data behind L; None for `from_function`.

    Raises:
        ArgumentError: data with NaN, no samples, labels out of range, shapes that do not match, a
            model with dropout or batch normalisation in training mode or another source of noise,
            a negative or infinite λ.

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

    def __init__(
        self,
        model: nn.Module,
        loss: str | LossFunction,
        data: tuple[Tensor, Tensor],
        *,
        l2: float = 0.0,
    ) -> None:
        self.l2 = _checked_l2(l2)
        self.network: Network | None = Network(model, loss, data, torch.float64)
        self._function: Callable[[Tensor], Tensor] | None = None
        self.dim = self.network.dim
        self.theta: Tensor = self.network.theta
        self._chunk = _chunk(self.network)

    @classmethod
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
        if dim < 1:
            raise ArgumentError("dim", expected="1 or more", got=dim, cure="pass len(theta)")
        self = cls.__new__(cls)
        self.l2, self.network, self._function, self.dim = _checked_l2(l2), None, fn, dim
        self.theta = torch.zeros(dim, dtype=torch.float64)
        result = fn(self.theta)
        if not isinstance(result, Tensor) or result.shape != ():
            got = f"shape {tuple(result.shape)}" if isinstance(result, Tensor) else repr(result)
            raise ArgumentError(
                "fn", expected="a scalar tensor", got=got, cure="end it in .sum() or .mean()"
            )
        return self

    def __str__(self) -> str:
        ridge = f" + {self.l2:g} |theta|^2" if self.l2 else ""
        if self.network is None:
            return f"f(theta) = fn(theta){ridge}, {self.dim:,} variables"
        loss = self.network.loss if isinstance(self.network.loss, str) else "loss"
        return (
            f"f(theta) = {loss}{ridge}, {self.dim:,} parameters, {self.network.samples:,} samples"
        )

    def value(self, theta: Float64[Tensor, "D"]) -> float:
        """f(θ).

        Raises:
            ArgumentError: θ of another shape or dtype.
        """
        self.check(theta)
        with torch.no_grad():
            (value,) = self._over_chunks(lambda loss: (loss(theta),))
        return float(value) + self._ridge(theta)

    def value_and_gradient(self, theta: Float64[Tensor, "D"]) -> tuple[float, Tensor]:
        """f(θ) and ∇f(θ), shape (D,), for the price of the gradient."""
        self.check(theta)

        def both(loss: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
            gradient, value = grad_and_value(loss)(theta)
            return gradient, value

        gradient, value = self._over_chunks(both)
        return float(value) + self._ridge(theta), gradient + 2 * self.l2 * theta

    def gradient(self, theta: Float64[Tensor, "D"]) -> Float64[Tensor, "D"]:
        """∇f(θ) = ∇L(θ) + 2λθ."""
        return self.value_and_gradient(theta)[1]

    def hvp(self, theta: Float64[Tensor, "D"], v: Float64[Tensor, "D"]) -> Float64[Tensor, "D"]:
        """Hess f(θ) v, forward over reverse: about the price of two gradients."""
        self.check(theta)
        self.check(v, "v")

        def product(loss: Callable[[Tensor], Tensor]) -> tuple[Tensor]:
            return (jvp(torch.func.grad(loss), (theta,), (v,))[1],)

        with differentiable():
            (moved,) = self._over_chunks(product)
        return moved + 2 * self.l2 * v

    def hessian(self, theta: Float64[Tensor, "D"]) -> Float64[Tensor, "D D"]:
        """Hess f(θ) as a dense symmetric matrix.

        Example:
            >>> import torch, morsescape as ms
            >>> f = ms.Objective.from_function(lambda t: t[0] * t[1], 2)
            >>> f.hessian(torch.zeros(2).double())
            tensor([[0., 1.],
                    [1., 0.]], dtype=torch.float64)
        """
        matrix = self.enclosed_hessian(theta, bounded=False).matrix
        matrix.diagonal().add_(2 * self.l2)
        return matrix

    def enclosed_hessian(
        self,
        theta: Float64[Tensor, "D"],
        *,
        bounded: bool = True,
        triangle: bool = False,
        progress: StageProgress | None = None,
    ) -> Hessian:
        """Hess L(θ), without 2λI, with a bound on the distance of the computed matrix from it.

        Args:
            theta: the point.
            bounded: prove the bound; otherwise, or where the model uses an operation without an
                error rule, it is an estimate, and `Hessian.estimate` says so.
            triangle: fill only the upper triangle.
            progress: called as progress(samples done, samples).
        """
        self.check(theta)
        if self.network is not None:
            return exact_hessian(
                self.network, theta, bounded=bounded, triangle=triangle, progress=progress
            )
        assert self._function is not None
        return function_hessian(self._function, theta, bounded=bounded)

    def hessian_plan(self) -> HessianPlan:
        """How the exact Hessian will be computed, and what it costs, before anything runs.

        Raises:
            ArgumentError: an objective made from a function, which has no layers.

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
        if self.network is None:
            raise ArgumentError(
                "f", expected="an objective made from a network", got="a function",
                cure="Hess f of a function takes D Hessian-vector products",
            )  # fmt: skip
        return hessian_plan(self.network)

    def at_l2(self, l2: float) -> Objective:
        """The same L with another λ; model and data are shared."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.l2 = _checked_l2(l2)
        return other

    # -- inside -------------------------------------------------------------------------------

    def _over_chunks(
        self, compute: Callable[[Callable[[Tensor], Tensor]], tuple[Tensor, ...]]
    ) -> list[Tensor]:
        """Sum what `compute` makes of each chunk's share of L, a function of θ alone."""
        if self.network is None:
            assert self._function is not None
            return list(compute(self._function))
        net, parts = self.network, []
        for x, y in net.chunks(self._chunk):
            parts.append(compute(partial(_share, net, x, y)))
        return [torch.stack(terms).sum(0) for terms in zip(*parts, strict=True)]

    def _ridge(self, theta: Tensor) -> float:
        return self.l2 * float(theta @ theta)

    def check(self, vector: Tensor, name: str = "theta", *, finite: bool = False) -> None:
        """Refuse what is no point of this landscape: a float64 vector (D,) on the CPU.

        Args:
            vector: the point, or a direction.
            name: what to call it in the message.
            finite: refuse NaN and infinity too.

        Raises:
            ArgumentError: it is something else.
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


def _share(net: Network, x: Tensor, y: Tensor, theta: Tensor) -> Tensor:
    return net.chunk_loss(net.unflatten(theta), x, y)


def _checked_l2(l2: float) -> float:
    if not 0 <= l2 < math.inf:
        raise ArgumentError(
            "l2", expected="a finite number, 0 or more", got=l2, cure="pass l2=0.0 for no ridge"
        )
    return float(l2)


def _chunk(net: Network) -> int:
    convolutional = any(isinstance(layer, nn.Conv2d) for layer in net.model.modules())
    limit = _CHUNK_BYTES_CONVOLUTION if convolutional else _CHUNK_BYTES
    return max(1, min(net.samples, limit // (32 * net.x[0].numel())))
