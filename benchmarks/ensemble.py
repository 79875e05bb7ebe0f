"""500 CNNs as an ensemble beside the same networks trained one after another.

    python benchmarks/ensemble.py --root DIR [--members 500] [--alone 6] [--samples 60000]
        [--epochs 15] [--workers 2]

The recipe is that of `morsescape scatter`: Adam, float32, batches of 64, every network on the same
mini-batches. Before any time is kept, members must agree with `nets.train`: in float64 to 1e-9
after 20 steps. One after another: --alone networks are trained, on one thread and on all, and the
mean time is multiplied by --members (an estimate); as many processes of one thread as the ensemble
has are taken to need their share of it. The faster of these ways is compared with. The ensemble is
trained whole, as `morsescape scatter` does it: processes, loading of the data, evaluation and all.
A result that is in --out is not measured again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from statistics import mean
from typing import Any

import torch
from measure import arguments, clock, kept, mnist
from torch import nn

from morsescape.data import Dataset
from morsescape.experiments import PointSettings
from morsescape.experiments.scatter.cloud import quantiles
from morsescape.experiments.scatter.study import ScatterResult, ScatterSettings, run_scatter
from morsescape.experiments.sweep.processes import Processes
from morsescape.nets import Recipe, Training, build, train
from morsescape.nets.ensemble import train_ensemble

ADAM, BATCH = 3e-3, 64
AGREE, AGREE_STEPS, AGREE_MEMBERS = 1e-9, 20, 8
FLOAT32_STEPS = (10, 100)


def alone(
    data: Dataset, seed: int, epochs: int, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, Training]:
    """One member by `nets.train`: θ and how it ended."""
    model = build("cnn", image_shape=data.image_shape, seed=seed).to(dtype)
    training = train(model, data, seed=0, recipe=Recipe("adam", ADAM, epochs, BATCH))
    return nn.utils.parameters_to_vector(model.parameters()).detach().double(), training


def differences(data: Dataset, steps: int, dtype: torch.dtype) -> dict[str, Any]:
    """Between members of an ensemble and the same alone, after so many steps."""
    part = data.first(min(len(data), steps * BATCH))
    seeds, recipe = range(AGREE_MEMBERS), Recipe("adam", ADAM, 1, BATCH)
    together = train_ensemble("cnn", part, seeds=seeds, recipe=recipe, dtype=dtype)
    losses, points = [], []
    for seed in seeds:
        theta, training = alone(part, seed, 1, dtype)
        losses.append(abs(training.loss - float(together.loss[seed])))
        points.append(float((theta - together.theta[seed]).abs().max()))
    return {
        "steps": -(-len(part) // BATCH),
        "members": len(seeds),
        "loss": max(losses),
        "theta": max(points),
    }


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def one_thread(data: Dataset, members: int) -> dict[str, float]:
    """Seconds of a step on one thread, evaluation left out: of one network, and of many at once."""
    part, many = data.first(min(len(data), 100 * BATCH)), min(members, 128)
    steps = -(-len(part) // BATCH)

    def ensemble(epochs: int) -> None:
        recipe = Recipe("adam", ADAM, epochs, BATCH)
        train_ensemble("cnn", part, seeds=range(many), recipe=recipe)

    with threads(1):
        seconds = {
            name: [min(clock(lambda w=work, k=epochs: w(k), 2)) for epochs in (1, 3)]
            for name, work in (("single", lambda k: alone(part, 0, k)), ("many", ensemble))
        }
    each = {name: (three - one) / (2 * steps) for name, (one, three) in seconds.items()}
    return each | {"members": many}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    data = mnist(options.root, options.samples)
    exact = differences(data, AGREE_STEPS, torch.float64)
    assert max(exact["loss"], exact["theta"]) <= AGREE, exact
    say(f"float64, {AGREE_STEPS} steps: {exact}")
    single: dict[int, list[float]] = {}
    losses: list[float] = []
    for count in sorted({1, torch.get_num_threads()}):
        with threads(count):
            alone(data.first(min(len(data), 10 * BATCH)), 0, 1)  # warm
            ended = [alone(data, seed, options.epochs)[1] for seed in range(options.alone)]
        single[count] = [training.seconds for training in ended]
        losses = losses or [training.loss for training in ended]
        say(f"alone, {count} threads: {single[count]}")
    point = PointSettings(
        "cnn", "mnist", samples=options.samples, epochs=options.epochs, root=options.root
    )
    settings = ScatterSettings(point, members=options.members)
    found: list[ScatterResult] = []
    (seconds,) = clock(
        lambda: found.append(run_scatter(settings, scheduler=Processes(options.workers, 1.5)))
    )
    (result,) = found
    ways = {f"{n} threads": mean(times) * options.members for n, times in single.items()}
    ways[f"{options.workers} processes"] = mean(single[1]) * options.members / options.workers
    return {
        "members": options.members, "samples": len(data), "recipe": asdict(result.recipe),
        "workers": options.workers, "ensemble": seconds,
        "alone": {str(count): times for count, times in single.items()}, "one_by_one": ways,
        "ratio": min(ways.values()) / seconds, "one_thread": one_thread(data, options.members),
        "float64": exact,
        "float32": [differences(data, steps, torch.float32) for steps in FLOAT32_STEPS],
        "losses": {
            "alone": losses, "ensemble": result.loss[: len(losses)].tolist(),
            "all": quantiles(result.loss[~result.dead].numpy()), "dead": int(result.dead.sum()),
        },
    }  # fmt: skip


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--members", type=int, default=500)
    parser.add_argument("--alone", type=int, default=6)
    parser.add_argument("--samples", type=int, default=None)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--workers", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    result = kept(options.out / "ensemble.json", lambda: measure(options))
    one = result["one_thread"]
    rate = one["single"] * one["members"] / one["many"]
    say(
        f"{result['members']} members: {result['ensemble']:.0f} s; one after another (estimate) "
        f"{ {k: round(v) for k, v in result['one_by_one'].items()} } s: {result['ratio']:.1f} "
        f"times; on one thread {rate:.1f} times"
    )


if __name__ == "__main__":
    main()
