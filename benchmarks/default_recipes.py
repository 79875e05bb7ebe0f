"""Accuracy and time of the default recipes: the table in `morsescape.nets.default_recipe`.

    python benchmarks/default_recipes.py [--root DIR] [--data mnist fashion-mnist digits]

Seeds 0 to 2, each of the initialisation and of the order of the samples, on one thread.
"""

import argparse

import torch

from morsescape.data import NAMES as DATA
from morsescape.data import load
from morsescape.nets import NAMES as NETS
from morsescape.nets import build, train


def main() -> None:
    """Train each network three times on each data set and print one line for each pair."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--root")
    parser.add_argument("--data", nargs="+", default=DATA, choices=DATA)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.data:
        data = load(name, args.root)
        for net in NETS:
            models = [build(net, image_shape=data.image_shape, seed=seed) for seed in range(3)]
            results = [train(model, data, seed=seed) for seed, model in enumerate(models)]
            accuracies = " ".join(f"{result.accuracy:6.2%}" for result in results)
            seconds = max(result.seconds for result in results)
            print(f"{name:14} {net:5} {accuracies}   {seconds:5.1f} s at most")


if __name__ == "__main__":
    main()
