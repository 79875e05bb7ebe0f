"""`progress=True`: bars while a call lasts, where somebody watches."""

import pytest
import torch

import morsescape as ms

HIMMELBLAU = ms.zoo.himmelblau.objective()
MINIMA = [ms.find_critical_point(HIMMELBLAU, start) for start in ([3.0, 2.0], [-2.8, 3.1])]
CALLS = [
    ("Hessian", lambda **p: ms.inertia(_network(), **p)),
    ("rounds", lambda **p: ms.escape(_network(), **p)),
    ("search", lambda **p: ms.find_critical_point(HIMMELBLAU, [1.0, 1.0], **p)),
    ("boxes", lambda **p: ms.all_critical_points(HIMMELBLAU, box=5.0, **p)),
    ("path", lambda **p: ms.connect(HIMMELBLAU, *MINIMA, **p)),
    ("paths", lambda **p: ms.connected(HIMMELBLAU, MINIMA, method="line", **p)),
    ("bisection", lambda **p: ms.find_saddle(HIMMELBLAU, tuple(MINIMA), **p)),
    ("minima joined", lambda **p: ms.morse_graph(HIMMELBLAU, MINIMA, retries=0, most=1, **p)),
]


def _network():
    torch.manual_seed(0)
    x, y = torch.randn(20, 3), torch.randint(0, 2, (20,))
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    return ms.Objective(model, "cross_entropy", (x, y))


@pytest.mark.parametrize(("stage", "call"), CALLS)
def test_true_draws_the_stages(stage, call, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # for rich: a terminal
    call(progress=True)
    assert stage in capsys.readouterr().err


def test_nothing_is_drawn_where_nobody_watches(capsys):
    ms.find_critical_point(HIMMELBLAU, [1.0, 1.0], progress=True)
    assert capsys.readouterr() == ("", "")


def test_bars_end_with_the_call_whatever_happens(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")

    def stop(*_):
        raise KeyboardInterrupt

    for _ in range(2):  # a display that is still there would refuse a second one
        with pytest.raises(KeyboardInterrupt):
            ms.find_critical_point(HIMMELBLAU, [1.0, 1.0], progress=True, callback=stop)
    assert capsys.readouterr().err.count("\x1b[?25h") == 2  # the cursor is there again


@pytest.mark.usefixtures("unchecked")
def test_what_is_no_function_is_refused():
    with pytest.raises(ms.ArgumentError, match="progress: expected a function of 3 arguments"):
        ms.inertia(HIMMELBLAU, [0.0, 0.0], progress=1)
