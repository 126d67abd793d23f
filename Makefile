# The newcomer's way: `make` lists what there is. Every target prepares .venv by itself.

.DEFAULT_GOAL := help
.PHONY: help dev demo test test-alone coverage check lint format image chart test-cluster sbom audit release-artefacts package docs worlds replicas faults fuzz bench storm bounds neighbours profile clean

PORT ?= 8080
REPLICAS ?= 3
TESTS ?= tests
BIN := .venv/bin
test: export NOT_RUN_RECORD = .anypod/not-run.jsonl
PYTHON_FILES := service tests loadtests

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

.venv/.synced: pyproject.toml uv.lock .ci/setup
	@.ci/setup

dev: .venv/.synced ## Run a cluster here and stream a demonstration (PORT=8080 REPLICAS=3). Ctrl-C ends it.
	@$(BIN)/anypod dev --port $(PORT) --replicas $(REPLICAS)

demo: .venv/.synced ## Kill replicas under a client, ten times, and count what was lost.
	@$(BIN)/anypod demo

# What compares times runs by itself, then the cluster, then the benchmark: tests beside them would starve the one, and be measured by the other.
test: lint ## Run every check and test; all that CI runs (TESTS=tests/unit for some).
	@.ci/setup redis
	@$(if $(filter tests,$(TESTS)),.ci/setup chart && .ci/setup workflows)
	@rm -f $(NOT_RUN_RECORD)
	$(BIN)/pytest -n 2 --dist worksteal -m "not alone" $(TESTS)
	$(if $(filter tests,$(TESTS)),$(BIN)/pytest -m alone $(TESTS))
	$(if $(filter tests,$(TESTS)),$(BIN)/python -m tests.kubernetes --short)
	$(if $(filter tests,$(TESTS)),$(BIN)/python -m loadtests.bench --short)
	@$(if $(filter tests,$(TESTS)),$(BIN)/python -m tests.repository.not_run)

test-alone: .venv/.synced ## Run the tests that compare times or memory, with nothing beside them: a part of test.
	@.ci/setup redis
	$(BIN)/pytest -m alone tests

coverage: .venv/.synced ## Measure the branches that the unit and conformance suites take; names the ten modules with the least (TESTS=tests/unit for some).
	@.ci/setup redis
	@rm -rf .anypod/coverage
	@mkdir -p .anypod/coverage
	$(BIN)/coverage run -m pytest -q -n 2 --dist worksteal -m "not alone" $(or $(filter-out tests,$(TESTS)),tests/unit tests/store)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --sort=cover | sed -n '1,12p;/^TOTAL/p'

check: test ## The same as test.

lint: .venv/.synced ## Check style, formatting, types and the direction of imports.
	$(BIN)/ruff check $(PYTHON_FILES)
	$(BIN)/ruff format --check $(PYTHON_FILES)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.synced ## Format the code, and mend what can be mended automatically.
	$(BIN)/ruff check --fix $(PYTHON_FILES)
	$(BIN)/ruff format $(PYTHON_FILES)

worlds: .venv/.synced ## Simulate more worlds than CI does (FROM=0 TO=100000).
	@$(BIN)/python -m tests.simulation $(or $(FROM),0) $(or $(TO),100000)

replicas: .venv/.synced ## Kill a replica every 5 s under 200 clients for a minute, and count.
	@.ci/setup redis
	@$(BIN)/python -m tests.slo.replicas

faults: .venv/.synced ## Break every link and process at random under a crowd, and judge (ROWS=… SEED=1,2 MINUTES=3 RATE=1 TOPOLOGY=single,sentinel,cluster OUT=…).
	@.ci/setup redis
	@$(BIN)/python -m tests.chaos $(if $(ROWS),--rows $(ROWS)) $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(RATE),--rate $(RATE)) $(if $(TOPOLOGY),--topology $(TOPOLOGY)) $(if $(OUT),--out $(OUT))

