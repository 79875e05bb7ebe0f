"""docs/benchmarks.md from the results of the benchmarks.

    python benchmarks/page.py [--out build/bench]

New results are copied from --out to docs/bench, where the last of each kind stays; the page is
made from those.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from measure import arguments

from morsescape.store import read_json

DOCS = Path(__file__).parents[1] / "docs"
HEAD = """\
# Benchmarks

Made by `make bench` and `make bench-large`; `benchmarks/page.py` writes it from `docs/bench`.
All float64 but for the ensemble. Times are wall-clock seconds: the median where a thing was timed
several times, with the range in brackets. Machines differ, so read the ratios.
"""
GIB = 2**30


def seconds(times: list[float]) -> str:
    shown = f"{median(times):.3g}"
    return shown if len(times) == 1 else f"{shown} [{min(times):.3g}, {max(times):.3g}]"


def setting(result: dict[str, Any]) -> str:
    m = result["machine"]
    return (
        f"{m['processor']}, {m['threads']} threads, torch {m['torch']}, "
        f"morsescape {m['morsescape']}, {m['day']}."
    )


def peers(result: dict[str, Any]) -> Iterator[str]:
    """One network: everybody's seconds, and how many times as long as ours."""
    times = result["seconds"]
    ours = median(times["morsescape"])
    yield f"### {result['net']}, D = {result['dim']:,}, {result['samples']:,} images\n"
    yield "| what | seconds | times morsescape |\n|---|---|---|"
    for key, value in times.items():
        yield f"| {key} | {seconds(value)} | {median(value) / ours:.3g} |"
    rivals = [v for k, v in times.items() if not k.startswith("morsescape")]
    fastest = min(median(v) for v in rivals)
    proved = median(times["morsescape, with proof"])
    yield (
        f"\nFastest peer / morsescape: **{fastest / ours:.1f}**, with the proved bound "
        f"**{fastest / proved:.1f}**. All matrices agreed to 1e-10 relative before they were timed."
    )
    if result["flops"]:
        share = result["flops"] / ours / result["product_rate"]
        yield (
            f"The Gram matrices alone are 55 N 785² = {result['flops'] / 1e9:.0f} Gflop: "
            f"{share:.2f} of the rate of matrix products, {result['product_rate'] / 1e9:.0f} "
            "Gflop/s in this run."
        )
    yield f"\n{setting(result)}\n"


def scaling(result: dict[str, Any]) -> Iterator[str]:
    yield "## From 1,000 to 60,000 images: mlp2\n"
    yield (
        "| images | bound | seconds | ms per image | share of the product rate | peak memory "
        "added | of the matrix |\n|---|---|---|---|---|---|---|"
    )
    for row in result["rows"]:
        n, best = row["samples"], min(row["seconds"])
        yield (
            f"| {n:,} | {'proved' if row['bounded'] else '–'} | {seconds(row['seconds'])} | "
            f"{1e3 * best / n:.3g} | {row['efficiency']:.2f} | {row['memory'] / GIB:.2f} GiB | "
            f"{row['memory'] / row['matrix']:.2f} |"
        )
    yield (
        "\nThe share counts the flops 55 N 785² of the Gram matrices only; it exceeds 1 because "
        "columns that are zero on all images, and samples on which a unit is not active, are left "
        f"out. {_line(result['rows'])}\n"
    )
    yield f"{setting(result)}\n"


def _line(rows: list[dict[str, Any]]) -> str:
    """The straight line through the first and last time, and how far the others are from it."""
    texts = []
    for bounded in (False, True):
        part = [(r["samples"], min(r["seconds"])) for r in rows if r["bounded"] is bounded]
        (n0, t0), (n1, t1) = part[0], part[-1]
        slope = (t1 - t0) / (n1 - n0)
        fixed = t0 - slope * n0
        off = max(abs(t / (fixed + slope * n) - 1) for n, t in part)
        kind = "With the bound" if bounded else "Without the bound"
        texts.append(
            f"{kind}: {fixed:.2f} s + {1e3 * slope:.3f} ms per image, to within {off:.0%}."
        )
    return " ".join(texts)


