# The whole project in a few words: `make` lists them. What needs .venv makes it first.
SHELL := /bin/bash
VENV ?= .venv
export VENV
export PATH := $(abspath $(VENV))/bin:$(PATH)
PYTEST := pytest -q
BOOKS := notebooks/chapters notebooks/course/instructor

.DEFAULT_GOAL := help
.PHONY: help env book serve notebooks record test test-unit test-book test-slow lint lock newest clean

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

env:
	@.ci/env

book: env ## execute every chapter and build the book
	@.ci/build-book

serve: env ## show the built book on this computer
	@test -e _build/html/index.html || { echo "error: there is no built book in _build/html; run: make book" >&2; exit 2; }
	@python -m enormous.view.server _build/html

notebooks: env ## make the notebooks anew from the chapters
	@python -m enormous.teach.notebooks

record: env ## run changed chapters, record time, memory and numbers, renew the notebooks
	@python -m enormous.teach.record
	@python -m enormous.teach.notebooks

test: lint test-unit test-book ## everything that must pass before a change lands

test-unit: env ## unit and property tests
	$(PYTEST) -n 2 --dist loadfile -m "not slow and not browser" --ignore tests/book

test-book: env ## notebooks, strict build, claims, links
	$(PYTEST) -n 2 --dist loadfile --nbval-lax $(BOOKS)
	.ci/build-book strict
	$(PYTEST) -m "not slow" tests/book

test-slow: env ## the long groups: faults, fidelity at full size, browser
	$(PYTEST) -m "slow or browser"

lint: env ## style, types, and the floors of the house
	ruff check .
	ruff format --check .
	mypy
	lint-imports

lock: ## pin the newest versions that go together
	@command -v uv >/dev/null || { echo "error: make lock needs uv; install it with: pip install uv" >&2; exit 2; }
	uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
	    --fork-strategy fewest --all-extras --upgrade pyproject.toml -o requirements.lock

newest: ## unit tests with the newest version of everything; tells, never decides
	@.ci/newest

clean: ## remove what was made
	rm -rf _build conf.py .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
