"""From where the optimizer stopped to a certified critical point: the table of docs/critical.md.

    python benchmarks/critical_points.py --out runs/critical [--root DIR]
        [--data mnist fashion-mnist] [--net mlp2 cnn] [--seeds 10] [--samples 10000] [--l2 1e-4]

For each data set, network (tanh; average pooling) and seed: train, count the signs where the
optimizer stopped, search, certify. A finished run is kept in --out and not repeated; an
interrupted search goes on from its last step. Progress goes to stderr, the table to
OUT/table.md and to stdout.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from morsescape.critical import CriticalPoint, find_critical_point
from morsescape.data import Dataset, load
from morsescape.nets import build, train
from morsescape.objective import Objective
from morsescape.spectrum.inertia import inertia
from morsescape.store import RunFolder

_KEEP_EVERY = 20.0  # seconds between two saved steps of a search

COLUMNS = {
    "data": "{data}",
    "net": "{net}",
    "seed": "{seed}",
    "loss f at stop": "{stop_value:.6f}",
    "|grad f| at stop": "{stop_grad_norm:.1e}",
    "negative at stop": "{stop_negative}",
    "f": "{value:.6f}",
    "|grad f|": "{grad_norm:.1e}",
    "index": "{index}",
    "min abs eigenvalue": "{min_abs_eigenvalue:.1e}",
    "h = beta eta K": "{h:.1e}",
    "certificate": "{certificate}",
    "status": "{status}",
    "steps": "{steps}",
    "gradients / products / Hessians": "{gradient} / {hvp} / {hessian}",
    "seconds": "{seconds:.0f}",
}


def main() -> None:
    """Run what is missing and write the table."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    settings = {"samples": args.samples, "l2": args.l2, "tol": args.tol, "activation": "tanh"}
    folder = RunFolder(args.out, settings, on_damaged=_say)
    rows = []
    for name in args.data:
        data = load(name, args.root, samples=args.samples)
        for net in args.net:
            for seed in range(args.seeds):
                row = one(folder, data, net, seed, args.l2, args.tol)
                rows.append(row)
                table(rows, Path(args.out) / "table.md")
    print((Path(args.out) / "table.md").read_text())


def one(
    folder: RunFolder, data: Dataset, net: str, seed: int, l2: float, tol: float
) -> dict[str, Any]:
    """One network, from its training to its certificate; kept in the folder once done."""
    key = f"{data.name}-{net}-{seed}"
    done = folder.load(key)
    if done is not None:
        return done.payload
    f, start, training = _trained(folder, data, net, seed, l2)
    stopped = _at_stop(folder, key, f, start)
    theta, spent = _so_far(folder, key, start)
    _say(f"{key}: searching from f = {f.value(theta):.6f}")
    found = find_critical_point(
        f, theta, tol=tol, seed=seed, callback=_keeper(folder, key, spent), progress=_progress(key)
    )
    row = {"data": data.name, "net": net, "seed": seed} | training | stopped
    row |= _found(found, spent)
    folder.save(key, row, {"theta": found.theta})
    _say(f"{key}: {found}")
    return row


def table(rows: list[dict[str, Any]], path: Path) -> None:
    """Write the rows as a markdown table."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    lines += ["| " + " | ".join(c.format(**row) for c in COLUMNS.values()) + " |" for row in rows]
    path.write_text("\n".join(lines) + "\n")


def _trained(
    folder: RunFolder, data: Dataset, net: str, seed: int, l2: float
) -> tuple[Objective, Tensor, dict[str, Any]]:
    model = build(net, image_shape=data.image_shape, activation="tanh", pool="avg", seed=seed)
    f = Objective(model, "cross_entropy", (data.x, data.y), l2=l2)
    key = f"{data.name}-{net}-{seed}.trained"
    kept = folder.load(key)
    if kept is None:
        _say(f"{key}: training")
        result = train(model, data, seed=seed)
        f = Objective(model, "cross_entropy", (data.x, data.y), l2=l2)
        payload = {"accuracy": result.accuracy, "train_seconds": result.seconds}
        folder.save(key, payload, {"theta": f.theta})
        return f, f.theta, payload
    return f, kept.tensors["theta"], kept.payload


def _at_stop(folder: RunFolder, key: str, f: Objective, theta: Tensor) -> dict[str, Any]:
    kept = folder.load(f"{key}.stop")
    if kept is not None:
        return kept.payload
    signs = inertia(f, theta)
    payload = {
        "stop_value": signs.value,
        "stop_grad_norm": signs.grad_norm,
        "stop_negative": _interval(signs.negative),
    }
    folder.save(f"{key}.stop", payload)
    return payload


def _so_far(folder: RunFolder, key: str, start: Tensor) -> tuple[Tensor, float]:
    """The last step of an interrupted search, or the start, and the seconds spent so far."""
    kept = folder.load(f"{key}.search")
    return (start, 0.0) if kept is None else (kept.tensors["theta"], kept.payload["seconds"])


def _keeper(folder: RunFolder, key: str, spent: float) -> Callable[[Tensor, float, float], None]:
    began = last = time.perf_counter()

    def keep(theta: Tensor, value: float, norm: float) -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last >= _KEEP_EVERY:
            last = now
            payload = {"value": value, "grad_norm": norm, "seconds": spent + now - began}
            folder.save(f"{key}.search", payload, {"theta": theta})
            _say(f"{key}: f = {value:.8f}, |grad f| = {norm:.1e}, {spent + now - began:.0f} s")

    return keep


def _found(found: CriticalPoint, spent: float) -> dict[str, Any]:
    certificate = found.certificate
    return {
        "value": found.value,
        "grad_norm": found.grad_norm,
        "index": "?" if found.index is None else str(found.index),
        "negative": None if found.inertia is None else list(found.inertia.negative),
        "certificate": certificate.status.name.lower(),
        "certificate_numbers": certificate.to_json(),
        "min_abs_eigenvalue": certificate.min_abs_eigenvalue,
        "h": certificate.h,
        "status": found.status.name.lower(),
        "steps": found.steps,
        "seconds": spent + found.seconds,
    } | asdict(found.evaluations)


def _progress(key: str) -> Callable[[str, int, int], None]:
    def show(stage: str, done: int, total: int) -> None:
        if stage != "search" and done == total:
            _say(f"{key}: {stage} done")

    return show


def _interval(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"[{pair[0]}, {pair[1]}]"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", required=True)
    parser.add_argument("--root")
    parser.add_argument("--data", nargs="+", default=["mnist", "fashion-mnist"])
    parser.add_argument("--net", nargs="+", default=["mlp2", "cnn"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--l2", type=float, default=1e-4)
    parser.add_argument("--tol", type=float, default=1e-9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


if __name__ == "__main__":
    main()
