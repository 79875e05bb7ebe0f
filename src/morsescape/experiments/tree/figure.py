"""The disconnectivity graph of `morsescape tree`."""

from __future__ import annotations

from matplotlib.axes import Axes

from morsescape.experiments.tree.study import TreeResult
from morsescape.figures import disconnectivity_figure


def tree_figure(result: TreeResult, ax: Axes | None = None) -> Axes:
    """Minima coloured by accuracy where there is one."""
    shares = [share for share in result.accuracies if share is not None]
    known = shares if len(shares) == len(result.accuracies) and len(set(shares)) > 1 else None
    tree = result.graph.merge_tree()
    return disconnectivity_figure(
        tree, ax, colours=known, label="accuracy" if known else "", given=result.graph.given
    )
