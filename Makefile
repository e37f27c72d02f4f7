# The commands that people and CI share. `make` lists them.

# The first Python from 3.11 on that really starts; name another with `make demo PYTHON=/path/to/python`.
PYTHON ?= $(shell for p in python3.11 python3.12 python3 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV ?= .venv
DEMO_PORT ?= 8000

RESOLVE = $(VENV)/bin/uv pip compile --quiet --config-file requirements/uv.toml --universal --python-version 3.11 \
	--generate-hashes --no-annotate --custom-compile-command "make lock" $(LOCK_ARGS) pyproject.toml
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
SERVE_STAMP := $(VENV)/.installed-serve
TEST_STAMP := $(VENV)/.installed-test

# Public data sets beside the checkout are used unless TOCSIN_DATASETS_DIR says where they are.
BESIDE := $(wildcard ../shared/data)
ifneq ($(BESIDE),)
export TOCSIN_DATASETS_DIR ?= $(abspath $(BESIDE))
endif

.PHONY: help venv demo test check audit lock sbom bench faults fuzz train-sample clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(TEST_STAMP) ## create .venv with everything that tests, checks and training need

demo: $(SERVE_STAMP) ## serve the shipped bundle, replay the recorded sample, print what was caught (DEMO_EXIT=1: then stop)
	$(VENV)/bin/python -m service demo --port $(DEMO_PORT) $(if $(DEMO_EXIT),--exit)

# What computes, or works within its own process and a Redis of its own, runs side by side, the longest file first; what
# starts processes, browsers and servers, and waits for what comes of a signal, has the machine to itself.
SIDE_BY_SIDE := tests/docs tests/training tests/models tests/architecture tests/fuzz \
	$(addprefix tests/service/,access api drift feedback incidents intake notify pipeline spool state)
OTHERS := tests/docker tests/faults $(filter-out $(SIDE_BY_SIDE),\
	$(patsubst %/,%,$(sort $(wildcard tests/service/*/)))) $(sort $(wildcard tests/service/test_*.py))

test: $(TEST_STAMP) ## run all tests (PYTEST_ARGS="tests/models -k bundle")
ifdef PYTEST_ARGS
	$(VENV)/bin/python -m pytest $(PYTEST_ARGS)
else
	@failed=0; \
	$(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
		$(SIDE_BY_SIDE) || failed=1; \
	$(VENV)/bin/python -m pytest $(OTHERS) || failed=1; \
	exit $$failed
endif

check: $(TEST_STAMP) ## ruff, mypy --strict, the import contracts, known vulnerabilities
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy --strict
	$(VENV)/bin/lint-imports
	$(VENV)/bin/python requirements/audit.py requirements/learner.lock

audit: $(TEST_STAMP) ## look for known vulnerabilities in what the images install
	$(VENV)/bin/python requirements/audit.py requirements/serve.lock requirements/serve-gpu.lock requirements/learner.lock

lock: $(TEST_STAMP) ## pin what the images install, with hashes (LOCK_ARGS=--upgrade: newest versions)
	$(RESOLVE) --extra cpu --extra kafka --extra notify --extra oidc --output-file requirements/serve.lock
	$(RESOLVE) --extra gpu --extra kafka --extra notify --extra oidc --output-file requirements/serve-gpu.lock
	$(RESOLVE) --extra cpu --extra train --extra kafka --extra notify --no-emit-package torch \
		--output-file requirements/learner.lock

sbom: $(TEST_STAMP) ## list what each image holds as CycloneDX JSON, under build/sbom
	@mkdir -p build/sbom
	for lock in serve serve-gpu learner; do $(VENV)/bin/cyclonedx-py requirements requirements/$$lock.lock \
		--pyproject pyproject.toml --output-reproducible --output-file build/sbom/$$lock.cdx.json || exit 1; done

bench: $(TEST_STAMP) ## measure speed and memory
	$(VENV)/bin/python -m tests.bench

faults: $(TEST_STAMP) ## break processes, disks, networks and clocks under a replay, and compare (FAULTS_ARGS="redis_killed --later")
	$(VENV)/bin/python -m tests.faults $(FAULTS_ARGS)

fuzz: $(TEST_STAMP) ## let libFuzzer try what decodes what strangers send (FUZZ_ARGS="scanner --seconds 60")
	$(PIP) install --editable ".[fuzz]"
	$(VENV)/bin/python -m tests.fuzz $(FUZZ_ARGS)

train-sample: $(TEST_STAMP) ## train the shipped bundle again from the recorded sample
	$(VENV)/bin/python -m service train postgres --logs training/sample/postgres.log.gz \
		--labels training/sample/labels.csv --train-share 0.6 --budget 0.05 \
		--set deeplog.rule=surprisal --set deeplog.steps=1200 --out models/pretrained

clean: ## remove .venv and caches (never ./data: it holds your bundles and incidents)
	rm -rf $(VENV) dist build lightning_logs .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Tocsin needs Python 3.11 or later on PATH; or: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; exit 1; }
	@echo "creating $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)

# Serving needs no torch.
$(SERVE_STAMP): pyproject.toml | $(VENV)/bin/python
	@echo "installing what serving needs (once)"
	@$(PIP) install --editable ".[cpu]"
	@touch $@

# torch comes first and in exactly this spelling: see README, "Training".
$(TEST_STAMP): pyproject.toml | $(VENV)/bin/python
	@echo "installing what tests, checks and training need (once)"
	@$(PIP) install torch==2.13.0
	@$(PIP) install --editable ".[cpu,train,test,check]"
	@touch $@ $(SERVE_STAMP)
