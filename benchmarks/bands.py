"""A band evaluated at once against image by image, and curves against a plain loop of SGD over t.

    python benchmarks/bands.py [--root DIR] [--out docs/bench]

First: seconds of values and gradients of 16 images, batched and one by one, in one run; of mlp2
(tanh) also written out by hand, without autograd, in place and with the layout that is best for it:
about the least that this machine can do. Second: the
quadratic Bézier curve between two trainings, by `bezier` and by a loop written after the settings
of Garipov et al. (2018, appendix A.1 and their repository: SGD with momentum 0.9 and weight decay
5e-4, t uniform for each mini-batch of 128, a learning rate that is constant for half of the epochs
and then falls linearly to a hundredth), at equal cost in gradients over all samples. Heights are
proved.
"""

from __future__ import annotations

import math
import statistics
from typing import Any

import torch
from measure import arguments, clock, machine, mnist, product_rate
from torch import Tensor

import morsescape as ms
from morsescape.data import Dataset, load
from morsescape.experiments.point import PointSettings, make_point
from morsescape.nets import build
from morsescape.paths import Curve, bezier, height_of
from morsescape.paths.images import values_and_gradients
from morsescape.store import write_json_atomic

IMAGES, REPEATS = 16, 7
RATE, BATCH, DECAY, EPOCHS = 0.015, 128, 5e-4, 200


def landscape(net: str, activation: str, data: Dataset) -> ms.Objective:
    model = build(net, image_shape=data.image_shape, classes=data.classes, activation=activation)
    return ms.Objective(model.eval(), "cross_entropy", (data.x, data.y), l2=1e-4)


def speed(name: str, f: ms.Objective) -> dict[str, Any]:
    """Medians over runs that take turns."""
    g = torch.Generator().manual_seed(0)
    points = f.theta + 0.1 * torch.randn(IMAGES, f.dim, generator=g, dtype=torch.float64)
    values_and_gradients(f, points)
    at_once, alone, hand = [], [], []
    written_out = name.startswith("mlp2")
    for _ in range(REPEATS):
        at_once += clock(lambda: values_and_gradients(f, points))
        alone += clock(lambda: [f.value_and_gradient(p) for p in points])
        hand += clock(lambda: by_hand(f, points)) if written_out else []
    a, b = statistics.median(alone), statistics.median(at_once)
    ratios = sorted(x / y for x, y in zip(alone, at_once, strict=True))
    return {"name": name, "alone": a, "at_once": b, "ratio": a / b,
            "spread": [ratios[1], ratios[-2]], "by_hand": statistics.median(hand) if hand else None,
            "flops": 6 * IMAGES * f.source.samples * multiplications(f)}  # fmt: skip


def multiplications(f: ms.Objective) -> float:
    """Of one sample in the forward pass; backward takes twice as many, less the first layer's."""
    sizes = [math.prod(s) for s in f.source.shapes.values() if len(s) == 2]
    return sum(sizes) - sizes[0] / 3


def by_hand(f: ms.Objective, points: Tensor) -> tuple[Tensor, Tensor]:
    """Values and gradients of mlp2 with tanh."""
    x, y, many = f.network.x.flatten(1), f.network.y, len(points)
    n, k = x.shape
    w1, b1, w2, b2 = (points[:, f.source.slices[name]] for name in f.source.shapes)
    h = torch.addmm(b1.reshape(-1, 1), w1.reshape(-1, k), x.t()).tanh_()
    hidden, w2 = h.view(many, -1, n), w2.view(many, b2.shape[1], -1)
    z = torch.baddbmm(b2.unsqueeze(2), w2, hidden)
    z -= z.amax(1, keepdim=True)
    places = y.expand(many, 1, n)
    values = -z.gather(1, places).sum((1, 2))
    total = z.exp_().sum(1, keepdim=True)
    values += total.log().sum((1, 2))
    z /= total
    z.scatter_add_(1, places, torch.full((), -1.0).double().expand(many, 1, n))
    z /= n
    back = (w2.mT @ z).view(-1, n)
    back.addcmul_(back * h, h, value=-1)
    slopes = (back @ x).view(many, -1), back.sum(1).view(many, -1), (z @ hidden.mT).flatten(1)
    gradient = torch.cat([*slopes, z.sum(2)], 1)
    ridge = f.l2 * points.square().sum(1)
    return values / n + ridge, gradient + 2 * f.l2 * points


def sgd_over_t(f: ms.Objective, a: Tensor, b: Tensor, epochs: int, seed: int) -> Curve:
    """The published loop: one t and one mini-batch a step."""
    bend, velocity = (a + b) / 2, torch.zeros_like(a)
    g, n = torch.Generator().manual_seed(seed), f.source.samples
    for epoch in range(epochs):
        share = epoch / epochs
        rate = RATE * (1.0 if share <= 0.5 else max(0.01, 1 - (share - 0.5) / 0.4 * 0.99))
        for places in torch.randperm(n, generator=g).split(BATCH):
            t = float(torch.rand((), generator=g, dtype=torch.float64))
            theta = (1 - t) ** 2 * a + 2 * t * (1 - t) * bend + t**2 * b
            loss = f.source.on(*f.source.some(places))
            slope = torch.func.grad(loss)(theta) * (n / len(places))
            step = 2 * t * (1 - t) * slope + DECAY * bend
            velocity = 0.9 * velocity + step
            bend = bend - rate * velocity
    return Curve(torch.stack([a, bend, b])[None])


def beside(seed: int) -> dict[str, Any]:
    """One pair on digits (mlp2, ReLU): both curves, proved, at equal cost."""
    point = PointSettings(l2=0.0)
    first, second = (make_point(point, 2 * seed + k) for k in (0, 1))
    f, a = first.f, first.theta
    b = ms.align(f, a, second.theta).theta
    theirs = height_of(f, sgd_over_t(f, a, b, EPOCHS, seed))
    found = bezier(
        f, a, b, optimiser="adam", batch=BATCH, max_steps=EPOCHS * f.source.samples // BATCH,
        seed=seed,
    )  # fmt: skip
    ours = height_of(f, found.curve)
    full = bezier(f, a, b, optimiser="lbfgs", seed=seed)
    best = height_of(f, full.curve)
    return {
        "seed": seed, "ends": [f.value(a), f.value(b)], "sgd": [theirs.low, theirs.high],
        "sgd_gradients": EPOCHS, "bezier": [ours.low, ours.high],
        "bezier_gradients": found.gradients, "converged": [best.low, best.high],
        "converged_gradients": full.gradients,
    }  # fmt: skip


def main() -> None:
    asked = arguments(__doc__).parse_args()
    digits = load("digits")
    rows = [
        speed("mlp2 (tanh), digits", landscape("mlp2", "tanh", digits)),
        speed("mlp2 (tanh), digits, 200 images", landscape("mlp2", "tanh", digits.first(200))),
        speed("mlp3 (ReLU), digits", landscape("mlp3", "relu", digits)),
        speed("cnn (tanh), digits, 500 images", landscape("cnn", "tanh", digits.first(500))),
    ]
    if asked.root is not None:
        few = mnist(asked.root, 5_000)
        rows.append(speed("mlp2 (tanh), mnist, 5,000 images", landscape("mlp2", "tanh", few)))
    for row in rows:
        print(row, flush=True)
    pairs = []
    for seed in range(3):
        pairs.append(beside(seed))
        print(pairs[-1], flush=True)
    found = {"made": machine(), "rate": product_rate(), "speed": rows, "pairs": pairs}
    write_json_atomic(asked.out / "bands.json", found)


if __name__ == "__main__":
    main()
