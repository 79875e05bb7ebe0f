# Each target sets up what it needs. PYTHON=python3.12 chooses another interpreter (3.10 or newer).
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: venv demo test lint clean

venv: $(STAMP)

# Written last, so that an install that was cut off is taken up again.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -e '.[test,dev]' -c constraints.txt
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/morsescape index --data digits --net mlp2 --runs 3 --out build/demo --json build/demo/index.json
	$(BIN)/morsescape spectrum --data digits --net mlp2 --out build/demo/spectrum --json build/demo/spectrum.json

# Without morsescape.critical, which is in progress and not exported yet (see CONTRIBUTING.md).
# One process a core, one thread each: small matrices gain nothing from more.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto \
		--ignore=tests/critical --ignore=src/morsescape/critical

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
