"""Set-up shared by all tests. Imports nothing of the package: the type checks hook in later."""

from __future__ import annotations

import gc

import jaxtyping
import pytest
from hypothesis import HealthCheck, settings

import type_checks

# The same examples in each run, and no limit of time on a shared machine.
settings.register_profile(
    "repeatable", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")

type_checks.install()


def pytest_collection_finish() -> None:
    """What was imported stays: the collector need not go through it again and again."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, by name, what needs files of a data set that are not here. Nothing is downloaded."""
    for mark in item.iter_markers("real_data"):
        (name,) = mark.args
        if not _is_here(name):
            pytest.skip(f"{name} is not here: set MORSESCAPE_DATA to the folder that holds it")


def _is_here(name: str) -> bool:
    from morsescape.data import files

    source = files.SOURCES[name]
    folder = (files.user_root(None) or files.cache_folder()) / source.folder
    return all((folder / s).exists() or (folder / f"{s}.gz").exists() for s in source.md5)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the type checks of the tests: what a user sees who passes a wrong shape or type."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def unprobed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objectives are not refused when they are made: what comes after has guards of its own."""
    monkeypatch.setattr("morsescape.objective.check_derivatives", lambda *_: ())
    monkeypatch.setattr("morsescape.model.network.check_derivatives", lambda *_: ())
