"""From a start to a critical point: kept, resumed, and honest about what was found."""

from dataclasses import replace

import pytest
import torch

from morsescape.critical import CertificateStatus
from morsescape.errors import ArgumentError
from morsescape.experiments import PointSettings, PolishSettings, run_polish
from morsescape.experiments.polish import study as polish
from morsescape.store import RunFolder

SMOOTH = PointSettings(
    "cnn", at="random", samples=20, activation="tanh", pool="avg", l2=0.1
)  # fmt: skip


def folder_of(path, settings):
    return RunFolder(path, settings.identity())


@pytest.mark.parametrize("every", [0.0, 1e9])  # every step; only the last one, at the interrupt
def test_an_interrupted_search_goes_on_and_ends_at_the_same_point(tmp_path, monkeypatch, every):
    settings = PolishSettings(SMOOTH)
    whole = run_polish(settings)
    monkeypatch.setattr(polish, "_KEEP_EVERY", every)
    calls = 0

    def interrupt(stage, done, total):
        nonlocal calls
        calls += stage == "search"
        if calls == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_polish(settings, folder_of(tmp_path, settings), interrupt)
    assert list(tmp_path.glob("search-*.json"))
    said = []
    rest = run_polish(settings, folder_of(tmp_path, settings), notice=said.append)
    assert "the search goes on after" in said[0]
    assert rest.found.steps < whole.found.steps
    assert torch.linalg.vector_norm(rest.found.theta - whole.found.theta) < 1e-6
    assert rest.found.index == whole.found.index == 0
    again = run_polish(settings, folder_of(tmp_path, settings), notice=said.append)
    assert "found already" in said[-1]
    assert again.to_json() == rest.to_json()


def test_a_resumed_search_never_writes_over_the_last_step_kept(tmp_path):
    settings = PolishSettings(SMOOTH)
    folder = folder_of(tmp_path, settings)
    theta = torch.zeros(3).double()
    for key, seconds in (("search-0", 1.0), ("search-1", 2.0)):
        folder.save(key, {"seconds": seconds}, {"theta": theta + seconds})
    kept, spent, place = polish._so_far(folder, theta)
    assert (float(kept[0]), spent) == (2.0, 2.0)
    keeper = polish._Keeper(folder, spent, place)
    keeper(theta, 0.0, 0.0)
    keeper.keep()
    assert folder.load("search-1").payload["seconds"] == 2.0
    assert folder.load("search-0").payload["seconds"] > 2.0


def test_the_conclusion_says_nothing_of_how_long_it_took():
    result = run_polish(PolishSettings(SMOOTH))
    slower = replace(result, found=replace(result.found, seconds=1e6, steps=99_999))
    first, second = (r.to_json()["found"]["conclusion"] for r in (result, slower))
    assert first == second
    assert "index 0" in first
    assert " s)" not in first


def test_what_is_printed_of_the_index_depends_on_the_certificate():
    from morsescape.experiments.polish.words import polish_sentences

    result = run_polish(PolishSettings(SMOOTH))

    def said(status, reason):
        certificate = replace(result.found.certificate, status=status, reason=reason)
        found = replace(result.found, certificate=certificate)
        return " ".join(polish_sentences(replace(result, found=found)))

    guess = said(CertificateStatus.ESTIMATE, "a rule is missing")
    assert "(an estimate, not proved: a rule is missing)" in guess
    assert "likely but not proved" in guess
    assert "0, proved" not in guess
    sure = said(CertificateStatus.PROVED, "")
    assert "Index: 0, proved, of a critical point within" in sure
    assert "not proved" not in sure


def test_what_is_printed_says_how_sure_it_is():
    from morsescape.experiments.polish.words import polish_sentences

    result = run_polish(PolishSettings(PointSettings("cnn", at="random", samples=10, l2=0.1)))
    text = " ".join(polish_sentences(result))
    assert "Morse theory does not apply" in text
    assert result.found.index is None
    assert "Index: not known" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "maximum"}, r"--target: expected minimum \| nearest"),
        ({"method": "adam"}, r"--method: expected auto \| lbfgs"),
        ({"method": "levenberg"}, "method: expected levenberg for target 'nearest'"),
        ({"tol": 0.0}, "--tol: expected a positive number; got 0.0"),
        ({"max_steps": 0}, "--max-steps: expected a positive number; got 0"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises(ArgumentError, match=message):
        PolishSettings(SMOOTH, **changes)


def test_a_limit_of_steps_is_a_whole_number(unchecked):
    message = r"--max-steps: expected a positive number, an integer; got 2\.5"
    with pytest.raises(ArgumentError, match=message):
        PolishSettings(SMOOTH, max_steps=2.5)
