"""A point of the settings in words: its name in a table, its options on the command line."""

from __future__ import annotations

from dataclasses import fields

from morsescape.experiments.point import PointSettings

_PLACES = ("root",)  # it does not change the results


def point_name(point: PointSettings) -> str:
    """The setting, and what of it is not the paper's.

    Example:
        >>> point_name(PointSettings("cnn", "mnist", activation="tanh", pool="avg"))
        'cnn, mnist, trained, tanh, avg pooling'
    """
    if point.objective is not None:
        return point.objective
    pool = f"{point.pool} pooling" if point.net == "cnn" and point.pool != "max" else ""
    activation = "" if point.activation == "relu" else point.activation
    shift = f"λ = {point.l2:g}" if point.l2 else ""
    other = (point.checkpoint, point.optimizer, activation, pool, shift)
    return ", ".join([point.net, point.data, point.at, *filter(None, other)])


def point_options(point: PointSettings, seed: int = 0) -> str:
    """The options that name this point to a command, with a space before each.

    Example:
        >>> "morsescape spectrum" + point_options(PointSettings("cnn", "mnist"), seed=5)
        'morsescape spectrum --net cnn --data mnist --root DIR --seed 5'
    """
    usual, words = PointSettings(), []
    for name in (field.name for field in fields(PointSettings) if field.name not in _PLACES):
        value = getattr(point, name)
        if value != getattr(usual, name):
            words.append(f" --{name} {value}")
        if name == "data" and value != usual.data:
            words.append(" --root DIR")
    return "".join(words) + (f" --seed {seed}" if seed else "")
