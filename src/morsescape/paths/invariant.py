"""Functionally invariant paths: along which a network's outputs change least."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from scipy.sparse.linalg import LinearOperator, cg
from torch import Tensor
from torch.func import jvp

from morsescape.boundary import a_count, a_number, checked
from morsescape.errors import ArgumentError, is_out_of_memory
from morsescape.objective import Objective
from morsescape.paths.curve import Curve
from morsescape.paths.found import COMMON, Found, check_ends
from morsescape.progress import StageProgress


@checked(
    str, **COMMON, steps=a_count(1, most=100_000), damping=a_number(above=0), inner=a_count(1),
    samples=a_count(1),
)  # fmt: skip
def fip(
    f: Objective,
    a: Float64[Tensor, "D"],
    b: Float64[Tensor, "D"],
    *,
    steps: int = 40,
    damping: float = 1e-2,
    inner: int = 30,
    samples: int | None = None,
    seed: int = 0,
    max_steps: int = 200,
    tol: float = 1e-3,
    progress: StageProgress | None = None,
) -> Found:
    """A functionally invariant path from a towards b, and a straight piece to b itself.

    With the metric g = E[JᵀJ] of the outputs, J their Jacobian by θ on one sample, each step is

        s ∝ (g + μ I)⁻¹ (b - θ),        ‖s‖ = ‖b - a‖ / steps,

    the direction that gains most towards b for what it costs in outputs. It is found by conjugate
    gradients with products with J and Jᵀ; no D×D matrix is made. It goes on until b is a step away,
    comes no nearer, or the steps are used up.

    Args:
        f: the landscape of a network.
        a: the start.
        b: the end.
        steps: of which the straight line would take so many.
        damping: μ, against the mean curvature vᵀgv / vᵀv along the straight line: small μ keeps the
            outputs, large μ goes straight.
        inner: products with g in each step at most.
        samples: so many for g, drawn once; None takes all.
        seed: draws the samples.
        max_steps: of the path.
        tol: relative residual of the conjugate gradients.
        progress: called as progress(steps done, max_steps).

    Returns:
        The chain through all steps, what it cost, and how it ended.

    Raises:
        ArgumentError: an objective made from a function, which has no outputs; outputs that are no
            tensor, or that torch cannot differentiate forward; ends that are the same, not finite,
            or of the wrong shape.

    Source:
        Raghavan, Tharwat, Hari, Satani, Liu & Thomson, Nature Machine Intelligence 6 (2024) 1183;
        Raghavan & Thomson, arXiv:2205.00334.

    Example:
        >>> import torch, morsescape as ms
        >>> x = torch.tensor([[1.0, 0.0]])
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> f = ms.Objective(model, "mse", (x, torch.zeros(1, 1)))
        >>> a, b = torch.zeros(2).double(), torch.tensor([1.0, 1.0]).double()
        >>> middle = fip(f, a, b, steps=10).curve.joints[5]
        >>> bool(middle[0] < 0.1 < middle[1])  # the first weight moves the output, last of all
        True
    """
    check_ends(f, a, b)
    if not f.source.of_samples:
        raise ArgumentError(
            "f", expected="an objective made from a network, which has outputs",
            got="a function", cure="take string, neb, bezier or chain",
        )  # fmt: skip
    metric = _OutputMetric(f, samples, seed)
    return _Walk(metric, a, b, steps, damping, inner, tol).run(max_steps, progress)


class _OutputMetric:
    """V -> E[JᵀJ] v by one pass forward and one back, with a count of both."""

    def __init__(self, f: Objective, samples: int | None, seed: int) -> None:
        self.source, self.products = f.source, 0
        total = f.source.samples
        self.count = total if samples is None else min(samples, total)
        self.parts: list[tuple[Any, Any]] | None = None
        if self.count < total:
            generator = torch.Generator().manual_seed(seed)
            places = torch.randperm(total, generator=generator)[: self.count].sort().values
            each = places.split(f.source.chunk)
            self.parts = [f.source.some(some) for some in each]

    @property
    def cost(self) -> int:
        """In gradients of f over all samples."""
        return math.ceil(2 * self.products * self.count / self.source.samples)

    def at(self, theta: Tensor) -> Callable[[Tensor], Tensor]:
        """The product at θ."""
        parts = self.parts
        chunks = list(self.source.chunks(self.source.chunk)) if parts is None else parts
        outputs = [self._output(x) for x, _ in chunks]

        def product(v: Tensor) -> Tensor:
            self.products += 1
            total = torch.zeros_like(theta)
            for output in outputs:
                total += self._pulled_back(output, theta, v)
            return total / self.count

        return product

    def _output(self, x: Any) -> Callable[[Tensor], Tensor]:
        def output(theta: Tensor) -> Tensor:
            found = self.source.output(self.source.unflatten(theta), x)
            if not isinstance(found, Tensor) or not found.is_floating_point():
                raise ArgumentError(
                    "f", expected="outputs that are one tensor", got=type(found).__name__,
                    cure="name a part with output= where the objective is made",
                )  # fmt: skip
            return found

        return output

    def _pulled_back(self, output: Callable[[Tensor], Tensor], theta: Tensor, v: Tensor) -> Tensor:
        leaf = theta.clone().requires_grad_()
        with torch.enable_grad():
            moved = output(leaf)
        with torch.no_grad():
            tangent = self._pushed(output, theta, v)
        if not moved.requires_grad:
            return torch.zeros_like(theta)
        (found,) = torch.autograd.grad(moved, leaf, tangent.detach(), allow_unused=True)
        return torch.zeros_like(theta) if found is None else found.detach()

    def _pushed(self, output: Callable[[Tensor], Tensor], theta: Tensor, v: Tensor) -> Tensor:
        try:
            tangent: Tensor = jvp(output, (theta,), (v,))[1]
        except RuntimeError as error:
            if isinstance(error, ArgumentError) or is_out_of_memory(error):
                raise
            raise ArgumentError(
                "f", expected="outputs that torch can differentiate forward",
                got=str(error).splitlines()[0], cure="take string, neb, bezier or chain",
            ) from error  # fmt: skip
        return tangent


@dataclass
class _Walk:
    metric: _OutputMetric
    a: Tensor
    b: Tensor
    steps: int
    damping: float
    inner: int
    tol: float

    def run(self, max_steps: int, progress: StageProgress | None) -> Found:
        theta, points = self.a.clone(), [self.a.clone()]
        whole = float((self.b - self.a).norm())
        length, note = whole / self.steps, f"{max_steps} steps, the last piece is straight"
        mu = self._damping(self.b - self.a)
        for done in range(max_steps):
            towards = self.b - theta
            left = float(towards.norm())
            if left <= length:
                note = f"b is reached after {done} steps"
                break
            step = self._direction(theta, towards, mu)
            step = step * (length / float(step.norm()))
            if not float((towards - step).norm()) < left * (1 - 1e-6):
                note = f"no step comes nearer to b after {done}; the last piece is straight"
                break
            theta = theta + step
            points.append(theta)
            if progress is not None:
                progress(done + 1, max_steps)
        curve = Curve.chain(torch.stack([*points, self.b]))
        return Found(curve, self.metric.cost, f"{note} ({left / whole:.0%} of ‖b - a‖ left)")

    def _damping(self, v: Tensor) -> float:
        curvature = float(v @ self.metric.at(self.a)(v)) / float(v @ v)
        return self.damping * curvature if curvature > 0 else 1.0

    def _direction(self, theta: Tensor, towards: Tensor, mu: float) -> Tensor:
        product = self.metric.at(theta)
        size = len(theta)

        def damped(v: Any) -> Any:
            vector = torch.from_numpy(v.reshape(-1).astype("float64"))
            return (product(vector) + mu * vector).numpy()

        operator = LinearOperator((size, size), matvec=damped, dtype="float64")
        found, _ = cg(operator, towards.numpy(), rtol=self.tol, maxiter=self.inner)
        return torch.from_numpy(found)
