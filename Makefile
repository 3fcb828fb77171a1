# Needs Python 3.11 or newer with venv, and make. Everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
# What a user installs, and nothing else: libraries use others where they find them, and take time and memory for it.
PLAIN := .venv-plain
# What the tests of deployments, and those of rules, dashboards and pages, need beside that of the tests.
DEPLOY := .venv-deploy
DEPLOY_PACKAGES := aardvark-dns buildah catatonit conmon golang-github-containers-common iproute2 iptables mmdebstrap \
	netavark npm podman prometheus runc systemd uidmap
MONITORING := .venv-monitoring
MONITORING_PACKAGES := chromium fonts-dejavu-core iproute2 mmdebstrap npm prometheus prometheus-alertmanager
CONFIG ?=
DIST ?= dist

.DEFAULT_GOAL := help
.PHONY: help demo dev test test-long test-deploy test-monitoring rules lint lint-metrics check docs dashboards pictures bench dist clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## serve metrics of a simulated PBS on http://127.0.0.1:9101/metrics
	@$(BIN)/pbs-exporter demo

dev: $(READY) ## the same with hot reload; CONFIG=my.toml: against the PBS of that file
	@$(BIN)/watchfiles --filter python '$(BIN)/pbs-exporter $(if $(CONFIG),--config $(CONFIG),demo)' pbs_exporter

test: $(READY) ## all tests, with coverage
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)

test-long: $(READY) ## the property tests alone, with ten times as many examples
	@$(BIN)/python -m pytest -m hypothesis --hypothesis-profile=long --timeout=3600 $(ARGS)

test-deploy: $(DEPLOY)/ready ## image, Compose, Kubernetes, Helm, systemd, release: each really run (Debian, as root)
	@tools/apt_install $(DEPLOY_PACKAGES)
	@$(DEPLOY)/bin/python -m pytest tests/deploy -n 4 --dist loadfile --no-loadscope-reorder --timeout=900 --durations=10 $(ARGS)

test-monitoring: $(MONITORING)/ready ## rules, dashboards and pages: in real Prometheus, Alertmanager, Chromium (Debian, as root)
	@tools/apt_install $(MONITORING_PACKAGES)
	@$(MONITORING)/bin/python -m pytest tests/monitoring --timeout=900 --durations=5 $(ARGS)

lint: $(READY) ## format, style, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m tools.lint_dashboards
	@$(BIN)/python -m tools.render_rules --check

lint-metrics: $(READY) ## real pages through promtool (of the package prometheus)
	@$(BIN)/python -m tools.lint_metrics

check: lint lint-metrics test ## all that CI runs

docs: $(READY) ## the generated parts of docs/, from the code, and the Helm chart's table of values
	@$(BIN)/python -m tools.docs
	@$(BIN)/python -m tools.helm_values

dashboards: $(MONITORING)/ready ## monitoring/dashboards/*.json from the source beside them
	@$(MONITORING)/bin/python -m tools.render_dashboards

pictures: $(MONITORING)/ready ## docs/pictures: what dashboards ask, drawn, and the status page, in Chromium (Debian, as root)
	@tools/apt_install $(MONITORING_PACKAGES)
	@$(MONITORING)/bin/python -m tools.pictures.dashboards docs/pictures
	@$(MONITORING)/bin/python -m tools.pictures.status_page docs/pictures

rules: $(READY) ## the rules for Kubernetes and Helm, from monitoring/rules
	@$(BIN)/python -m tools.render_rules

bench: $(PLAIN)/ready ## the tables of docs/performance.md, in ten minutes; ARGS='--only ROW': one row
	@$(PLAIN)/bin/python -m benchmarks $(if $(ARGS),$(ARGS),--write docs/performance.md)

dist: $(READY) ## sdist and wheel of the commit that is checked out, into dist/; DIST=folder: into another one
	@$(BIN)/python -m tools.dist $(DIST)

clean: ## remove what make made
	rm -rf $(VENV) $(PLAIN) $(DEPLOY) $(MONITORING) .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache \
		build dist *.egg-info

$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo 'make: needs Python 3.11 or newer with venv (Debian: apt-get install python3-venv); PYTHON=... chooses another one' >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip --quiet --disable-pip-version-check install --require-hashes --requirement requirements/dev.txt
	@$(BIN)/pip --quiet --disable-pip-version-check install --no-deps --no-build-isolation --editable .
	@touch $@

$(PLAIN)/ready: requirements.txt pyproject.toml | $(READY)
	@$(PYTHON) -m venv --clear $(PLAIN)
	@$(PLAIN)/bin/pip --quiet --disable-pip-version-check install --require-hashes --requirement requirements.txt
	@$(PLAIN)/bin/pip --quiet --disable-pip-version-check install --no-deps --editable .
	@touch $@

$(DEPLOY)/ready: requirements/deploy.txt pyproject.toml
	@$(PYTHON) -m venv --clear $(DEPLOY)
	@$(DEPLOY)/bin/pip --quiet --disable-pip-version-check install --require-hashes --requirement requirements/deploy.txt
	@$(DEPLOY)/bin/pip --quiet --disable-pip-version-check install --no-deps --no-build-isolation --editable .
	@touch $@

$(MONITORING)/ready: requirements/monitoring.txt pyproject.toml
	@$(PYTHON) -m venv --clear $(MONITORING)
	@$(MONITORING)/bin/pip --quiet --disable-pip-version-check install --require-hashes --requirement requirements/monitoring.txt
	@$(MONITORING)/bin/pip --quiet --disable-pip-version-check install --no-deps --no-build-isolation --editable .
	@touch $@
