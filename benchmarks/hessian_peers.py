"""The exact Hessian on 2,000 MNIST images: morsescape beside its peers, on the same matrix.

    python benchmarks/hessian_peers.py --root DIR [--net mlp2 mlp3 cnn] [--samples 2000]

In one process, float64: morsescape with and without the proved bound; curvlinops' operator times
the identity; chunked vmap(jvp(grad)); double backward row by row; and products with single vectors
by hessian-eigenthings and PyHessian, times D (an estimate: neither builds the matrix). All
matrices must agree to 1e-10 relative before any time is kept. A result that is in --out is not
measured again.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from measure import arguments, clock, kept, mnist, product_rate
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap

from morsescape.hessian.dense import exact_hessian
from morsescape.model.network import Network
from morsescape.nets import build

AGREE = 1e-10
VECTORS = 8  # products by the tools that do not build a matrix
# Tangents at a time; the fastest on a few is taken. More of the cnn's do not fit: a convolution of
# many tangents holds the patches of all of them.
CHUNKS = {"mlp2": (16, 64, 256), "mlp3": (16, 64, 256), "cnn": (4, 8, 16)}


@dataclass
class Problem:
    """One network on some images, float64, cross-entropy."""

    model: nn.Module
    x: Tensor
    y: Tensor

    @property
    def parameters(self) -> list[nn.Parameter]:
        return list(self.model.parameters())

    @property
    def dim(self) -> int:
        return sum(p.numel() for p in self.parameters)

    def loss(self, theta: Tensor) -> Tensor:
        """A function of the flat vector."""
        named = dict(self.model.named_parameters())
        parts = theta.split([p.numel() for p in named.values()])
        moved = {k: part.view_as(p) for (k, p), part in zip(named.items(), parts, strict=True)}
        return nn.functional.cross_entropy(functional_call(self.model, moved, (self.x,)), self.y)

    @property
    def theta(self) -> Tensor:
        return torch.cat([p.detach().reshape(-1) for p in self.parameters])


def by_vmap(problem: Problem, columns: Tensor, chunk: int) -> Tensor:
    theta = problem.theta
    product = vmap(lambda v: jvp(grad(problem.loss), (theta,), (v,))[1])
    return torch.cat([product(part) for part in columns.split(chunk)])


def by_rows(problem: Problem) -> Tensor:
    loss = nn.functional.cross_entropy(problem.model(problem.x), problem.y)
    parts = torch.autograd.grad(loss, problem.parameters, create_graph=True)
    gradient = torch.cat([g.reshape(-1) for g in parts])
    rows = [torch.autograd.grad(g, problem.parameters, retain_graph=True) for g in gradient]
    return torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in rows])


def curvlinops_operator(problem: Problem) -> Any:
    from curvlinops import HessianLinearOperator

    return HessianLinearOperator(
        problem.model, nn.CrossEntropyLoss(), problem.parameters, [(problem.x, problem.y)],
        check_deterministic=False,
    )  # fmt: skip


def by_curvlinops(problem: Problem, chunk: int) -> Tensor:
    operator, basis = curvlinops_operator(problem), torch.eye(problem.dim, dtype=torch.float64)
    return torch.cat([operator @ part.t().contiguous() for part in basis.split(chunk)], 1)


def by_eigenthings(problem: Problem, vectors: Tensor) -> Tensor:
    from hessian_eigenthings import HessianOperator, supervised_loss

    loss = supervised_loss(nn.CrossEntropyLoss())
    operator = HessianOperator(problem.model, [(problem.x, problem.y)], loss)
    return torch.stack([operator.matvec(v) for v in vectors])


def by_pyhessian(problem: Problem, vectors: Tensor) -> Tensor:
    from pyhessian import hessian
    from pyhessian.utils import hessian_vector_product

    tool = hessian(problem.model, nn.CrossEntropyLoss(), data=(problem.x, problem.y), cuda=False)
    sizes = [p.numel() for p in tool.params]
    products = []
    for v in vectors:
        pieces = zip(v.split(sizes), tool.params, strict=True)
        out = hessian_vector_product(tool.gradsH, tool.params, [a.view_as(p) for a, p in pieces])
        products.append(torch.cat([g.reshape(-1) for g in out]))
    return torch.stack(products)


def best_chunk(work: Callable[[int], Any], chunks: tuple[int, ...]) -> int:
    """The fastest per column, on two chunks each."""
    rates = {c: min(clock(lambda c=c: work(c), 2)) / c for c in chunks}
    return min(rates, key=rates.__getitem__)


def measure(name: str, samples: int, root: str | None) -> dict[str, Any]:
    data = mnist(root, samples)
    model = build(name, seed=0).double().eval()
    problem = Problem(model, data.x.double(), data.y)
    net = Network(model, "cross_entropy", (data.x, data.y), torch.float64)
    dim = problem.dim
    rate = product_rate()
    matrices: dict[str, Tensor] = {}
    seconds: dict[str, list[float]] = {}

    def run(key: str, work: Callable[[], Tensor], repeats: int = 1) -> None:
        say(f"{name}: {key}")
        seconds[key] = clock(lambda: matrices.__setitem__(key, work()), repeats)
        check(key, matrices[key], matrices["morsescape"])
        if key != "morsescape":
            del matrices[key]

    def ours(bounded: bool) -> Tensor:
        return exact_hessian(net, net.theta, bounded=bounded).matrix

    for bounded in (False, True):
        ours(bounded)  # warm
    run("morsescape", lambda: ours(False), 5)
    run("morsescape, with proof", lambda: ours(True), 5)
    basis = torch.eye(dim, dtype=torch.float64)
    chunk = best_chunk(lambda c: by_vmap(problem, basis[:c], c), CHUNKS[name])
    run(f"vmap(jvp(grad)), {chunk} at a time", lambda: by_vmap(problem, basis, chunk))
    operator = curvlinops_operator(problem)
    chunk = best_chunk(lambda c: operator @ basis[:, :c].contiguous(), CHUNKS[name])
    run(f"curvlinops, {chunk} at a time", lambda: by_curvlinops(problem, chunk))
    run("double backward, row by row", lambda: by_rows(problem))
    vectors = torch.randn(VECTORS, dim, dtype=torch.float64)
    for key, work in (("hessian-eigenthings", by_eigenthings), ("PyHessian", by_pyhessian)):
        say(f"{name}: {key}")
        got = work(problem, vectors)
        check(key, got, vectors @ matrices["morsescape"])
        seconds[f"{key}, D products (estimate)"] = [
            min(clock(lambda work=work: work(problem, vectors), 2)) * dim / VECTORS
        ]
    return {
        "net": name, "dim": dim, "samples": samples, "seconds": seconds,
        "product_rate": max(rate, product_rate()), "flops": gram_flops(name, samples),
    }  # fmt: skip


def gram_flops(name: str, samples: int) -> float | None:
    """Of the weighted Gram matrices, the bulk of the work of an MLP's Hessian."""
    return 55.0 * samples * 785**2 if name.startswith("mlp") else None


def check(key: str, got: Tensor, want: Tensor) -> None:
    off = float((got - want).norm() / want.norm())
    assert off <= AGREE, f"{key} differs from morsescape by {off:.2g} relative"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--net", nargs="+", default=["mlp2", "mlp3", "cnn"])
    parser.add_argument("--samples", type=int, default=2000)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in options.net:
        file = options.out / f"peers-{name}-{options.samples}.json"
        result = kept(file, lambda name=name: measure(name, options.samples, options.root))
        for key, times in result["seconds"].items():
            say(f"{name}: {min(times):9.3f} s  {key}")


if __name__ == "__main__":
    main()
