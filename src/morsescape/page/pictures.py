"""Figures as files."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from morsescape.store import write_bytes_atomic


def save_figure(
    drawn: Figure | Axes,
    stem: str | os.PathLike[str],
    formats: Sequence[str] = ("png", "pdf"),
    dots: int = 200,
) -> list[Path]:
    """Write STEM.png and so on, each whole or not at all, `dots` per inch.

    Raises:
        DataError: the disk is full, or the folder cannot be written.

    Example:
        >>> import tempfile
        >>> from morsescape.figures import spectrum_linear
        >>> ax = spectrum_linear([-1.0, 2.0], 1e-9)
        >>> [path.name for path in save_figure(ax, f"{tempfile.mkdtemp()}/spectrum")]
        ['spectrum.png', 'spectrum.pdf']
    """
    figure = drawn.figure.figure  # the root, also of axes in a part of a figure
    paths = [Path(f"{os.fspath(stem)}.{kind}") for kind in formats]
    for path, kind in zip(paths, formats, strict=True):
        content = io.BytesIO()
        figure.savefig(content, format=kind, dpi=dots)
        write_bytes_atomic(path, content.getvalue())
    return paths
