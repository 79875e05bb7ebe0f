"""Models and data on a GPU; skipped by name without one. What decides a sign is on the CPU."""

from __future__ import annotations

import pytest
import torch

import morsescape as ms
from morsescape.data import load
from morsescape.experiments import IndexSettings, PointSettings, run_index
from morsescape.nets import build, train

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@needs_cuda
def test_an_objective_of_a_model_on_a_gpu_is_that_of_its_copy_on_the_cpu():
    digits = load("digits", samples=60)
    model = build("cnn", image_shape=digits.image_shape, classes=10, seed=0)
    here = ms.Objective(model, "cross_entropy", (digits.x, digits.y), l2=1e-3)
    there = ms.Objective(model.cuda(), "cross_entropy", (digits.x.cuda(), digits.y.cuda()), l2=1e-3)
    assert next(model.parameters()).is_cuda  # the caller's model stays where it is
    assert there.theta.device.type == "cpu"
    assert torch.equal(there.theta, here.theta)
    assert there.value(there.theta) == here.value(here.theta)
    assert ms.inertia(there).negative == ms.inertia(here).negative


@needs_cuda
def test_training_on_a_gpu_ends_near_the_training_on_the_cpu():
    digits = load("digits", samples=200)
    losses = {
        place: train(
            build("mlp2", image_shape=digits.image_shape, classes=10, seed=0).to(place),
            digits, seed=0,
        ).loss
        for place in ("cpu", "cuda")
    }  # fmt: skip
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-2)


@needs_cuda
def test_index_counts_on_the_cpu_what_was_trained_on_a_gpu():
    settings = IndexSettings(PointSettings("mlp2", samples=100, device="cuda"), runs=1)
    (run,) = run_index(settings).runs
    low, high = run.negative
    assert 0 <= low <= high <= run.structural_upper_bound
