"""Every result says in a notebook what it is, briefly and escaped, and our notebook runs."""

import enum
import json
import re
from pathlib import Path

import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import morsescape as ms
from morsescape.notebook import Shown, html_table

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))
TYPES = [
    kind
    for kind in (getattr(ms, name) for name in ms.__all__)  # imported when asked for
    if isinstance(kind, type) and not issubclass(kind, Exception | enum.Enum)
]
TAGS = {"table", "tr", "th", "td", "p"}


def cells(file):
    notebook = json.loads(file.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs_and_each_of_its_last_lines_can_be_shown(file):
    names = {}
    for cell in cells(file):
        *body, last = "".join(cell["source"]).splitlines()
        exec("\n".join(body), names)
        try:
            value = eval(last, names)
        except SyntaxError:
            exec(last, names)
            continue
        assert isinstance(value, Shown | Figure | tuple)
    assert names["path"].height.high < names["line"].height.low
    assert names["points"].complete
    assert names["points"].counts == (4, 4, 1)
    assert names["graph"].threshold is not None


def test_there_are_notebooks_without_outputs():
    assert NOTEBOOKS
    for file in NOTEBOOKS:
        assert all(not cell["outputs"] for cell in cells(file))


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_every_public_result_can_be_shown(kind):
    assert issubclass(kind, Shown)


@pytest.fixture(scope="module")
def results():
    f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + t[1] ** 2, 2)
    ends = [ms.find_critical_point(f, torch.tensor([x, 0.1], dtype=torch.float64)) for x in (-1, 1)]
    graph = ms.morse_graph(f, ends)
    path = ms.connect(f, *ends)
    box = 2.0
    hessian = f.hessian_at([0.0, 0.0])
    found = [
        f, hessian, ms.inertia(hessian), ms.inertia(hessian, method="eigh"), *ends,
        ends[0].certificate, path, path.height, path.curve, ms.connected(f, ends), graph,
        graph.merge_tree(), graph.passes[0], ms.all_critical_points(f, box=box), ms.plan(f),
        ms.sublevel_homology(f, box, 16), ms.krawczyk(f, ends[0].theta),
        ms.count_by_eigh(hessian.dense(), 0.0), ms.escape(f, [0.5, 0.1]),
        ms.capture_ball(f, ends[0]), ms.third_order_minimum(f, [0.5, 0.1]),
    ]  # fmt: skip
    return {f"{k} {type(one).__name__}": one for k, one in enumerate(found)}


def test_what_is_shown_is_short_and_escaped(results):
    for name, one in results.items():
        html = one._repr_html_()
        assert html.startswith("<table><tr><th>"), name
        assert len(html) < 2000, name
        assert {*re.findall(r"</?(\w+)", html)} <= TAGS, name
    assert html_table([("<b>", "<i>")], below="<u>") == (
        "<table><tr><th>&lt;b&gt;</th><td>&lt;i&gt;</td></tr></table><p>&lt;u&gt;</p>"
    )


def test_what_can_be_drawn_is_drawn(results):
    drawn = set()
    for name, one in results.items():
        if not hasattr(one, "plot"):
            continue
        if isinstance(one, ms.Inertia) and one.eigenvalues is None:
            with pytest.raises(ms.ArgumentError, match="eigh"):
                one.plot()
            continue
        ax = one.plot()
        assert isinstance(ax, Axes), name
        assert isinstance(ax.figure, Figure), name
        drawn.add(type(one))
    assert drawn >= {
        ms.Barcode, ms.Connected, ms.CriticalPoint, ms.CriticalSet, ms.Escape, ms.Height,
        ms.Inertia, ms.MergeTree, ms.MorseGraph, ms.Pass, ms.Path,
    }  # fmt: skip


def test_the_signs_are_shown_with_what_they_rest_on(results):
    html = next(one for one in results.values() if isinstance(one, ms.Inertia))._repr_html_()
    assert "<th>radius</th>" in html
    assert "<th>index at most</th>" in html