fuzz: .venv/.synced ## Feed ten million mutated bytes to a replica (SEED=1).
	@.ci/setup redis
	@$(BIN)/python -m tests.fast_transport.fuzz --bytes 10000000 --seed $(or $(SEED),1)

bench: .venv/.synced ## Measure every row beside its reference, or this tree beside another revision (ROW=publish-1 SHORT=1 RUNS=5 AGAINST=main OUT=…).
	@.ci/setup redis
	@$(BIN)/python -m loadtests.bench $(if $(ROW),--row $(ROW)) $(if $(SHORT),--short) $(if $(AGAINST),--against $(AGAINST)) $(if $(RUNS),--runs $(RUNS)) $(if $(OUT),--out $(OUT))

storm: .venv/.synced ## Cut thousands of clients at once, and see them come back (CLIENTS=2000 OUT=…).
	@.ci/setup redis
	@$(BIN)/python -m loadtests.storm $(if $(CLIENTS),--clients $(CLIENTS)) $(if $(OUT),--out $(OUT))

bounds: .venv/.synced ## Bad days on a quiet machine: a storm, stalled readers, silent links, a killed replica; each within its bound.
	@.ci/setup redis
	@$(BIN)/python -m loadtests.storm
	@$(BIN)/python -m tests.slo

neighbours: .venv/.synced ## Flood a replica in fifteen ways beside a publisher of another tenant, whose 99th percentile may double, on a quiet machine.
	@.ci/setup redis
	@MEASURE_NEIGHBOURS=1 $(BIN)/pytest -s tests/security/test_neighbours.py

profile: .venv/.synced ## A flame graph of the server under a row (ROW=publish-1).
	@.ci/setup redis
	@$(BIN)/python -m loadtests.bench.profile --row $(ROW)

chart: .venv/.synced ## Check the Helm chart alone: its lint and suites, the schemas of Kubernetes 1.29 to 1.37, policies, timing.
	@.ci/setup chart
	$(BIN)/pytest tests/chart

sbom: .venv/.synced ## List what a replica is made of, as CycloneDX, in dist/sbom.json.
	@$(BIN)/python -m service.tools.supply_chain sbom

audit: .venv/.synced ## Ask whether a locked dependency is known to be vulnerable; fails when it cannot ask about each.
	@$(BIN)/python -m service.tools.supply_chain audit

package: .venv/.synced ## Build the wheel and the source distribution, in dist.
	@PATH="$(CURDIR)/.anypod/tools/uv/bin:$$PATH" uv build --quiet

release-artefacts: .venv/.synced ## Keep the wheel and the chart of a release, for the tests of an upgrade from it (REVISION=v0.2.0).
	@$(BIN)/python -m tests.versions.keep $(or $(REVISION),HEAD)

image: .venv/.synced ## Build the image of a replica, and say what it adds to its base (IMAGE=anypod/anypod:0.1.0 PYTHON_IMAGE=…).
	@$(if $(PYTHON_IMAGE),ANYPOD_TEST_PYTHON_IMAGE=$(PYTHON_IMAGE)) $(BIN)/python -m service.tools.image $(IMAGE)

test-cluster: .venv/.synced ## Test image and chart on a real cluster, with hundreds of clients on it (SHORT=1 for what CI does, ONLY=… for some).
	@.ci/setup chart
	@$(BIN)/python -m tests.kubernetes $(if $(SHORT),--short) $(if $(ONLY),--only "$(ONLY)")

docs: .venv/.synced ## Write the tables of the documents anew: those of the code, of the chart, and of the results in service/docs/results.
	$(BIN)/python -m service.tools.docs_tables
	$(BIN)/python -m service.tools.results_tables
	$(BIN)/python -m service.tools.chart_docs

clean: ## Remove what make has made: the environment, its tools, caches, and the data of `make dev`.
	rm -rf .venv .anypod .bench .faults dist .ruff_cache .mypy_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache
