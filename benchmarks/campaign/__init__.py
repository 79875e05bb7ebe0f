"""Random cases against exact oracles: what `benchmarks/campaign.py` runs.

`exact` is second-order arithmetic on python-flint's balls, `definitions`, `images`,
`activations` and `losses` what torch's layers and losses mean in it; they look neither at torch's
derivatives nor at the package. `planted`, `functions`, `models` and `searches` draw cases, `checks`
compares what the package says of them with the truth, `breaks` damages one rule of the package on
purpose, `runner` and `summary` do many and write them down. `recipes` has a small model of each
part.
"""
