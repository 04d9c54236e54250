# `make help` lists the targets. Each one sets up first; a second run re-installs nothing.
#   PW_VENV=<folder>   another virtual environment than .venv
SHELL := /bin/bash
PW_VENV ?= .venv
export PW_VENV
ENV := . scripts/env.sh
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast lint docs bench clean distclean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup:  ## the virtual environment, the dependencies and the interfaces
	@bash scripts/setup.sh

demo: setup  ## node, client and photo to out/demo/index.html
	@$(ENV) && python examples/demo.py

test: setup  ## all tests (minutes: compiles physics kernels, starts nodes)
	@$(ENV) && python -m pytest $(PYTEST_ARGS)

test-fast: setup  ## the tests that need neither Genesis nor DDS (under a minute)
	@$(ENV) && python -m pytest -m "not slow" $(PYTEST_ARGS)

lint: setup  ## ruff, mypy, and who may import whom
	@$(ENV) && ruff check . && mypy && lint-imports

docs: setup  ## the documentation's pages, strict, to out/site
	@$(ENV) && NO_MKDOCS_2_WARNING=1 mkdocs build --strict && echo out/site/index.html

bench: setup  ## BENCH=<name>: run test/benchmark/<name>.py, which writes out/bench/<name>.json
	@test -f "test/benchmark/$(BENCH).py" || { echo "say which: make bench BENCH=<name>, one of: $(basename $(notdir $(wildcard test/benchmark/*.py)))"; exit 2; }
	@$(ENV) && python test/benchmark/$(BENCH).py

clean:  ## what builds and runs wrote; keeps the virtual environment
	rm -rf build install log out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean  ## clean, and the virtual environment
	rm -rf "$(PW_VENV)"
