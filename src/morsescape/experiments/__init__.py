"""The studies of the paper: settings in, results out, nothing printed.

Each has a folder: `study` (settings, result, run), `words` (tables, sentences, its section of the
page), `figure` (functions of arrays that draw into axes) and `command` (the command line).
"""

from typing import TYPE_CHECKING

from morsescape.lazy import lazily

if TYPE_CHECKING:
    from morsescape.experiments.citation import Published, published
    from morsescape.experiments.index.figure import CountRow, index_bars
    from morsescape.experiments.index.study import (
        IndexResult,
        IndexRun,
        IndexSettings,
        index_run,
        run_index,
    )
    from morsescape.experiments.index.words import index_rows, index_sentences, index_table
    from morsescape.experiments.linear.study import LinearResult, LinearSettings, linear_run
    from morsescape.experiments.point import PointSettings
    from morsescape.experiments.polish.study import PolishResult, PolishSettings, run_polish
    from morsescape.experiments.polish.words import polish_sentences, polish_table
    from morsescape.experiments.registry import PARTS, STUDIES
    from morsescape.experiments.reproduce.study import (
        ReproduceResult,
        ReproduceSettings,
        asked,
        run_reproduce,
    )
    from morsescape.experiments.reproduce.words import reproduce_page
    from morsescape.experiments.ridge.study import RidgeCurve
    from morsescape.experiments.ridge.words import ridge_sentences
    from morsescape.experiments.scatter.study import ScatterResult, ScatterSettings, run_scatter
    from morsescape.experiments.spectrum.figure import spectrum_picture
    from morsescape.experiments.spectrum.study import SpectrumResult, SpectrumSettings, run_spectrum
    from morsescape.experiments.spectrum.words import spectrum_sentences, spectrum_table

__getattr__, __dir__ = lazily(__name__, {  # the same, when first used
    "citation": "Published published",
    "index.figure": "CountRow index_bars",
    "index.study": "IndexResult IndexRun IndexSettings index_run run_index",
    "index.words": "index_rows index_sentences index_table",
    "linear.study": "LinearResult LinearSettings linear_run",
    "point": "PointSettings",
    "polish.study": "PolishResult PolishSettings run_polish",
    "polish.words": "polish_sentences polish_table",
    "registry": "PARTS STUDIES",
    "reproduce.study": "ReproduceResult ReproduceSettings asked run_reproduce",
    "reproduce.words": "reproduce_page",
    "ridge.study": "RidgeCurve",
    "ridge.words": "ridge_sentences",
    "scatter.study": "ScatterResult ScatterSettings run_scatter",
    "spectrum.figure": "spectrum_picture",
    "spectrum.study": "SpectrumResult SpectrumSettings run_spectrum",
    "spectrum.words": "spectrum_sentences spectrum_table",
})  # fmt: skip

__all__ = [
    "PARTS",
    "STUDIES",
    "CountRow",
    "IndexResult",
    "IndexRun",
    "IndexSettings",
    "LinearResult",
    "LinearSettings",
    "PointSettings",
    "PolishResult",
    "PolishSettings",
    "Published",
    "ReproduceResult",
    "ReproduceSettings",
    "RidgeCurve",
    "ScatterResult",
    "ScatterSettings",
    "SpectrumResult",
    "SpectrumSettings",
    "asked",
    "index_bars",
    "index_rows",
    "index_run",
    "index_sentences",
    "index_table",
    "linear_run",
    "polish_sentences",
    "polish_table",
    "published",
    "reproduce_page",
    "ridge_sentences",
    "run_index",
    "run_polish",
    "run_reproduce",
    "run_scatter",
    "run_spectrum",
    "spectrum_picture",
    "spectrum_sentences",
    "spectrum_table",
]
