"""What a search, a count of signs and a proof will take and give, before anything of them runs."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, jvp

from morsescape.boundary import a_number, checked, instance
from morsescape.critical.evaluations import Counted
from morsescape.critical.steppers import descent
from morsescape.hessian.free_memory import free_memory
from morsescape.hessian.layers import linear_layers
from morsescape.hessian.plan import FUNCTION, HessianPlan
from morsescape.hessian.regime import Regime, regime
from morsescape.hessian.tangents import Responses, choose
from morsescape.notebook import Shown
from morsescape.objective import Objective
from morsescape.rounding.balls import NoErrorRule
from morsescape.rounding.double import Double
from morsescape.rounding.double_machine import DoubleMachine
from morsescape.rounding.enclose import Enclosure
from morsescape.rounding.program import Machine, NotTraceable, record_chunk
from morsescape.spectrum.index_bound import structure_of
from morsescape.store.codec import brief

_PRODUCT = 512  # size of the matrices whose product tells how fast this machine is
# What was measured on networks with 10 to 10,000 images, against the time of matrix products.
_FLOPS_EIGH, _FLOPS_LDL = 16.0, 1.0  # times D³, with proof
_GRADIENT, _HESSIAN, _BALLS = 3.0, 2.0, 1.3  # times their flops; a Hessian with its bound
_PATCHES = 8.0  # times both where convolutions are products of patches
_SHARP = 50  # gradients that one in twice the precision costs
_OVERHEAD = 0.1, 5e-4  # seconds in Python: of a Hessian, of a gradient
_GRADIENTS = {"all eigenpairs": 120, "a factor": 400, "products": 2500}  # of ordinary searches
_PROVABLE = "provable where it is nondegenerate by more than rounding"
_PAIRS = 100  # vectors that L-BFGS keeps


@dataclass(frozen=True)
class Plan(Shown):
    """Which route is taken, what it needs, and what will be proved.

    Attributes:
        dim: variables, D.
        samples: 0 for a function.
        route: "all eigenpairs", "a factor" or "products" of the Hessian.
        search: how `find_critical_point` goes down.
        signs: what `inertia` will say of a point.
        point: what `certify` can say of one.
        bytes: of the largest part, roughly.
        free: bytes that are free, as far as the system says.
        signs_seconds: an estimate, of one count of signs; None where there is no room for one.
        search_seconds: an estimate, of a search with the proof of where it ended.
        speed: floating-point operations per second that they assume.
        hessian: how the dense Hessian is assembled.
    """

    dim: int
    samples: int
    route: str
    search: str
    signs: str
    point: str
    bytes: int
    free: float
    signs_seconds: float | None
    search_seconds: float
    speed: float
    hessian: HessianPlan

    __repr__ = brief

    def __str__(self) -> str:
        samples = f", {self.samples:,} samples" if self.samples else ""
        return "\n".join(
            (
                f"{self.dim:,} variables{samples}: {self.route} of the Hessian",
                f"search: {self.search}",
                f"signs: {self.signs}",
                f"critical point: {self.point}",
                *self.cost,
            )
        )

    @property
    def cost(self) -> tuple[str, str]:
        """Memory and time, in words."""
        free = "" if self.free == float("inf") else f" of {self.free / 2**30:,.2f} free"
        signs = self.signs_seconds
        signs_at = "" if signs is None else f"{_about(signs)} for signs at a point, "
        return (
            f"memory: about {self.bytes / 2**30:,.2f} GiB{free}",
            f"time, an estimate at {self.speed / 1e9:,.0f} Gflop/s: {signs_at}"
            f"{_about(self.search_seconds)} for a search",
        )

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        free = None if self.free == float("inf") else self.free
        return asdict(self) | {"free": free}


@checked(
    f=instance(Objective, "ms.Objective(model, loss, data) makes one"), speed=a_number(above=0)
)
def plan(f: Objective, *, speed: float | None = None) -> Plan:
    """How f will be searched and its critical points proved, and what that takes.

    Which operations have rules for their rounding is found by following a Hessian product and a
    gradient of two samples. Times are estimates: of operations counted, at the speed of a matrix
    product, and of searches of ordinary length. They may well be off by a factor of three.

    Args:
        f: the landscape.
        speed: floating-point operations per second; None times one product of two matrices.

    Example:
        >>> import torch, morsescape as ms
        >>> f = ms.Objective.from_function(lambda t: (t**4).sum() - t @ t, 1000, l2=0.1)
        >>> print(str(ms.plan(f, speed=4e10)).split("memory")[0].strip())
        1,000 variables: all eigenpairs of the Hessian
        search: L-BFGS, then Newton's steps
        signs: proved, from all eigenvalues
        critical point: provable where it is nondegenerate by more than rounding
    """
    route = regime(f.dim)
    hessian = f.hessian_plan()
    free, needed = free_memory() * 2**30, _bytes(f, route, hessian)
    room = "" if needed <= free else (
        f"the Hessian needs {needed / 2**30:,.1f} GiB, of which {free / 2**30:,.1f} are free"
    )  # fmt: skip
    speed = speed or _measured_speed()
    signs, search, proof = _seconds(f, route, hessian, speed)
    return Plan(
        dim=f.dim,
        samples=hessian.samples,
        route=route.name,
        search=_search(f, route),
        signs=_signs(f, route, room),
        point=_point(f, room),
        bytes=needed,
        free=free,
        signs_seconds=None if room else signs,
        search_seconds=search if room else search + signs + proof,
        speed=speed,
        hessian=hessian,
    )


# -- what is done, and what it proves -------------------------------------------------------------


def _search(f: Objective, route: Regime) -> str:
    scaled = descent(Counted(f)) == "scaled-lbfgs"
    of = "|H|" if route.eigenpairs else "H + shift·I"
    metric = f" in the metric of {of}, renewed every {route.renew} gradients," if scaled else ","
    after = "Newton's steps" if route.dense else "trust-region steps in Krylov spaces"
    return f"L-BFGS{metric} then {after}"


def _signs(f: Objective, route: Regime, room: str) -> str:
    if room:
        return f"none: {room}"
    why = "; ".join(f.source.doubts) or _missing(f, Enclosure(), second=True)
    if why:
        return f"an estimate: {why}"
    kinks = structure_of(f.source).not_smooth
    piece = f", of one smooth piece ({', '.join(kinks)})" if kinks else ""
    how = "all eigenvalues" if route.signs == "eigh" else "L D Lᵀ factors of shifted matrices"
    return f"proved, from {how}{piece}"


def _point(f: Objective, room: str) -> str:
    if room:
        return f"not provable: {room}"
    if kinks := structure_of(f.source).not_smooth:
        return f"not provable: {', '.join(kinks)} is not twice differentiable"
    if _missing(f, Enclosure(), second=True):
        return "an estimate at best"
    why = _missing(f, DoubleMachine(), second=False)
    return f"an estimate, perhaps: {why} in twice the precision" if why else _PROVABLE


def _missing(f: Objective, machine: Machine, *, second: bool) -> str:
    """What keeps ∇f, or a product with Hess f, from being followed; empty if nothing does."""
    source = f.source

    def followed(theta: Tensor, x: Any, y: Any) -> Tensor:
        def loss(t: Tensor) -> Tensor:
            return responses.loss(t, x, y)

        if second:
            return jvp(grad(loss), (theta,), (torch.ones_like(theta),))[1]
        return grad(loss)(theta)

    try:
        responses = Responses(source, choose(source, linear_layers(source, f.theta)))
        data = source.some(torch.arange(min(2, source.samples)))
        program = record_chunk(followed, f.theta, *data)
        start = Double.exact(f.theta) if isinstance(machine, DoubleMachine) else f.theta
        program.run(machine, start, *data)
    except NoErrorRule as missing:
        return f"{missing.operation} has no rule for its rounding"
    except (NotTraceable, RuntimeError, ValueError, TypeError) as error:
        return f"its program cannot be followed ({str(error).splitlines()[0][:80]})"
    return ""


# -- what it takes --------------------------------------------------------------------------------


def _bytes(f: Objective, route: Regime, hessian: HessianPlan) -> int:
    square = 8 * f.dim**2
    return hessian.bytes + square * (4 if route.eigenpairs else 2) + 8 * f.dim * _PAIRS


def _seconds(
    f: Objective, route: Regime, hessian: HessianPlan, speed: float
) -> tuple[float, float, float]:
    """Of signs at a point, of a search, and of the proof of where it ended."""
    flops, slower = _gradient_flops(f)
    gradient = _OVERHEAD[1] + _GRADIENT * slower * flops / speed
    dense = _OVERHEAD[0] + _HESSIAN * slower * hessian.flops / speed
    cube = f.dim**3 / speed
    signs = _BALLS * dense + (_FLOPS_EIGH if route.eigenpairs else _FLOPS_LDL) * cube
    gradients = _GRADIENTS[route.name]
    metrics = gradients // route.renew + 1 if route.renew else 0
    metric = dense + (_FLOPS_EIGH if route.eigenpairs else 1) * cube
    newton = dense + cube if route.dense else 0.0
    search = gradients * gradient + metrics * metric + newton
    return signs, search, _BALLS * dense + cube + 2 * _SHARP * gradient


def _gradient_flops(f: Objective) -> tuple[float, float]:
    """Of a gradient; and how much slower than plain products they are done."""
    source = f.source
    if not source.of_samples:
        return FUNCTION * f.dim, 1.0
    layers = linear_layers(source, f.theta)
    flops = 6.0 * source.samples * max(sum(x.positions * x.n_parameters for x in layers), f.dim)
    return flops, _PATCHES if any(x.positions > 1 for x in layers) else 1.0


def _measured_speed() -> float:
    """Of one product of two matrices, in operations per second."""
    a = torch.ones(_PRODUCT, _PRODUCT, dtype=torch.float64)
    a @ a  # the first one starts the library
    began = time.perf_counter()
    a @ a
    return 2.0 * _PRODUCT**3 / max(time.perf_counter() - began, 1e-6)


def _about(seconds: float) -> str:
    """One digit, in a unit that is easy to read."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 1 else f"{seconds:.0f} s"
