# From a fresh clone: make demo, make test. Needs Linux x86_64, python3 (3.10 or newer, with venv and
# headers), g++ and a package index as pip is configured. Everything lands in .venv* and out/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
# Options for every pytest, for instance: make test PYTEST="-x -k mapper"
PYTEST ?=

RUN := source ./env.sh &&
PIP_INSTALL = bin/pip install --quiet --no-build-isolation
# rosidl_adapter of the ROS wheels imports catkin_pkg without asking for it.
BUILD_TOOLS := 'setuptools<80' wheel catkin_pkg
INTERFACES := $(wildcard interfaces/setup.py interfaces/*/package.xml interfaces/*/*/*.msg interfaces/*/*/*.srv)
TORCH_TESTS = $(wildcard $(addprefix test/unit/,offboard metrics explain formats detection cli))

.PHONY: help setup demo test test-ros test-numpy1 test-torch check bench clean distclean

help:  ## Show this list
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup: .venv/.interfaces  ## Make .venv: ROS 2, message packages, this package

demo: setup  ## Play the shipped bag through the real nodes; results in out/demo
	$(RUN) cnn-perception demo --out out/demo

test: test-ros test-numpy1  ## Run the tests, with ROS and with NumPy 1.26; skipped ones say why

test-ros: setup .venv/.test  ## Run the tests, with ROS and without torch
	$(RUN) OMP_NUM_THREADS=1 python -m pytest $(PYTEST)

test-numpy1: .venv-numpy1/.test  ## Run the unit tests with NumPy 1.26 and OpenCV 4.6
	OMP_NUM_THREADS=1 .venv-numpy1/bin/python -m pytest test/unit $(PYTEST)

test-torch: .venv-torch/.test  ## Run the unit tests that need torch (6 GB to download)
	$(if $(TORCH_TESTS),.venv-torch/bin/python -m pytest $(TORCH_TESTS) $(PYTEST))

check: setup .venv/.test  ## Lint, formatting and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	$(if $(shell command -v node),find src -name '*.js' -print0 | xargs -0 -n1 node --check)

bench: setup  ## Measure this machine; results in out/bench
	mkdir -p out/bench
	$(RUN) cnn-perception bench mapping --out out/bench/mapping.json
	$(RUN) cnn-perception bench explain --out out/bench/explain.json
	$(RUN) cnn-perception bench replay --out out/bench/replay.json
	$(RUN) cnn-perception bench live --out out/bench/live.json
	$(RUN) for file in benchmarks/[a-z]*.py; do \
	  echo "$$file"; python "$$file" --out "out/bench/$$(basename "$$file" .py).json"; \
	done

clean:  ## Remove what was built and measured, keep the virtual environments
	rm -rf build install log out interfaces/build .mypy_cache .pytest_cache .ruff_cache .hypothesis

distclean: clean  ## Remove the virtual environments too
	rm -rf .venv .venv-numpy1 .venv-torch src/*.egg-info interfaces/*.egg-info

# --- the virtual environments: each step leaves a stamp and runs again when its inputs change ---

.venv/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "$(PYTHON) is older than 3.10: make setup PYTHON=python3.12, say" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
	  || { echo "$(PYTHON) cannot make virtual environments: apt install python3-venv" >&2; exit 1; }
	@[ "$$(uname -sm)" = "Linux x86_64" ] \
	  || { echo "PyPI has ROS 2 for Linux x86_64 only, this is $$(uname -sm): see docs/robot.md" >&2; exit 1; }
	@command -v g++ > /dev/null \
	  || { echo "g++ is missing, the message packages need it: apt install g++" >&2; exit 1; }
	@$(PYTHON) -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' \
	  || { echo "Python.h of $(PYTHON) is missing: apt install python3-dev" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch .venv/COLCON_IGNORE $@

.venv/.packages: .venv/.created constraints.txt setup.py
	@echo "installing ROS 2 and the other dependencies into .venv"
	.venv/$(PIP_INSTALL) -c constraints.txt $(BUILD_TOOLS)
	.venv/$(PIP_INSTALL) -c constraints.txt -e '.[cpu,ros,octomap]'
	@touch $@

.venv/.interfaces: constraints.txt $(INTERFACES) | .venv/.packages
	@echo "building the message packages"
	.venv/$(PIP_INSTALL) --no-deps --force-reinstall ./interfaces
	@touch $@

.venv/.test: .venv/.packages
	.venv/$(PIP_INSTALL) -c constraints.txt -e '.[cpu,ros,octomap,test,dev]'
	@touch $@

.venv-numpy1/.test: constraints.txt constraints-numpy1.txt setup.py
	@echo "installing NumPy 1.26 and its contemporaries into .venv-numpy1"
	$(PYTHON) -m venv .venv-numpy1
	grep -vf <(sed -n 's/^\([a-z].*==\).*/^\1/p' constraints-numpy1.txt) constraints.txt \
	  | cat - constraints-numpy1.txt > .venv-numpy1/constraints.txt
	.venv-numpy1/$(PIP_INSTALL) -c .venv-numpy1/constraints.txt $(BUILD_TOOLS)
	.venv-numpy1/$(PIP_INSTALL) -c .venv-numpy1/constraints.txt -e '.[cpu,test]'
	@touch .venv-numpy1/COLCON_IGNORE $@

.venv-torch/.test: constraints.txt setup.py
	@echo "installing torch into .venv-torch"
	$(PYTHON) -m venv .venv-torch
	.venv-torch/$(PIP_INSTALL) -c constraints.txt $(BUILD_TOOLS)
	.venv-torch/$(PIP_INSTALL) -c constraints.txt -e '.[cpu,train,test,oracle]'
	@touch .venv-torch/COLCON_IGNORE $@
