"""One document of a result: its tables, its pictures, and numbers as people read them."""

from morsescape.page.engine import Page, PageTable, Picture, Section, Story, render, save_page
from morsescape.page.pictures import save_figure
from morsescape.page.readable import rounded_down, rounded_up
from morsescape.page.svg import levels_at, words_at

__all__ = [
    "Page",
    "PageTable",
    "Picture",
    "Section",
    "Story",
    "levels_at",
    "render",
    "rounded_down",
    "rounded_up",
    "save_figure",
    "save_page",
    "words_at",
]
