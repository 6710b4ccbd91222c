# `make demo` and `make test` do everything on a fresh machine: Python 3.11+, Maven and a JDK (21+, or 17) are enough.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
UV := UV_PYTHON=$(PYTHON) UV_PYTHON_DOWNLOADS=never .uv/bin/uv
# Two processes with a server each; one thread of torch in each, as threads that wait for a core spin.
WORKERS ?= 2
TEST_ENV := HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false OMP_NUM_THREADS=1 SHELFWISE_REQUIRE_ES=1
PYTEST := $(TEST_ENV) $(BIN)/pytest -n $(WORKERS) --dist loadfile

# The client of the server's line: with a JDK of 17 to 20 that is 8.19.8, which the locked client does not talk to.
define WITH_CLIENT
if test "$$($(BIN)/python -c 'from shelfwise import local; print(local.chosen_version())' 2>/dev/null)" = 8.19.8; then \
  $(MAKE) -s .venv/.client-8 && export PYTHONPATH=$(CURDIR)/.venv/client-8; fi;
endef

.PHONY: setup demo test test-8 quick lint bench bench-scale clean

setup: .venv/.synced

# uv goes into a folder of its own, so that nothing outside the clone is touched.
.venv/.synced: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 2; }
	@test -x .uv/bin/uv || { $(PYTHON) -m venv .uv && \
	  .uv/bin/python -m pip install -q --disable-pip-version-check 'uv>=0.9,<1'; }
	@echo "installing the packages of uv.lock into .venv (about 6 GB with torch, once)" >&2
	@$(UV) sync -q --frozen --all-extras
	@touch $@

demo: setup
	@$(if $(ELASTICSEARCH_URL),,$(WITH_CLIENT)) HF_HUB_OFFLINE=1 $(BIN)/shelfwise demo

test: setup lint
	$(if $(SHELFWISE_TEST_URL),,$(WITH_CLIENT)) $(PYTEST)

# The same tests that ask a server, against Elasticsearch 8.19.8 with the client of that line.
test-8: setup .venv/.client-8
	PYTHONPATH=$(CURDIR)/.venv/client-8 SHELFWISE_TEST_ES_VERSION=8.19.8 $(PYTEST) -m es

.venv/.client-8: .venv/.synced
	@$(UV) pip install -q --target .venv/client-8 --upgrade 'elasticsearch>=8.19,<9'
	@touch $@

quick: setup
	$(BIN)/pytest -m 'not es and not model'

lint: setup
	$(BIN)/ruff check -q .
	$(BIN)/ruff format -q --check .
	$(BIN)/mypy
	$(BIN)/lint-imports > /dev/null || $(BIN)/lint-imports

# Throughput, latency and start-up on a server of its own, stopped again whatever happens. By default the demo's
# catalogue, queries and bundle (trained unless it is there); or: make bench CATALOGUE=… BUNDLE=… QUERIES=…
CATALOGUE ?= demo/catalogue.jsonl
QUERIES ?= demo/queries.jsonl
BUNDLE ?= bundles/demo
RESULTS ?= benchmarks/results
SECONDS_OF_LOAD ?= 60
NAME = $(notdir $(patsubst %/,%,$(dir $(abspath $(CATALOGUE)))))

bench: setup
	@set -eu -o pipefail; export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false PATH="$$PWD/$(BIN):$$PATH"; \
	data=$$(mktemp -d); chmod 755 "$$data"; \
	trap 'shelfwise local stop --data "$$data" >&2; rm -rf "$$data"' EXIT; trap 'exit 130' INT TERM; \
	export ELASTICSEARCH_URL=$$(shelfwise local start --data "$$data" | \
	  python -c 'import json, sys; print(json.load(sys.stdin)["url"])'); \
	test "$(BUNDLE)" != bundles/demo || shelfwise demo > /dev/null; \
	shelfwise index "$(CATALOGUE)" --bundle "$(BUNDLE)" --alias bench --dead-letters "$$data/dead.jsonl" >&2 || test $$? = 1; \
	python benchmarks/startup.py --alias bench --bundle "$(BUNDLE)" --out $(RESULTS)/startup-$(NAME).json; \
	python benchmarks/latency.py --alias bench --bundle "$(BUNDLE)" --queries "$(QUERIES)" \
	  --seconds $(SECONDS_OF_LOAD) --out $(RESULTS)/latency-$(NAME).json; \
	python benchmarks/throughput.py --catalogue "$(CATALOGUE)" --bundle "$(BUNDLE)" \
	  --out $(RESULTS)/throughput-$(NAME).json

# How `index` and searches grow with the catalogue. Takes hours at the default sizes and some 20 GB of disk below TMPDIR;
# goes on with the sizes that OUT lacks. Server and data are gone afterwards.
SIZES ?= 10000,100000,1000000
OUT ?= benchmarks/results/growth.json
bench-scale: setup
	@test -f $(BUNDLE)/bundle.json || test '$(BUNDLE)' != bundles/demo || \
	  HF_HUB_OFFLINE=1 $(BIN)/shelfwise train demo/catalogue.jsonl --backbone multilingual --epochs 8 --out bundles/demo
	@work=$$(mktemp -d) && chmod 755 $$work && \
	  trap '$(BIN)/shelfwise local stop --data '$$work'/server > /dev/null; rm -rf '$$work EXIT && \
	  url=$$(SHELFWISE_ES_HEAP=$${SHELFWISE_ES_HEAP:-2g} $(BIN)/shelfwise local start --data $$work/server | \
	    $(BIN)/python -c 'import json, sys; print(json.load(sys.stdin)["url"])') && \
	  HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false $(BIN)/python benchmarks/grow.py --catalogue $(CATALOGUE) \
	    --bundle $(BUNDLE) --sizes $(SIZES) --out $(OUT) --url $$url --work $$work

clean:
	rm -rf .venv .uv bundles dist
