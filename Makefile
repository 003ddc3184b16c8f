PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# On a terminal pip draws its progress; a log gets a line for each package.
PIP_SHOWS := $(shell test -t 2 && echo --progress-bar on || echo --progress-bar off)

# Many tests wait for other processes or for the clock, so one more than there are processors.
WORKERS := $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )))

.PHONY: help setup test test-slow test-uvloop screens lint format demo docs pictures bench clean

help:
	@echo "make test    set everything up in $(VENV) and run the tests"
	@echo "make test-slow   the long attacks on the program"
	@echo "make test-uvloop the tests of requests and of many numbers, with uvloop"
	@echo "make screens     write the kept screens under tests/terminal/screens anew"
	@echo "make lint    check format, style, types and the order of the packages"
	@echo "make demo    what wacoex does, in a minute, against a pretend Meta on this machine"
	@echo "make docs    print anew what README, docs and the man page show of the commands"
	@echo "make pictures    make the pictures of the README anew (needs chromium)"
	@echo "make bench   the measurements, one after the other (about 65 minutes)"

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("wacoex needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	@echo "1/3 an environment of its own in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@echo "2/3 wacoex and the packages it needs; this takes a minute or two"
	@$(BIN)/python -m pip install $(PIP_SHOWS) --disable-pip-version-check --editable '.[dev]'
	@echo "3/3 installed"
	@touch $@

test: setup
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

test-slow: setup
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m slow

# All other tests run in the event loop of an installation without the extra.
test-uvloop: setup
	$(BIN)/python -m pip install $(PIP_SHOWS) --disable-pip-version-check --editable '.[fast]'
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal tests/foundation/test_connections.py \
		tests/foundation/test_workspace.py tests/broadcast/test_several.py; \
	status=$$?; $(BIN)/python -m pip uninstall --quiet --yes uvloop; exit $$status

screens: setup
	WRITE_SCREENS=1 $(BIN)/python -m pytest -q tests/terminal/test_screens.py

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

demo: setup
	@$(BIN)/wacoex demo

docs: setup
	$(BIN)/python -m docs.tools.reference
	$(BIN)/python -m tests.support.consoles

pictures: setup
	$(BIN)/python -m docs.tools.pictures

bench: setup
	failed=0; for script in transport rate controller storms shared_budget respondio against_sequential kills large workbook listen many_events many_channels many_numbers bulk board doctor_online startup wording; do \
		$(BIN)/python -m tests.bench.$$script || failed=1; \
	done; exit $$failed

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
