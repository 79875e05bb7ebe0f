"""What a person sees of a result: tables, sentences and progress."""

from morsescape.report.files import save_figure
from morsescape.report.index import index_rows, index_sentences, index_table
from morsescape.report.page import render, save_page
from morsescape.report.polish import polish_sentences, polish_table
from morsescape.report.progress import bars
from morsescape.report.reproduce import reproduce_page
from morsescape.report.ridge import ridge_sentences
from morsescape.report.spectrum import spectrum_sentences, spectrum_table
from morsescape.report.spectrum_picture import spectrum_picture

__all__ = [
    "bars",
    "index_rows",
    "index_sentences",
    "index_table",
    "polish_sentences",
    "polish_table",
    "render",
    "reproduce_page",
    "ridge_sentences",
    "save_figure",
    "save_page",
    "spectrum_picture",
    "spectrum_sentences",
    "spectrum_table",
]
