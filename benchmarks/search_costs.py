"""What a search costs to ‖∇f‖ ≤ 1e-6, beside torch's L-BFGS and pytorch-minimize's Newton.

    python benchmarks/search_costs.py --root DIR [--samples 2000]

Everybody starts at the same point and gets gradients, products and dense Hessians from the same
objective, which counts them and ends the search at the first gradient that is small enough; so
the certificate of morsescape is not in these numbers. In gradient-equivalents a gradient or a
value of f counts 1, a Hessian product 2, a dense Hessian 2 for each tangent that it propagates
(`Objective.hessian_plan`; D for a function). A result that is in --out is not measured again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measure import arguments, kept
from torch import Tensor
from torchmin import minimize
from torchmin.function import de_value, sf_value
from torchmin.optim.minimizer import Minimizer

import morsescape as ms
from morsescape.studies.point import PointSettings, make_point

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from zoo import ZOO  # the landscapes that the tests use

TOL = 1e-6
MOST = 3_000  # gradient-equivalents
STARTS = 200  # on each landscape; networks have one
COSTS = (
    "equivalents", "values", "gradients", "products", "hessians", "seconds", "processor_seconds",
)  # fmt: skip
LANDSCAPES = (
    "Himmelblau", "Rosenbrock", "Müller–Brown", "Styblinski–Tang", "one hidden unit",
    "three-hump camel",
)  # fmt: skip
NEWTON = {  # pytorch-minimize's, and which second derivatives each asks for
    "newton-cg": "products", "newton-exact": "dense", "trust-ncg": "products",
    "trust-krylov": "products", "trust-exact": "dense",
}  # fmt: skip


class Ended(Exception):
    """The gradient is small, or the budget is spent."""


class Watched(ms.Objective):
    """The same f, counting, until a gradient is small enough."""

    def __init__(self, f: ms.Objective) -> None:
        self.__dict__.update(f.__dict__)
        self.counts = {"values": 0, "gradients": 0, "products": 0, "hessians": 0}
        self.tangents = f.dim if f.network is None else _tangents(f)
        self.norm = float("inf")

    @property
    def equivalents(self) -> int:
        """In gradients."""
        c = self.counts
        return c["values"] + c["gradients"] + 2 * (c["products"] + self.tangents * c["hessians"])

    def value(self, theta: Tensor) -> float:
        """f, counted."""
        self.counts["values"] += 1
        return super().value(theta)

    def value_and_gradient(self, theta: Tensor) -> tuple[float, Tensor]:
        """f and ∇f, counted."""
        self.counts["gradients"] += 1
        value, gradient = super().value_and_gradient(theta)
        self.norm = float(gradient.norm())
        if self.norm <= TOL or self.equivalents > MOST:
            raise Ended
        return value, gradient

    def hvp(self, theta: Tensor, v: Tensor) -> Tensor:
        """Hess f · v, counted."""
        self.counts["products"] += 1
        return super().hvp(theta, v)

    def hessian(self, theta: Tensor) -> Tensor:
        """Hess f, counted."""
        self.counts["hessians"] += 1
        return super().hessian(theta)


def _tangents(f: ms.Objective) -> int:
    return sum(layer.tangents for layer in f.hessian_plan().layers)


class Products:
    """What pytorch-minimize expects of a Hessian that is known by its products."""

    def __init__(self, f: Watched, theta: Tensor) -> None:
        self.f, self.theta = f, theta
        self.shape = (f.dim, f.dim)
        self.dtype, self.device = theta.dtype, theta.device

    def mv(self, v: Tensor) -> Tensor:
        """Hess f · v."""
        return self.f.hvp(self.theta, v)

    rmv = mv


class Given(Minimizer):
    """Hands a watched objective to pytorch-minimize in the form that it works on."""

    def __init__(self, f: Watched, second: str) -> None:
        self.f, self._hessp, self._hess = f, second == "products", second == "dense"

    @property
    def nfev(self) -> int:
        """What pytorch-minimize reports; the watched objective counts for itself."""
        return 0

    def fun(self, x: Tensor) -> Tensor:
        """f."""
        return torch.tensor(self.f.value(x.detach()), dtype=torch.float64)

    def closure(self, x: Tensor) -> Any:
        """f, ∇f and the Hessian in the form asked for."""
        x = x.detach()
        value, gradient = self.f.value_and_gradient(x)
        return sf_value(
            f=torch.tensor(value, dtype=torch.float64),
            grad=gradient,
            hessp=Products(self.f, x) if self._hessp else None,
            hess=self.f.hessian(x) if self._hess else None,
        )

    def dir_evaluate(self, x: Tensor, t: float, d: Tensor) -> Any:
        """f and ∇f along a line."""
        value, gradient = self.f.value_and_gradient((x + d.mul(t)).detach())
        return de_value(f=float(value), grad=gradient)


def torch_lbfgs(f: Watched, theta: Tensor, history: int) -> None:
    """torch.optim.LBFGS with the strong Wolfe conditions."""
    x = theta.clone().requires_grad_()
    steps = torch.optim.LBFGS(
        [x], lr=1.0, max_iter=MOST, max_eval=MOST, history_size=history, tolerance_grad=0.0,
        tolerance_change=0.0, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> float:
        value, x.grad = f.value_and_gradient(x.detach().clone())
        return value

    steps.step(closure)


def peer(f: Watched, theta: Tensor, method: str) -> None:
    """One of pytorch-minimize's."""
    options = {"gtol": 0.0} if method.startswith("trust") else {"xtol": 0.0}
    minimize(Given(f, NEWTON[method]), theta, method, max_iter=MOST, options=options)