def signs(result: dict[str, Any]) -> Iterator[str]:
    times = result["seconds"]
    base = times["eigvalsh"][0]
    yield (
        f"### D = {result['dim']:,} ({result['reduced']:,} after exactly known null vectors are "
        f"cut out), {result['samples']:,} images\n"
    )
    yield "| what | seconds | of `eigvalsh` |\n|---|---|---|"
    for key, value in times.items():
        yield f"| {key} | {seconds(value)} | {value[0] / base:.2f} |"
    low, high = result["negative"]["all"]
    yield (
        f"\nCertified: negative in [{low}, {high}], radius {result['radius']['all']:.1e}.\n\n"
        f"{setting(result)}\n"
    )


def large(result: dict[str, Any]) -> Iterator[str]:
    found, until = result["inertia"], result["until"]
    yield f"## {result['dim']:,} parameters: 784-{result['hidden']}-10, all of MNIST\n"
    yield (
        f"`benchmarks/large.py`, once. Hessian {until['Hessian']:,.0f} s, then the inertia until "
        f"{result['seconds']:,.0f} s; peak memory {result['memory'] / GIB:.2f} GiB for a matrix of "
        f"{result['matrix'] / GIB:.2f} GiB. Certified: negative in {found['negative']}, null in "
        f"{found['null']}, positive in {found['positive']}, radius {found['radius']:.1e}; "
        f"null space: {', '.join(f'{n:,} {c}' for c, n in found['null_explained'].items())}.\n"
    )
    yield f"{setting(result)}\n"


def ensemble(result: dict[str, Any]) -> Iterator[str]:
    one, ways, losses = result["one_thread"], result["one_by_one"], result["losses"]
    rate = one["single"] * one["members"] / one["many"]
    yield f"## {result['members']:,} CNNs at once, {result['samples']:,} images, float32\n"
    yield "| what | seconds | of the ensemble |\n|---|---|---|"
    yield f"| ensemble, {result['workers']} processes, all of it | {result['ensemble']:.0f} | 1 |"
    for name, value in ways.items():
        yield (
            f"| one after another, {name} (estimate) | {value:.0f} | "
            f"{value / result['ensemble']:.1f} |"
        )
    yield (
        f"\nOne after another is the mean of {len(losses['alone'])} networks times "
        f"{result['members']:,}. A step on one thread: {1e3 * one['single']:.2f} ms alone, "
        f"{1e3 * one['many'] / one['members']:.3f} ms a member in an ensemble of "
        f"{one['members']}: {rate:.1f} times."
    )
    exact = result["float64"]
    yield (
        f"\nThe same networks: in float64, after {exact['steps']} steps, losses agree to "
        f"{exact['loss']:.1g} and parameters to {exact['theta']:.1g}. In float32 rounding grows: "
        + "; ".join(
            f"after {part['steps']} steps the losses of {part['members']} members differ by at "
            f"most {part['loss']:.1g}"
            for part in result["float32"]
        )
        + ". At the end of the training, alone and in the ensemble: "
        + ", ".join(
            f"{a:.4f} / {b:.4f}" for a, b in zip(losses["alone"], losses["ensemble"], strict=True)
        )
        + f"; over all members {losses['all']['5 %']:.4f} to {losses['all']['95 %']:.4f} (5 to "
        f"95 %), {losses['dead']} dead."
    )
    yield f"\n{setting(result)}\n"


def searches(results: list[dict[str, Any]]) -> Iterator[str]:
    """One line a start: gradient-equivalents until the norm of the gradient is below tol."""
    names = list(dict.fromkeys(name for result in results for name in result["rows"]))
    yield f"## Searches: gradient-equivalents until ‖∇f‖ ≤ {results[0]['tol']:g}\n"
    yield (
        "A Hessian product counts 2 gradients, a dense Hessian 2 for each of its tangents. Means ± "
        "standard errors over the starts; in brackets from how many the end was reached within "
        "3,000, where not from all. “Against the best” is morsescape's default minus the best of "
        "the others, start by start. Searches may end at different minima.\n"
    )
    yield (
        "| f | D | starts | against the best | " + " | ".join(names) + " |\n"
        "|---|---|---|---|" + "---|" * len(names)
    )
    for result in results:
        rows = result["rows"]
        cells = [against_the_best(rows), *(equivalents(rows.get(name)) for name in names)]
        count = next(iter(rows.values()))["starts"]
        yield f"| {result['start']} | {result['dim']:,} | {count} | " + " | ".join(cells) + " |"
    yield f"\n{setting(results[0])}\n"


