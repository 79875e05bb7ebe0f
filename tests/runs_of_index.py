"""Runs of `index` for tests, made up."""

from morsescape.experiments.index.study import IndexRun
from morsescape.nets import Recipe
from morsescape.spectrum.inertia import InertiaStatus

RECIPE = Recipe("adam", 0.003, 15)


def a_run(seed, negative, null=(50, 50), naive=(36, 24), **other):
    usual = {
        "seed": seed, "n_params": 552, "n_samples": 60_000, "l2": 0.0, "loss": 0.2, "value": 0.2,
        "accuracy": 0.9, "grad_norm": 0.25, "negative": negative, "null": null,
        "positive": (0, 552), "radius": 1e-12, "radius_parts": {},
        "null_explained": {"softmax shift": 50}, "null_residuals": {},
        "structural_upper_bound": 52, "structural_reason": "it is affine", "not_smooth": ("relu",),
        "kinks": 0, "status": InertiaStatus.PROVED, "conclusion": "it is proved",
        "training": "all epochs done", "training_done": True, "recipe": RECIPE, "smallest": -1.0,
        "largest": 1.0, "raw_negative": dict(zip(("float32", "float64"), naive, strict=True)),
        "seconds": {},
    }  # fmt: skip
    return IndexRun(**(usual | other))
