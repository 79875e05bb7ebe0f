"""Roughly how long the pieces of a reproduction take, from runs on two cores of a small machine."""

from __future__ import annotations

# Seconds of one core for a piece: whatever the images are, and for 60,000 of them.
_KINDS = {
    "tables": (2.0, 140.0), "spectra": (1.0, 260.0), "scatter": (0.0, 470.0),
    "linear": (15.0, 0.0), "connect": (40.0, 300.0), "tree": (65.0, 0.0),
}  # fmt: skip
_CNN_PAIR = 60.0  # whatever the images are: it takes 200 of them
_DIGITS = 1797


def roughly(key: str, samples: int | None) -> float:
    """Seconds of one core for the piece of this key.

    Example:
        >>> roughly("tables/cnn-mnist-trained:seed-0", None), roughly("linear:all", None)
        (142.0, 15.0)
    """
    if key.startswith("connect/cnn"):
        return _CNN_PAIR
    kind = key.partition("/")[0].partition(":")[0]
    fixed, of_images = _KINDS.get(kind, (60.0, 0.0))
    images = min(60_000 if samples is None else samples, _DIGITS if "digits" in key else 60_000)
    return fixed + of_images * images / 60_000
