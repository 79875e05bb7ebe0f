"""What a person sees of a result: tables, sentences and progress."""

from morsescape.report.files import save_figure
from morsescape.report.index import index_rows, index_sentences, index_table
from morsescape.report.polish import polish_sentences, polish_table
from morsescape.report.progress import bars
from morsescape.report.spectrum import spectrum_sentences, spectrum_table

__all__ = [
    "bars",
    "index_rows",
    "index_sentences",
    "index_table",
    "polish_sentences",
    "polish_table",
    "save_figure",
    "spectrum_sentences",
    "spectrum_table",
]
