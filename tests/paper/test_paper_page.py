"""docs/paper.md gets every picture of a section, each figure a file of its own."""

from dataclasses import replace

from morsescape.page import Picture, Section
from paper import page
from sample_page import figure, sample_page


def test_every_figure_is_a_file_that_the_text_shows(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "DOCS", tmp_path)
    picture = Picture((figure(2, 2), figure(2, 2)), "Two.", "A row.")
    section = Section("Rows", "rows", ("Found.",), pictures=(picture, replace_one(picture)))
    text = "\n".join(page.markdown(section))
    files = ["rows-0-0.png", "rows-0-1.png", "rows-1.png"]
    assert sorted(file.name for file in (tmp_path / "pictures" / "paper").iterdir()) == files
    assert all(f"![Two.](pictures/paper/{file})" in text for file in files)


def replace_one(picture):
    return replace(picture, figure=picture.figures[0])


def test_a_column_of_dashes_is_left_out():
    table = replace(sample_page().sections[0].tables[0], columns=("a", "b"), rows=(("c", "–"),))
    section = Section("Tables", "t", (), (table,))
    assert "| a |" in "\n".join(page.markdown(section))
