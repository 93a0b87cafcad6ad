# Every target is one line a person can read; the work is done by the `headstart` command and by pytest.
PYTHON ?= python3
HEADSTART = .venv/bin/headstart
VERSION = 0.1.0
ARGS ?=
LOCK ?= cpu
QUICK = tests/documentation tests/api tests/pipelines/test_configuration.py tests/pipelines/test_records.py \
	tests/pipelines/test_stage_table.py tests/pipelines/test_golden.py tests/reporting/test_statistics.py \
	tests/reporting/test_answer.py tests/reporting/test_verify.py tests/reporting/test_documentation.py \
	tests/training/test_training_settings.py tests/training/test_stop_rule.py tests/datasets/test_selection.py
IMAGE ?= headstart:$(VERSION)

.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: .venv/.runtime ## prepare .venv with everything a run needs; LOCK=gpu with TensorFlow for NVIDIA GPUs

run: setup ## run the whole experiment on the built-in demonstration data; ARGS='--preset fast' passes options on
	$(HEADSTART) run $(ARGS)

test: .venv/.development ## prepare everything and run all tests; ARGS='-k report' passes options on
	.venv/bin/python -m pytest -n 2 --dist worksteal $(ARGS)

bench: setup ## measure against the Keras notebook; DATA=FOLDER for real images, ARGS='--only report' for parts
	.venv/bin/python -m benchmarks.run $(if $(DATA),--data $(DATA)) $(ARGS)

bench-gpu: setup ## measure training on a GPU, where TensorFlow sees one
	.venv/bin/python -m benchmarks.gpu $(ARGS)

lint: .venv/.development ## check style, types and import contracts
	.venv/bin/ruff format --check . && .venv/bin/ruff check . && .venv/bin/mypy && .venv/bin/lint-imports --no-logo

check: lint ## lint, and the quick tests: about a minute
	.venv/bin/python -m pytest -n 2 -m "not slow and not docker and not browser" $(QUICK)

coverage: .venv/.development ## the lines that the quick tests run, fails below 50 %; of the whole suite: make test ARGS=--cov
	.venv/bin/python -m pytest -n 2 -m "not slow and not docker and not browser" --cov --cov-fail-under=50 $(QUICK)

golden: .venv/.development ## renew the committed golden of the compiled packages
	HEADSTART_RENEW_GOLDEN=1 .venv/bin/python -m pytest tests/pipelines/test_golden.py

lock: .venv/.development ## resolve the dependencies again and write the locks with hashes (needs uv)
	for part in cpu gpu development; do uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url -q requirements/$$part.in -o requirements/$$part.txt; done

image: ## build the image; BASE_IMAGE=headstart-base:bookworm NETWORK=host where no registry is reached (docs/image.md)
	BASE_IMAGE=$(BASE_IMAGE) NETWORK=$(NETWORK) docker/build.sh cpu $(IMAGE)

image-gpu: ## build the image with CUDA
	BASE_IMAGE=$(BASE_IMAGE) NETWORK=$(NETWORK) docker/build.sh gpu $(IMAGE)-gpu

push: ## push the images that were built; REGISTRY=europe-docker.pkg.dev/PROJECT/REPOSITORY
	docker/push.sh "$(REGISTRY)" $(IMAGE) $(IMAGE)-gpu

kind-up: ## make a kind cluster with Kubeflow Pipelines and the image on it
	manifests/kind/up.sh $(IMAGE)

kind-test: setup ## run the demonstration with 3 + 3 runs on it and check its report
	manifests/kind/test.sh $(IMAGE)

kind-down: ## delete that cluster
	manifests/kind/down.sh

clean: ## remove what was built here, .venv included; results in outputs stay
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

clean-results: ## remove outputs with every result and model in it
	rm -rf outputs

# A lock is complete. Without --no-deps, the pip of Python 3.11 resolves `coverage[toml]` past the pinned `coverage` as soon
# as there is a newer one, and then refuses it for want of a hash.
.venv/.runtime: requirements/$(LOCK).txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Headstart needs Python 3.11 to 3.13; $(PYTHON) is %d.%d. Name another: make setup PYTHON=python3.12" % v)'
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@echo "Installing the locked dependencies into .venv (TensorFlow is large; about a minute)"
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/$(LOCK).txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.development: .venv/.runtime requirements/development.txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/development.txt
	@.venv/bin/python -m pip check || echo "These packages in .venv do not fit together; make clean and the same again make it anew from the locks"
	@touch $@

.PHONY: check coverage image image-gpu push kind-up kind-test kind-down help setup run test bench bench-gpu lint golden lock clean clean-results
