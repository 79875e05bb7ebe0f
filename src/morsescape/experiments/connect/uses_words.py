"""What the points of the paths are good for, in a table and in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from morsescape.experiments.connect.put_to_use import Attacked, Used
from morsescape.experiments.connect.study import ConnectResult
from morsescape.page.readable import number
from morsescape.paths.uses import Score, Scores

MEANS = ("ends", "mean of weights", "mean of outputs")
ATTACKS = ("ends, attacked", "lowest, attacked")


def uses_columns(result: ConnectResult) -> tuple[str, ...]:
    """Those that were asked for."""
    own = result.settings
    return ("path", "images", *(MEANS if own.uses else ()), *(ATTACKS if own.attack else ()))


def uses_rows(result: ConnectResult) -> Iterator[tuple[str, ...]]:
    """One for each path and part of the data."""
    for used in result.used:
        for part in _parts(used):
            cells = _means(used, part) if used.means is not None else ()
            attacked = _attacked(used.attacked, part) if used.attacked is not None else ()
            yield (used.method, part, *cells, *attacked)


def uses_sentences(result: ConnectResult) -> Iterator[str]:
    """How the numbers of that table are meant."""
    if not result.used:
        return
    first, own = result.used[0], result.settings
    if first.means is not None:
        what = "class probabilities" if _labelled(first.means.train) else "outputs"
        yield (
            f"Means are over {len(first.means.times)} points of a path, even in t: of their "
            f"weights, one network; of their {what}, an ensemble. "
            + ("" if _labelled(first.means.train) else "Numbers are losses: there are no labels.")
        ).strip()
    if own.attack is not None:
        yield (
            f"Attacked by {own.attack}, ε = {own.eps:g}: each network by itself, at 11 points of a "
            "path; no search for images is complete, so true robustness is lower or equal."
        )
    warnings = [used.warning for used in (first.means, first.attacked) if used is not None]
    yield from dict.fromkeys(filter(None, warnings))


def _parts(used: Used) -> tuple[str, ...]:
    known = ("training", used.means is not None), (
        "test", used.means is not None and used.means.test is not None
    )  # fmt: skip
    own = {name for name, there in known if there}
    own |= set() if used.attacked is None else {used.attacked.images}
    return tuple(name for name, _ in known if name in own)


def _means(used: Used, part: str) -> tuple[str, ...]:
    assert used.means is not None
    scores = used.means.train if part == "training" else used.means.test
    assert scores is not None
    ends = f"{_score(scores.first)}, {_score(scores.last)}"
    return ends, _score(scores.average), _score(scores.ensemble)


def _attacked(found: Attacked, part: str) -> tuple[str, ...]:
    if part != found.images:
        return "–", "–"
    first, last = found.attacked[0], found.attacked[-1]
    return f"{first:.2%}, {last:.2%}", f"{min(found.attacked):.2%}"


def _labelled(scores: Scores) -> bool:
    return scores.first.accuracy is not None


def _score(score: Score | None) -> str:
    if score is None:
        return "–"
    return number(score.loss, ".4g") if score.accuracy is None else f"{score.accuracy:.2%}"
