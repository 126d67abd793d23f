# The newcomer's way: `make` lists what there is. Every target prepares .venv by itself.

.DEFAULT_GOAL := help
.PHONY: help dev demo test check lint types imports format docs clean

PORT ?= 8080
REPLICAS ?= 3
TESTS ?= tests
BIN := .venv/bin
PYTHON_FILES := service tests

help: ## List the targets.
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

.venv/.synced: pyproject.toml uv.lock .ci/setup
	@.ci/setup

dev: .venv/.synced ## Run a cluster here and stream a demonstration (PORT=8080 REPLICAS=3). Ctrl-C ends it.
	@$(BIN)/anypod dev --port $(PORT) --replicas $(REPLICAS)

demo: .venv/.synced ## Kill replicas under a client, ten times, and count what was lost.
	@$(BIN)/anypod demo

test: lint ## Run every check and test; all that CI runs (TESTS=tests/unit for some).
	@.ci/setup redis
	$(BIN)/pytest -n 2 --dist worksteal $(TESTS)

check: test ## The same as test.

lint: .venv/.synced ## Check style, formatting, types and the direction of imports.
	$(BIN)/ruff check $(PYTHON_FILES)
	$(BIN)/ruff format --check $(PYTHON_FILES)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.synced ## Format the code, and mend what can be mended automatically.
	$(BIN)/ruff check --fix $(PYTHON_FILES)
	$(BIN)/ruff format $(PYTHON_FILES)

docs: .venv/.synced ## Write the tables of service/docs/reference.md anew from the code.
	$(BIN)/python -m tests.reference

clean: ## Remove what make has made: the environment, its tools, caches, and the data of `make dev`.
	rm -rf .venv .anypod .ruff_cache .mypy_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache
