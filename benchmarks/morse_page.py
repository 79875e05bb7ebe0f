"""Writes docs/morse.md and its picture from docs/results/morse/*.json.

Each is what `morsescape tree --json` wrote; its searches and seeds are on the page.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib import rc_context

from morsescape.morse import CopiesJoined, Join, MergeTree
from morsescape.store import read_json

RESULTS, PAGE, PICTURES = Path("docs/results/morse"), Path("docs/morse.md"), Path("docs/pictures")

HEAD = """# Passes and the tree of sublevel sets

*Written by `benchmarks/morse_page.py` from `docs/results/morse/`.*

M_ε = {f ≤ ε}. As ε rises, a component is born at each minimum, and two components can only meet
at a critical point of index 1, a pass (Akhtiamov & Thomson (2022), section 3.1; Milnor, *Morse
Theory* (1963), theorem 3.2). So the passes say from which ε on solutions are connected.

```python
import torch, morsescape as ms

f = ms.zoo.himmelblau.objective()
minima = [ms.find_critical_point(f, start) for start in ms.zoo.himmelblau.starts(12, seed=0)]
graph = ms.morse_graph(f, minima)
print(graph)  # 4 minima, the passes between them, the ε from which on one component holds all
print(graph.merge_tree().components(50.0))
```

On the command line: `morsescape tree --net mlp2 --activation tanh --l2 1e-4 --runs 12 --out tree`,
with `--workers 8` by eight processes: eight pairs are searched before the next are chosen.

`graph.html("graph.html")` and `--out` write the tree as a page, one file that asks for no other: a
level ε moves over it, and a sentence says how many minima lie below and in how many components at
most; what is pointed at is marked in all pictures and rows.

## How a pass is found

Two minima are aligned by a symmetry of f. Points of the segment between them are labelled by the
minimum in which a descent ends; between two labels lies the boundary of a basin, the stable
manifold, generically, of a point of index 1 (Skufca, Yorke & Eckhardt 2006). The descent that
starts nearest to it lingers near that point. From there eigenvector-following goes up along the
lowest mode of the exact Hessian and down along all others (Cerjan & Miller 1981). Whether a step
is taken is judged by the error of the model's gradient, measured as a step, by ‖|H|⁻¹ e‖: errors
along stiff modes, which the next step corrects, would else keep steps along soft ones short.
Points of index 2 and more, which attract on planes of symmetry, are left along their second
negative direction.

Out of one minimum the way up is chosen by a model of each soft mode v, both ways: f to fourth
order in t along v, the other variables let go where f is lowest,

    f ≈ f(θ) + c t²/2 + τ t³/6 + (q - 3 wᵀ H⁻¹ w) t⁴/24   at   θ + t v - ½ t² H⁻¹ w,

c, τ, q the derivatives along v and w that of the curvature's slope across it. Valleys are climbed
in the order of their models' passes. The softest modes are often no way out at all: along weights
of pixels that are 0 in every image only the ridge is felt. Where a valley is too narrow for the
quadratic model, its floor is followed both ways, up to 1,500 variables: on it ∇f = μ r, r an
eigenvector of the Hessian (a gradient extremal, Hoffman, Nord & Ruedenberg 1986). A step along r is
corrected by Newton's in the plane across it (Crippen & Scheraga 1971), always on the floor where f
is lower; where f turns down is the pass. With `downhill=True` a graph leads components out of their
lowest minima first, so that they go down and meet where there are few; else it does so when all
pairs were tried in vain.

## What is proved

- **The saddle**: a critical point lies within the stated distance, its index is exactly 1
  ([how](proof.md)). A count of negative eigenvalues decides nothing here.
- **Both sides**: a polygon from the saddle to a proved minimum, on which the highest f is
  enclosed ([how](heights.md)). It need not be the line of steepest descent: any polygon on which
  f ≤ ε joins its ends in M_ε. The line itself is `morsescape.morse.steepest_descent`, by SciPy's
  BDF: numerical, without proof.
- **The tree**: heights are bounds from above. A pass that was not found may be lower, never
  higher.

- **Paths as joins**: a proved path between two minima joins them too, and bounds their pass from
  above; where it is lower than all passes known, one is missing, and is searched for from its tops.
- **In the whole space**: symmetries of f make copies of every minimum. m is joined to all of its
  copies at the highest of a few paths, from m to its image under each generator of the group: a
  group element takes one such path to the next link of a chain (`ms.joined_copies`).

Not proved: that the minima at the ends of two passes are one. Copies are compared after
alignment, to 1e-6 of their size; the polygon is led on to the copy in the list, with its height.
With symmetries "joined" is said of orbits: some copy of one minimum to some copy of the other.

## All copies, by saddles alone

G is the finite group of permutations and flips of hidden units that `symmetries` finds. Each g in G
is a linear isometry with f(gθ) = f(θ), so g takes M_ε to itself. A pass e from the minimum a to the
minimum b carries two elements (`graph.elements`): its chains end exactly at g·a and h·b, so these
lie in one component of M_ε for ε ≥ its height. Let v(e) = g⁻¹h, and v = h⁻¹g for e the other way.

**Statement.** Fix ε; take the proved passes of height ≤ ε, C a connected part of the graph they
make, a in C. Let H be the set of products v(e₁) ⋯ v(e_k) over all closed ways e₁ … e_k from a to a.

1. H is a subgroup of G. It is generated by t(b) v(e) t(c)⁻¹ for the passes e from b to c off a
   spanning tree of C, where t(b) is the product along the tree from a to b.
2. s·a and s′·a lie in one component of M_ε if s⁻¹s′ is in H.
3. All copies of all minima of C lie in at most |G| / |H| components of M_ε; in one if H = G.

**Proof.** Write x ~ y for "in one component of M_ε"; x ~ y gives kx ~ ky for k in G. For a pass,
g·a ~ h·b, so a ~ v(e)·b. Along a way with product w from a to c: a ~ w·c, by induction, for
a ~ w·c and c ~ v·d give a ~ wv·d. For a closed way a ~ w·a, so s·a ~ sw·a: 2. Closed ways one
after the other and backwards multiply and invert their products: H is a subgroup. For a closed way
through a = b₀, b₁, …, b_k = a the product of t(bᵢ₋₁) v(eᵢ) t(bᵢ)⁻¹ is that of the v(eᵢ), as
t(a) = 1; the factors of the tree's passes are 1: 1. A copy g·c is joined to g t(c)⁻¹·a, as
a ~ t(c)·c. So each copy of each minimum is joined to one of a, and by 2 those of one coset of H are
joined: 3. ∎

The graph of all copies is what Gross (1974) calls the derived graph of a voltage graph. What leaves
a where it is (units that are zero or the same) is a closed way too, of height f(a); where it moves
a by rounding, the straight way to the copy is proved. Orders are those of SymPy's permutation
groups, on the points (unit, sign). `graph.copies_joined()` says at which ε H grows, and `joined_at`
from which ε on all copies of all given minima are in one component. `ms.morse_graph(f, minima,
copies=ms.joined_copies(f, lowest))` searches for the passes that are missing for it.

## Measured
"""


def tree_of(r: dict[str, Any], *, paths: bool = True) -> MergeTree:
    """From what is kept."""
    joins = [
        Join(*p["ends"], tuple(p["height"]), by, p["proved"])
        for by, kind in (("saddle", "passes"), ("path", "paths"))
        for p in r.get(kind, ())
        if p["ends"][0] != p["ends"][1] and (by == "saddle" or paths)
    ]  # fmt: skip
    return MergeTree.of([tuple(m["value"]) for m in r["minima"]], joins)


def spread(values: list[float | None], form: str) -> str:
    known = [v for v in values if v is not None]
    return f"{min(known):{form}} to {max(known):{form}}" if known else "unknown"


def accuracies(r: dict[str, Any], points: list[dict[str, Any]]) -> str:
    """Of some points, and where there are test images, what they are on these."""
    text = spread([p.get("accuracy") for p in points], ".2%")
    if not r.get("n_test"):
        return text
    return (
        f"{text}; on {r['n_test']:,} test images loss "
        f"{spread([p['test_loss'] for p in points], '.5f')}, accuracy "
        f"{spread([p['test_accuracy'] for p in points], '.2%')}"
    )


def section(name: str, r: dict[str, Any]) -> str:
    tree, by_saddles = tree_of(r), tree_of(r, paths=False)
    values = [tuple(m["value"]) for m in r["minima"]]
    shares, name_of = [m["accuracy"] for m in r["minima"]], "accuracy"
    if r.get("n_test"):
        shares, name_of = [m["test_accuracy"] for m in r["minima"]], "test accuracy"
    known = shares if None not in shares and len(set(shares)) > 1 else None
    ax = tree.plot(colours=known, label=name_of if known else "", given=r["given"])
    PICTURES.mkdir(parents=True, exist_ok=True)
    with rc_context({"svg.hashsalt": name}):
        ax.figure.savefig(PICTURES / f"tree-{name}.svg", metadata={"Date": None})
    certain = [p for p in r["passes"] if p["proved"]]
    heights = sorted(p["height"][1] for p in certain)
    lowest = sorted(high for _, high in values)
    widest = max(p["height"][1] - p["height"][0] for p in certain)
    seconds = sorted(p["seconds"] for p in r["passes"])
    return f"""
### {r["net"]} (tanh) on {r["data"]}, {r["n_params"]:,} parameters, λ = {r["l2"]:g}

![The disconnectivity graph: minima and passes](pictures/tree-{name}.svg)

Filled: given minima; hollow: minima found at the feet of passes. Branches meet where they are
proved to be joined, by a certified saddle or, in orange, by a path.

- {r["given"]} minima given, {len(values)} with those at the feet of passes; f from
  {lowest[0]:.8g} to {lowest[-1]:.8g}, proved. Train loss without the ridge
  {spread([m.get("loss") for m in r["minima"]], ".5f")}, accuracy {accuracies(r, r["minima"])}.