METHODS: dict[str, Callable[[Watched, Tensor], None]] = {
    "morsescape": lambda f, theta: ms.find_critical_point(f, theta, max_steps=MOST, tol=TOL),
    "morsescape, method lbfgs": lambda f, theta: ms.find_critical_point(
        f, theta, max_steps=MOST, tol=TOL, method="lbfgs"
    ),
    "torch L-BFGS, history 10": lambda f, theta: torch_lbfgs(f, theta, 10),
    "torch L-BFGS, history 50": lambda f, theta: torch_lbfgs(f, theta, 50),
    **{
        f"pytorch-minimize {name}": lambda f, theta, n=name: peer(f, theta, n)  # type: ignore[misc]
        for name in NEWTON
    },
}


def searched(method: str, f: ms.Objective, theta: Tensor) -> dict[str, Any]:
    """One search."""
    watched = Watched(f)
    began, processor = time.perf_counter(), time.process_time()
    problem = ""
    try:
        METHODS[method](watched, theta)
    except Ended:
        pass
    except Exception as error:  # a peer that breaks down is a result
        problem = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return {
        "reached": watched.norm <= TOL, "equivalents": watched.equivalents, **watched.counts,
        "seconds": time.perf_counter() - began,
        "processor_seconds": time.process_time() - processor, "problem": problem,
    }  # fmt: skip


def averaged(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Several starts as one row: mean costs, and from how many starts the end was reached."""
    reached = sum(row["reached"] for row in rows)
    means = {name: sum(row[name] for row in rows) / len(rows) for name in COSTS}
    problem = next((row["problem"] for row in rows if row["problem"]), "")
    each = [row["equivalents"] for row in rows]
    return {"reached": reached, "starts": len(rows), **means, "each": each, "problem": problem}


def starts(name: str, options: Any) -> tuple[ms.Objective, list[Tensor]]:
    """The objective and where to begin."""
    if name in LANDSCAPES:
        z = next(z for z in ZOO if z.name == name)
        return z.objective(), list(z.starts(STARTS, seed=5))
    net, data = name.split()
    point = PointSettings(
        net, data, samples=options.samples if data == "mnist" else None, activation="tanh",
        pool="avg", l2=1e-4 if data == "mnist" else 1e-3, root=options.root,
    )  # fmt: skip
    made = make_point(point, options.seed)
    return made.f, [made.theta]


def measure(name: str, options: Any) -> dict[str, Any]:
    """Everybody from the same starts."""
    f, thetas = starts(name, options)
    rows = {}
    for method in METHODS:
        rows[method] = averaged([searched(method, f, theta) for theta in thetas])
        mean, reached = rows[method]["equivalents"], rows[method]["reached"]
        print(f"{name}, {method}: {mean:.1f}, reached {reached}", file=sys.stderr, flush=True)
    return {
        "start": name, "dim": f.dim, "tol": TOL, "seed": options.seed,
        "samples": 0 if f.network is None else f.network.samples, "l2": f.l2,
        "tangents": Watched(f).tangents, "rows": rows,
    }  # fmt: skip


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--starts", nargs="+", default=["mlp2 digits", "cnn digits", "cnn mnist", *LANDSCAPES]
    )
    options = parser.parse_args()
    for name in options.starts:
        file = options.out / f"search-{name.replace(' ', '-')}.json"
        kept(file, lambda n=name: measure(n, options))


if __name__ == "__main__":
    main()
