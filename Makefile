PYTHON ?= python3
BIN := .venv/bin
DEMO := tusd_py/web/demo/static/tus.min.js

.PHONY: run test lint format docs clean

run: .venv/run.stamp ## a server for trying things, on http://127.0.0.1:8000
	@sh tools/tus-js-client.sh $(DEMO) || true
	@exec $(BIN)/tusd-py dev $(ARGS)

test: .venv/test.stamp ## every test, with real clients and a real browser
	@sh tools/need.sh npm:npm curl:curl chromium:chromium nginx:nginx-light
	@sh tools/tus-js-client.sh $(DEMO)
	$(BIN)/pytest -n auto --dist loadgroup $(ARGS)

lint: .venv/test.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: .venv/test.stamp
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: .venv/test.stamp ## rewrite what is generated from the code
	$(BIN)/python -m tests.docs

clean:
	rm -rf .venv node_modules $(DEMO) build *.egg-info

.venv/run.stamp: pyproject.toml
	@sh tools/venv.sh $(PYTHON)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/test.stamp: pyproject.toml
	@sh tools/venv.sh $(PYTHON)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test,lint]'
	@touch $@