def against_the_best(rows: dict[str, dict[str, Any]]) -> str:
    others = [
        row
        for name, row in rows.items()
        if not name.startswith("morsescape") and row["reached"] == row["starts"]
    ]
    best = min(others, key=lambda row: row["equivalents"])
    pairs = zip(rows["morsescape"]["each"], best["each"], strict=True)
    differences = [ours - theirs for ours, theirs in pairs]
    if len(differences) == 1:
        return f"{differences[0]:+,}"
    return f"{fmean(differences):+.2f} ± {standard_error(differences):.2f}"


def equivalents(row: dict[str, Any] | None) -> str:
    if not row or not row["reached"]:
        return "–"
    every = "" if row["reached"] == row["starts"] else f" ({row['reached']})"
    if row["starts"] == 1:
        return f"{row['equivalents']:,.0f}"
    return f"{row['equivalents']:,.1f} ± {standard_error(row['each']):.1f}{every}"


def standard_error(values: list[float]) -> float:
    return stdev(values) / len(values) ** 0.5


def radii(results: list[dict[str, Any]]) -> Iterator[str]:
    """One line a network: the radius by both machines, and what the smaller one costs."""
    yield "## Radii of Hessians at trained networks, MNIST\n"
    yield (
        "With balls of float64, and with balls one rounding wide ([proof](proof.md)); seconds of "
        "the processor, proof included.\n"
    )
    yield "| network | images | radius, float64 | one rounding | smaller by | seconds | seconds |"
    yield "|---|---|---|---|---|---|---|"
    for result in results:
        plain, sharp = result["rows"]["float64"], result["rows"]["one rounding"]
        yield (
            f"| {result['net']} | {result['samples']:,} | {plain['radius']:.1e} | "
            f"{sharp['radius']:.1e} | {plain['radius'] / sharp['radius']:.0f} | "
            f"{plain['seconds']:.1f} | {sharp['seconds']:.1f} |"
        )
    yield f"\n{setting(results[0])}\n"


def killed(result: dict[str, Any]) -> Iterator[str]:
    """How often it was killed, and when."""
    times = ", ".join(f"{kill['seconds']:.0f}" for kill in result["kills"])
    yield "## Killed and resumed\n"
    yield (
        f"`benchmarks/killed.py`: a reproduction of {result['pieces']} pieces on digits was killed "
        f"(SIGKILL, its workers too) {len(result['kills'])} times, after {times} s, and resumed by "
        "the same command. results.json was the same as of an undisturbed run, times aside.\n"
    )
    yield f"{setting(result)}\n"


def page(folder: Path) -> str:
    def each(pattern: str) -> list[dict[str, Any]]:
        results = (read_json(file) for file in folder.glob(pattern))
        return sorted(results, key=lambda r: r.get("dim", 0))

    parts = [HEAD]
    found = each("peers-*.json")
    parts += ["## Side by side with the peers\n"] if found else []
    for result in found:
        parts += peers(result)
    for result in each("scaling.json"):
        parts += scaling(result)
    found = each("radii-*.json")
    parts += radii(found) if found else []
    found = each("signs-*.json")
    parts += ["## Counting signs without eigenvalues\n"] if found else []
    for result in found:
        parts += signs(result)
    for result in each("large-*.json"):
        parts += large(result)
    for result in each("ensemble.json"):
        parts += ensemble(result)
    found = each("search-*.json")
    parts += searches(found) if found else []
    for result in each("killed.json"):
        parts += killed(result)
    return "\n".join(parts)


def main() -> None:
    options = arguments(__doc__).parse_args()
    (DOCS / "bench").mkdir(exist_ok=True)
    for file in options.out.glob("*.json"):
        shutil.copy(file, DOCS / "bench")
    (DOCS / "benchmarks.md").write_text(page(DOCS / "bench"))


if __name__ == "__main__":
    main()
