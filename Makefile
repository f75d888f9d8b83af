# People, hooks and CI all use these. All paths are relative: the clone may stand in a folder with spaces.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
# uv reads no pip settings: a package index that pip knows is handed on. Certificates are the system's.
INDEX := export UV_SYSTEM_CERTS=true; pip_index="$$($(BIN)/python -m pip config get global.index-url 2>/dev/null || true)"; \
	pip_index="$${PIP_INDEX_URL:-$$pip_index}"; \
	if [ -z "$$UV_DEFAULT_INDEX" ] && [ -n "$$pip_index" ]; then export UV_DEFAULT_INDEX="$$pip_index"; fi;

.PHONY: setup demo up down status test test-long check bench lock clean

setup: $(READY) ## everything that the other targets need, into .venv

$(READY): requirements/bootstrap.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; say which: make PYTHON=python3.12 …" >&2; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv || \
		{ rm -rf .venv; echo "No virtual environment: on Debian, apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	$(INDEX) $(BIN)/uv pip install --python $(BIN)/python --require-hashes --compile-bytecode -r requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --offline --no-deps --no-build-isolation -e .
	@$(BIN)/python -m evergreen.stack.openmp
	$(BIN)/python -m compileall -q include/evergreen plugins
	@touch $(READY)

demo: $(READY) ## a model's life on real data: make demo [EXAMPLE=bikes CSV=path/to/hour.csv]
	@$(BIN)/evergreen demo $(if $(EXAMPLE),--example "$(EXAMPLE)") $(if $(CSV),--csv "$(CSV)")

up: $(READY) ## start the instance that was used last and leave it running
	@$(BIN)/evergreen up $(if $(INSTANCE),--instance "$(INSTANCE)")

down: $(READY) ## stop it
	@$(BIN)/evergreen down $(if $(INSTANCE),--instance "$(INSTANCE)")

status: $(READY) ## what runs
	@$(BIN)/evergreen status $(if $(INSTANCE),--instance "$(INSTANCE)")

test: $(READY) ## all tests that need no cluster and no container engine: make test [ARGS="-k name"]
	$(BIN)/python -m pytest $(ARGS)

test-long: $(READY) ## the same tests and more, none of them sampled: an hour
	EVERGREEN_LONG=1 EVERGREEN_LIVES=$${EVERGREEN_LIVES:-200} $(BIN)/python -m pytest -m "" $(ARGS)

check: $(READY) ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) ## the benchmark table, also in .evergreen/bench/results.json: make bench [ARGS=large]
	$(BIN)/python tests/bench/run.py $(ARGS)

lock: $(READY) ## resolve requirements/*.txt afresh: make lock [ARGS=--upgrade]
	$(LOCK) $(ARGS) --extra dev -o requirements/dev.txt
	$(LOCK) $(ARGS) --extra airflow -c requirements/dev.txt -o requirements/airflow.txt
	$(LOCK) $(ARGS) -c requirements/dev.txt -o requirements/library.txt
	echo uv | $(subst pyproject.toml,-,$(LOCK)) $(ARGS) -o requirements/bootstrap.txt

clean: ## delete environment, caches and the state of all instances, for good
	@[ ! -x $(BIN)/evergreen ] || $(BIN)/evergreen down --all --remove
	rm -rf .evergreen .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
