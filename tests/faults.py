"""Failures of the system, made on purpose."""

import os


def fail_at_call(monkeypatch, number, error):
    """Let the system's rename fail once, at its call of that number."""
    calls, replace = [], os.replace

    def failing(source, target):
        calls.append(target)
        if len(calls) == number:
            raise error
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)


def names(path) -> set[str]:
    return {file.name for file in path.iterdir()}
