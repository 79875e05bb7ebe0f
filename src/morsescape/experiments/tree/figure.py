"""The disconnectivity graph of `morsescape tree`."""

from __future__ import annotations

from matplotlib.axes import Axes

from morsescape.experiments.tree.study import TreeResult
from morsescape.figures import disconnectivity_figure
from morsescape.page.readable import number


def tree_figure(result: TreeResult, ax: Axes | None = None) -> Axes:
    """Minima coloured by test accuracy where there is one, else by that on the training images."""
    label = "test accuracy" if result.scores else "accuracy"
    all_of = tuple(score.accuracy for score in result.scores) or result.accuracies
    shares = [share for share in all_of if share is not None]
    known = shares if len(shares) == len(all_of) and len(set(shares)) > 1 else None
    tree = result.graph.merge_tree()
    return disconnectivity_figure(
        tree, ax, colours=known, label=label if known else "", given=result.graph.given,
        symmetric=result.graph.symmetric,
        words=[_words(result, k) for k in range(len(result.graph.minima))],
    )  # fmt: skip


def _words(result: TreeResult, k: int) -> str:
    """What is known of a minimum."""
    share, point = result.accuracies[k], result.graph.minima[k]
    sure = "index 0, proved" if point.certificate.proves(0) else "not proved"
    right = "" if share is None else f", accuracy {share:.2%}"
    if result.scores:
        right += f", on the test images {number(result.scores[k].accuracy, '.2%')}"
    return f"minimum {k}: f = {result.graph.values[k][1]:.10g}, {sure}{right}"
