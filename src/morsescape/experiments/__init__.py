"""The studies of the paper: settings in, results out, nothing printed.

Each has a folder: `study` (settings, result, run), `words` (tables, sentences, its section of the
page), `figure` (functions of arrays that draw into axes) and `command` (the command line).
"""

from typing import TYPE_CHECKING

from morsescape.lazy import lazily

if TYPE_CHECKING:
    from morsescape.experiments.index.study import IndexResult, IndexSettings, index_run, run_index
    from morsescape.experiments.point import PointSettings
    from morsescape.experiments.polish.study import PolishResult, PolishSettings, run_polish
    from morsescape.experiments.reproduce.study import (
        ReproduceResult,
        ReproduceSettings,
        run_reproduce,
    )
    from morsescape.experiments.scatter.study import ScatterResult, ScatterSettings, run_scatter
    from morsescape.experiments.spectrum.study import SpectrumResult, SpectrumSettings, run_spectrum

__getattr__, __dir__ = lazily(__name__, {  # the same, when first used
    "index.study": "IndexResult IndexSettings index_run run_index",
    "point": "PointSettings",
    "polish.study": "PolishResult PolishSettings run_polish",
    "reproduce.study": "ReproduceResult ReproduceSettings run_reproduce",
    "scatter.study": "ScatterResult ScatterSettings run_scatter",
    "spectrum.study": "SpectrumResult SpectrumSettings run_spectrum",
})  # fmt: skip

__all__ = [
    "IndexResult",
    "IndexSettings",
    "PointSettings",
    "PolishResult",
    "PolishSettings",
    "ReproduceResult",
    "ReproduceSettings",
    "ScatterResult",
    "ScatterSettings",
    "SpectrumResult",
    "SpectrumSettings",
    "index_run",
    "run_index",
    "run_polish",
    "run_reproduce",
    "run_scatter",
    "run_spectrum",
]
