# Two commands matter: `make book` builds the site from a bare clone, `make test` checks everything.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

export PYTHONPATH := $(CURDIR)/code

.PHONY: book test serve notebooks bench full chapter lock clean

book: $(READY) ## execute what is out of date, build the site in _build/html
	$(BIN)/python -m press build

test: book ## every check: unit, parity, architecture, press, notebooks, site
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest tests/test_budgets.py # alone: it measures
	$(BIN)/python -m pytest --ignore tests/test_budgets.py --numprocesses 2 --dist worksteal --durations 15

serve: book ## read the site on http://localhost:8000
	$(BIN)/python -m press serve

notebooks: book ## the clean notebooks, in _build/html/notebooks
	@find _build/html/notebooks -name '*.ipynb'

bench: $(READY) ## ours beside the library that does the same, in turn in one run
	@for script in tests/bench/bench_*.py; do $(BIN)/python $$script || exit 1; done

full: $(READY) ## PART=generative: execute a part (or all) with real data, one chapter after the other
	WORKED_PROFILE=full $(BIN)/python -m press --jobs 1 execute $(PART)

chapter: $(READY) ## PART=graphs NAME=my-chapter: begin a chapter
	$(BIN)/python -m press chapter $(PART) $(NAME)

lock: $(READY) ## resolve pyproject.toml anew into requirements.txt
	$(BIN)/python -m pip install --quiet uv
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/python -m uv pip compile pyproject.toml --universal \
		--python-version 3.11 --extra build --extra test --upgrade --quiet --output-file requirements.txt

clean: ## remove what was built; the environment stays
	rm -rf _build build

$(READY): requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $@