- {len(r["passes"])} passes in {r["attempts"]} searches, {len(certain)} of them proved with index 1
  and both sides; f from {heights[0]:.8g} to {heights[-1]:.8g}, train loss
  {spread([p.get("loss") for p in certain], ".5f")}, accuracy
  {accuracies(r, certain)}. The proved interval of a pass's
  height is at most {widest:.1e} wide. A search that ends at a pass takes
  {seconds[len(seconds) // 2]:.1f} s (median, on one core beside other work).
{chr(10).join(joined(r, tree, by_saddles, lowest))}
"""


def joined(
    r: dict[str, Any], tree: MergeTree, by_saddles: MergeTree, lowest: list[float]
) -> Iterator[str]:
    """From which ε on, by what, and in the whole space."""
    top, by_passes = tree.first_together(r["given"]), by_saddles.first_together(r["given"])
    second = f"{lowest[1]:.6g}" if len(lowest) > 1 else ""
    if top is not None:
        yield (
            f"- **All given minima, up to symmetries of f, lie in one component of M_ε for every "
            f"ε ≥ {top.height[1]:.10g}, proved** by a {top.by}: {top.height[1] - lowest[0]:.2e} "
            f"above the lowest, {top.height[1] - lowest[1]:.2e} above the second lowest ({second})."
        )
    if by_passes is not None:
        yield (
            f"- By certified saddles of index 1 alone they are joined for every ε ≥ "
            f"{by_passes.height[1]:.10g}."
        )
    else:
        parts = (sum(k < r["given"] for k in part) for part in by_saddles.components(math.inf))
        many = Counter(n for n in parts if n)
        sizes = ", ".join(f"{many[n]} of {n}" for n in sorted(many, reverse=True))
        yield (
            "- **By certified saddles alone they are not all joined yet**: the given minima lie in "
            f"{many.total()} parts, {sizes}."
        )
    if r.get("split_at") is not None:
        yield f"- M_ε is disconnected at an ε ≥ {r['split_at']:.8g}, proved."
    space = r.get("in_space")
    if space and r["passes"] and by_passes is not None:
        whole = CopiesJoined.from_json(space)
        yield f"- In the whole space, by saddles alone: {whole}."
    copies = r.get("copies")
    if copies and copies["joined_at"] is not None:
        everywhere = max(copies["joined_at"], top.height[1]) if top else None
        yield (
            f"- All {float(copies['copies']):.2g} copies of the lowest given minimum under "
            f"permutations and flips lie in one component of M_ε for every ε ≥ "
            f"{copies['joined_at']:.8g}, proved by {len(copies['exchanges'])} paths"
            + (f"; so all copies of all given minima do for ε ≥ {everywhere:.8g}." if top else ".")
        )


def ridges(results: list[dict[str, Any]]) -> str:
    """How passes and counts change with λ."""
    rows = sorted(results, key=lambda r: (r["net"], r["data"], r.get("n_samples"), -r["l2"]))
    lines = [
        "",
        "### As the ridge goes to zero",
        "",
        "| network, data | λ | minima given, found | f of the lowest | ε\\* (all given joined) | "
        "ε\\* - lowest | by | passes proved, searches |",
        "|---|---:|---:|---:|---:|---:|---|---:|",
    ]
    for r in rows:
        top = tree_of(r).first_together(r["given"])
        low = min(m["value"][1] for m in r["minima"])
        proved = sum(p["proved"] for p in r["passes"])
        ends = (f"{top.height[1]:.8g} | {top.height[1] - low:.2e} | {top.by}" if top
                else "not joined | – | –")  # fmt: skip
        lines.append(
            f"| {r['net']}, {r['data']} ({r['n_samples']:,}) | {r['l2']:g} | {r['given']}, "
            f"{len(r['minima'])} | {low:.8g} | {ends} | {proved}, {r['attempts']} |"
        )
    return "\n".join(lines) + "\n"


def beside(r: dict[str, Any]) -> str:
    """Paths of every method and the minimax pass, on the same pairs."""
    lines = [
        "",
        f"### Paths beside passes: {r['net']} (tanh) on {r['data']}, λ = {r['l2']:g}",
        "",
        "How far the highest f is above the higher end, at most, proved. No path can lie below "
        "the lowest pass; where one lies below the lowest known pass, a pass was missing, and a "
        "search from the tops of that path found one (*then*).",
        "",
        "| pair | line | line, aligned | Bezier | string | fip | pass | then |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for pair in sorted({tuple(row["pair"]) for row in r["rows"]}):
        rows = [row for row in r["rows"] if tuple(row["pair"]) == pair]
        end = max(r["ends"][k][1] for k in pair)
        found = {(row["method"], row["aligned"]): row for row in rows}
        cells = []
        for way in (("line", False), ("line", True), ("bezier", True), ("string", True),
                    ("fip", True)):  # fmt: skip
            row = found.get(way)
            cells.append("–" if row is None else "estimate" if row["estimate"]
                         else f"{row['height'][1] - end:.2e}")  # fmt: skip
        known = next((row["pass"] for row in rows if row["pass"]), None)
        then = [row["then"][1] - end for row in rows if row.get("then")]
        cells.append("none known" if known is None else f"{known[1] - end:.2e}")
        cells.append(f"{min(then):.2e}" if then else "–")
        lines.append(f"| {pair[0]} – {pair[1]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    files = sorted(RESULTS.glob("*.json"))
    kept = {file.stem: read_json(file) for file in files}
    trees = {name: r for name, r in kept.items() if "passes" in r}
    parts = [section(name, r) for name, r in trees.items()]
    parts.append(ridges(list(trees.values())))
    parts += [beside(r) for name, r in kept.items() if name.startswith("beside-")]
    PAGE.write_text(HEAD + "".join(parts))


if __name__ == "__main__":
    main()
