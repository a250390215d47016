PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= $(shell expr $$(nproc) + 1)
DEMO := tusd_py/web/demo/static/tus.min.js
PAGE := tusd_py/web/openapi/static/scalar.js

.PHONY: run page test nightly image-test bench lint format docs fuzz properties lock audit clean

run: .venv/run.stamp ## a server for trying things, on http://127.0.0.1:8000
	@sh tools/tus-js-client.sh $(DEMO) || true
	@sh tools/api-docs.sh $(PAGE) || true
	@exec $(BIN)/tusd-py dev $(ARGS)

page: ## the page /docs, to be put into an image or a wheel
	@sh tools/api-docs.sh $(PAGE)

test: .venv/test.stamp ## every test, with real clients and a real browser
	@sh tools/need.sh npm:npm curl:curl chromium:chromium nginx:nginx-light \
		caddy:caddy haproxy:haproxy systemd-analyze:systemd \
		faketime:faketime mount:mount strace:strace unshare:util-linux
	@sh tools/tus-js-client.sh $(DEMO)
	@sh tools/api-docs.sh $(PAGE)
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup $(ARGS)

nightly: .venv/test.stamp ## 200 rounds of kill -9; a minute a parser; the other event loop; every way, every store
	KILL_ROUNDS=$${KILL_ROUNDS:-200} KILL_SEED=$${KILL_SEED:-$$(date +%Y%m%d)} \
		$(BIN)/pytest -n $(WORKERS) --dist loadgroup tests/faults/kill/test_rounds.py $(ARGS)
	FUZZ_SECONDS=60 $(BIN)/pytest -n $(WORKERS) --dist loadgroup tests/fuzz $(ARGS)
	TESTS_LOOP=uvloop $(BIN)/pytest -n $(WORKERS) --dist loadgroup \
		tests/contracts tests/faults tests/unit/web $(ARGS)
	TESTS_LOOP=asyncio $(BIN)/pytest -n $(WORKERS) --dist loadgroup tests/conformance $(ARGS)
	TESTS_WAYS=all $(BIN)/pytest -n $(WORKERS) --dist loadgroup -k "stream or s3" \
		tests/conformance tests/e2e tests/faults $(ARGS)

image-test: .venv/run.stamp ## build the image and run it, with podman
	@sh tools/image-test.sh $(BIN)

bench: .venv/bench.stamp bench/speed/node/node_modules/.package-lock.json ## how fast, beside others
	@sh tools/need.sh nginx:nginx-light fusermount3:fuse3
	$(BIN)/python -m bench.speed $(ARGS)

lint: .venv/test.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: .venv/test.stamp
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: .venv/test.stamp ## rewrite what is generated from the code
	$(BIN)/python -m tests.docs

fuzz: .venv/test.stamp ## look for inputs that break a parser: make fuzz TARGET=form SECONDS=600
	$(BIN)/python -m tests.fuzz $(or $(TARGET),metadata) -max_total_time=$(or $(SECONDS),60)

properties: .venv/test.stamp ## what must hold for every input, tried with thousands of new ones
	HYPOTHESIS_PROFILE=long $(BIN)/pytest -n $(WORKERS) --timeout 3600 tests/properties $(ARGS)

lock: .venv/lock.stamp ## requirements.lock: what the image is made of, with hashes
	@sh tools/lock.sh $(BIN)/uv

audit: .venv/lock.stamp ## known holes in what the image is made of; asks a service on the internet
	$(BIN)/pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock

clean:
	rm -rf .venv node_modules bench/*/node/node_modules $(DEMO) $(PAGE) $(PAGE).gz build *.egg-info

.venv/run.stamp: pyproject.toml
	@sh tools/venv.sh $(PYTHON)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/test.stamp: pyproject.toml
	@sh tools/venv.sh $(PYTHON)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test,lint]'
	@touch $@

.venv/bench.stamp: pyproject.toml
	@sh tools/venv.sh $(PYTHON)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

bench/speed/node/node_modules/.package-lock.json: bench/speed/node/package-lock.json
	@sh tools/need.sh npm:npm
	npm ci --silent --prefix bench/speed/node
	@touch $@

.venv/lock.stamp: pyproject.toml
	@sh tools/venv.sh $(PYTHON)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[lock]'
	@touch $@
