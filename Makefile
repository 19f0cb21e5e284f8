# make demo: from nothing to a verdict.  make test: everything that is checked.  make help: the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/finetune-operator
VENV := $(CACHE)/venv-$(shell cat requirements/dev.txt | sha256sum | cut -c1-16)
READY := $(VENV)/.ready
# A libnvidia-ml.so.1 that follows a script, for tests of all that reads NVML; the trainer image has no compiler.
NVML := build/nvml/libnvidia-ml.so.1
# Only what is said to make counts: a KUBECONFIG that happens to be exported is not meant for the demo.
OWN_CLUSTER := $(if $(filter command line,$(origin KUBECONFIG)),--kubeconfig $(KUBECONFIG))
OWN_REGISTRY := $(if $(filter command line,$(origin REGISTRY)),--registry $(REGISTRY))

export PYTHONDONTWRITEBYTECODE := 1
export LOCALCLUSTER_PYTHON := $(VENV)/bin/python
LOCALCLUSTER := PYTHONPATH=tests/cluster $(PYTHON) -m localcluster
IN_VENV := PYTHONPATH=operator:trainer_image:tests/cluster $(VENV)/bin/python

.NOTPARALLEL:
.PHONY: help demo test lint unit test-trainer test-cluster test-upgrade test-e2e bench cluster-up cluster-down images crds lock clean

help: ## What there is to make
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 16

demo: $(READY) ## Fine-tune a small model and compare it with its base, on a Kubernetes of its own or on yours: KUBECONFIG=path REGISTRY=host/prefix
	@PYTHONPATH=tests/cluster $(PYTHON) examples/demo/run.py $(OWN_CLUSTER) $(OWN_REGISTRY)

test: lint prepare unit cluster-up test-trainer-and-cluster test-e2e ## Lint, unit tests, tests on a real cluster, end-to-end tests
	@echo 'all checks passed'

lint: $(READY) ## ruff, mypy, import-linter, committed CRDs
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy operator/finetune_api operator/finetune_operator trainer_image/finetune_trainer tests/cluster/localcluster examples/demo/run.py
	@PYTHONPATH=operator:trainer_image $(VENV)/bin/lint-imports --no-logo
	@$(IN_VENV) -m finetune_api.crds crds helm/finetune-operator/definitions --check

unit: $(READY) ## Tests of API and operator that need no cluster
	@$(IN_VENV) -m pytest tests/unit --ignore tests/unit/trainer --numprocesses auto

.PHONY: prepare
prepare: $(READY) ## Build what the cluster and the images need, side by side
	@$(LOCALCLUSTER) prepare

test-trainer: prepare $(NVML) ## Tests of the trainer, inside the trainer image
	@$(LOCALCLUSTER) run-in-image trainer -v $(CURDIR):/src -v $(VENV):$(VENV) --small-volume /small:8m --workdir /src -- \
		python3 tests/unit/trainer/in_image.py $(VENV)

$(NVML): $(wildcard tests/nvml/*.c tests/nvml/*.h) | prepare
	@mkdir -p $(@D)
	@gcc -std=c11 -O2 -Wall -Wextra -Werror -shared -fPIC -Wl,-soname,$(@F) -Wl,-Bsymbolic \
		-o $@ $(filter %.c,$^) -lm -pthread

cluster-up: prepare $(NVML) ## Start this checkout's cluster, with the images in it
	@$(LOCALCLUSTER) up
	@$(LOCALCLUSTER) images

cluster-down: ## End it and leave nothing behind
	@$(LOCALCLUSTER) down

images: $(READY) ## Build the images and bring them to the cluster
	@$(LOCALCLUSTER) images

test-cluster: ## Tests on the real cluster (make cluster-up first)
	@$(IN_VENV) -m pytest tests/cluster

# Half of the time, tests on the cluster wait for what it does: the trainer's get what is left.
.PHONY: test-trainer-and-cluster
test-trainer-and-cluster: prepare $(NVML)
	@mkdir -p build; nice -n 10 $(MAKE) --no-print-directory test-trainer > build/test-trainer.log 2>&1 & trainer=$$!; \
	trap 'kill $$trainer' INT TERM; \
	$(MAKE) --no-print-directory test-cluster; cluster=$$?; \
	echo 'tests of the trainer, which ran beside them (build/test-trainer.log):'; \
	tail --pid=$$trainer -n +1 -f build/test-trainer.log; wait $$trainer; trainer=$$?; \
	exit $$((cluster || trainer))

test-upgrade: ## An upgrade from an earlier commit and back, with trainings under way: FROM=commit (make cluster-up first)
	@$(if $(FROM),,$(error say from which commit: make test-upgrade FROM=HEAD~1))
	@FROM=$(FROM) $(IN_VENV) -m pytest tests/upgrade

test-e2e: ## Small real fine-tunings of a real model, with their verdicts
	@$(IN_VENV) -m pytest tests/e2e

bench: cluster-up ## Print and write build/bench.json; ONLY=name for one
	@PYTHONPATH=operator:trainer_image:tests/cluster:tests/bench $(VENV)/bin/python tests/bench/__main__.py $(if $(ONLY),--only $(ONLY))

crds: $(READY) ## Write crds/ from the API models
	@$(IN_VENV) -m finetune_api.crds crds helm/finetune-operator/definitions

LOCK := -m uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header \
	--python-platform x86_64-manylinux_2_28

lock: $(READY) ## Resolve requirements/*.txt anew from pyproject.toml
	@$(VENV)/bin/python $(LOCK) pyproject.toml --extra dev --group operator --output-file requirements/dev.txt
	@$(VENV)/bin/python $(LOCK) --group operator --constraint requirements/dev.txt --output-file requirements/operator.txt
	@$(VENV)/bin/python $(LOCK) pyproject.toml --extra trainer --constraint requirements/dev.txt \
		--output-file requirements/trainer.txt

clean: cluster-down ## cluster-down, and remove what was built in the checkout
	rm -rf build .cluster

# Its name holds the digest of what it is made from, so an existing one is never made again, whichever checkout asks;
# two that ask at once do not make it twice.
$(READY):
	@$(LOCALCLUSTER) packages
	@flock $(CACHE)/venv.lock $(MAKE) --no-print-directory make-venv

.PHONY: make-venv
make-venv:
	@if [ -e $(READY) ]; then exit 0; fi; set -e; rm -rf $(VENV); \
	$(LOCALCLUSTER) run-logged "Python environment $(VENV)" --log venv -- $(PYTHON) -m venv $(VENV); \
	$(LOCALCLUSTER) run-logged "Python packages for development" --log pip -- \
		$(VENV)/bin/pip install --disable-pip-version-check --progress-bar off --require-hashes -r requirements/dev.txt; \
	touch $(READY)
