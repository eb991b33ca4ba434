# Needs Python 3.11 or later, make and a package index; uses uv when it is there.
#
#   make demo    prompts to images in a local S3, through Airflow and the simulator; ARGS=--ui to see and approve them
#   make test    the whole test suite with its coverage; ARGS=tests/wire a part of it
#   make test-e2e   its other half, on a real Airflow: workers are killed, and pages looked at in Chromium: minutes
#   make test-scale   on PostgreSQL, Redis, two Celery workers and two triggerers, which are killed in turn: ten minutes
#   make test-stores   the other stores, with servers of Google's and Azure's, in an environment of its own: minutes
#   make lint    ruff, mypy, the changelog's fragments and the forge's workflows
#   make wheel   build source distribution and wheel, and check all that an index shows of them
#   make matrix  the wheel alone and the operators on every Airflow and Python in tests/matrix/rows.toml: minutes a row
#   make floor   its first row: the lowest versions the package declares, Airflow 3.1.0 among them
#   make docs    the site, into site/; make docs ARGS=serve shows it
#   make bench   what the provider costs against its alternatives, as ratios: about twelve minutes
#   make bench ARGS=workers   a campaign on one Celery worker and on two, with PostgreSQL and Redis: ten minutes
#   make changelog   CHANGELOG.md's section of the coming release from docs/changes; ARGS=--draft only shows it
#   make clean   remove what the targets made

SHELL := /bin/bash
VENV := .venv
RUN := $(VENV)/bin/python
# Branches are measured, and less of them than there was fails; a part of the suite (ARGS) covers a part. It takes a quarter longer.
COVERAGE := $(if $(ARGS),,--cov=airflow_provider_qwenimage --cov-branch --cov-report=term:skip-covered --cov-fail-under=95)
READY := $(VENV)/.ready
# Images of containers often forbid bytecode; the suites start Python hundreds of times, and each would compile Airflow.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-e2e test-scale test-stores lint wheel matrix floor docs bench changelog clean

demo: $(READY)
	@$(RUN) -m demo $(ARGS)

# Each worker begins with a half, so that what a folder's tests share is started once and not in both.
test: $(READY)
	$(RUN) -m pytest -n 2 --dist worksteal $(COVERAGE) $(ARGS)

test-e2e: $(VENV)/.e2e
	@.ci/packages exiftool
	$(RUN) -m pytest tests/e2e $(ARGS)
	$(RUN) -m pytest tests/browser $(ARGS)
	$(RUN) -m pytest tests/lineage $(ARGS)

$(VENV)/.e2e: $(READY)
	@(uv pip install -q --python $(RUN) --group e2e 2>/dev/null || $(RUN) -m pip install -q --group e2e)
	@touch $@

# What is missing of PostgreSQL and Redis is installed from the system's packages; both run in a temporary folder.
test-scale: $(VENV)/.scale
	@.ci/packages postgresql redis-server
	$(RUN) -m pytest tests/scale $(ARGS)

$(VENV)/.scale: $(READY)
	@(uv pip install -q --python $(RUN) --group scale 2>/dev/null || $(RUN) -m pip install -q --group scale)
	@touch $@

test-stores: $(READY)
	@.ci/packages npm
	@.ci/stores $(VENV)-stores
	$(VENV)-stores/bin/python -m pytest tests/places --stores $(ARGS)

lint: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m docs.changelog --draft >/dev/null
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yaml
	$(VENV)/bin/zizmor --offline --quiet --no-progress --min-severity medium .github

wheel: $(READY)
	$(RUN) tests/packages/check_packages.py

# ARGS names rows; of a row whose Python is not to be had the table says that it was skipped.
matrix: $(READY)
	$(RUN) -m build --wheel --installer uv --outdir dist/matrix .
	$(RUN) tests/matrix/run_rows.py dist/matrix/*.whl $(ARGS)

floor:
	@$(MAKE) matrix ARGS=floor

# Strict: a dead link, a page outside of the navigation and a reference to what is not there end it.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs $(or $(ARGS),build) --strict

$(VENV)/.docs: $(READY)
	@(uv pip install -q --python $(RUN) --group docs 2>/dev/null || $(RUN) -m pip install -q --group docs)
	@touch $@

# The compared libraries are added to .venv by the first run; uv or pip, as the bootstrap found them.
bench: $(VENV)/.bench $(if $(findstring workers,$(ARGS)),$(VENV)/.scale)
	@$(if $(findstring workers,$(ARGS)),.ci/packages postgresql redis-server)
	$(RUN) -m benchmarks $(ARGS)

$(VENV)/.bench: $(READY)
	@(uv pip install -q --python $(RUN) --group bench 2>/dev/null || $(RUN) -m pip install -q --group bench)
	@touch $@

changelog: $(READY)
	$(RUN) -m docs.changelog $(ARGS)

clean:
	rm -rf $(VENV) $(VENV)-stores .demo dist site .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made anew when the dependencies or the version change; the stamp is written last.
$(READY): pyproject.toml airflow_provider_qwenimage/__init__.py .ci/bootstrap
	@PYTHON='$(PYTHON)' .ci/bootstrap $(VENV)
	@touch $@
