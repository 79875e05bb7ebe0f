# Each target sets up what it needs. PYTHON=python3.12 chooses another interpreter (3.10 or newer).
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

DOCS := .venv-docs/bin
DOCS_STAMP := .venv-docs/.installed

BENCH := .venv-bench/bin
BENCH_STAMP := .venv-bench/.installed
# Folder of MNIST in torchvision's layout; empty: MORSESCAPE_DATA, the user's cache or the mirrors.
ROOT ?=
FROM := $(if $(ROOT),--root $(ROOT))

.PHONY: venv demo test lint docs bench bench-large campaign clean

venv: $(STAMP)

# Written last, so that an install that was cut off is taken up again.
$(STAMP): pyproject.toml constraints.txt src/morsescape/version.py
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -e '.[test,dev]' -c constraints.txt
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/morsescape reproduce --data digits --runs 3 --members 60 --out build/demo

# One process a core, one thread each: small matrices gain nothing from more. Each starts with a
# part of the files, so that what is shared in a file is made once, and takes from the other's end.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist worksteal

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What the extra `docs` names and nothing else: the sources are read, not run. Python 3.11 or newer.
$(DOCS_STAMP): pyproject.toml
	test -x $(DOCS)/python || $(PYTHON) -m venv .venv-docs
	$(DOCS)/python -c "import tomllib as t; print(*t.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['docs'])" \
		| xargs $(DOCS)/python -m pip install --quiet
	touch $(DOCS_STAMP)

docs: $(DOCS_STAMP)
	$(DOCS)/zensical build --clean --strict

$(BENCH_STAMP): pyproject.toml benchmarks/requirements.txt
	test -x $(BENCH)/python || $(PYTHON) -m venv .venv-bench
	$(BENCH)/python -m pip install --quiet -e . -r benchmarks/requirements.txt
	touch $(BENCH_STAMP)

# Half an hour on two cores that do nothing else. What is in build/bench is not measured again.
bench: $(BENCH_STAMP)
	$(BENCH)/python benchmarks/hessian_scaling.py $(FROM)
	$(BENCH)/python benchmarks/radii.py $(FROM)
	$(BENCH)/python benchmarks/sign_counts.py $(FROM)
	$(BENCH)/python benchmarks/hessian_peers.py $(FROM)
	$(BENCH)/python benchmarks/ensemble.py $(FROM) --samples 10000
	$(BENCH)/python benchmarks/bands.py $(FROM)
	$(BENCH)/python benchmarks/killed.py
	$(BENCH)/python benchmarks/page.py

# 20 GiB and most of an hour.
bench-large: $(BENCH_STAMP)
	$(BENCH)/python benchmarks/large.py $(FROM)
	$(BENCH)/python benchmarks/page.py

# Random cases against exact oracles. 20,000 take hours; what is in build/campaign.jsonl is kept.
CASES ?= 20000
campaign: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/campaign.py --cases $(CASES)
	$(BIN)/python benchmarks/campaign.py --page

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
