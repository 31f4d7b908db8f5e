# Everything a person types while working on Moonpool. `make` alone lists it.
BIN := .venv/bin
CODE := agent images policies sandbox tests benchmarks acceptance scripts

.PHONY: help setup engine image demo test test-slow test-real test-graders test-ray test-browser test-model test-inspect check format bench docs lock build clean
.DEFAULT_GOAL := help
# Compiled modules are kept, or each worker of the suite compiles all tests on its own.
unexport PYTHONDONTWRITEBYTECODE

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1  \2/p' $(MAKEFILE_LIST)

demo: ## the agent lets a failing test suite pass, in a sealed container, and shows the patch
	@sh scripts/demo.sh

setup: ## .venv with the pinned packages and this checkout
	@sh scripts/setup.sh

engine: setup ## a container engine: found, or (Debian, root, none there) installed and started
	@sh scripts/engine.sh

image: engine ## the images the agent works in: Python's and Node's
	@$(BIN)/moonpool image build python
	@$(BIN)/moonpool image build node

test: image ## all tests but the slow ones; those that need the engine too
	@$(BIN)/pytest -q --numprocesses 4 --max-worker-restart 0 --dist loadgroup -m "not slow"

test-slow: image ## the rest of them
	@for name in c go java polyglot rust; do $(BIN)/moonpool image build $$name || exit 1; done
	@$(BIN)/pytest -q --numprocesses 4 --max-worker-restart 0 --dist loadgroup -m slow

test-real: image ## packages nobody here wrote, from their registries (not part of `make test`)
	@$(BIN)/pytest -q acceptance/test_*.py
	@$(BIN)/python -P acceptance/real_packages.py

test-graders: image ## predictions graded by swebench, trajectories read by harbor (from the package index)
	@$(BIN)/python -P acceptance/graders.py

test-ray: image ## batches on a real cluster of two machines, both this one (installs Ray, 300 MB)
	@sh scripts/ray_environment.sh
	@.venv-ray/bin/pytest -q -p no:cacheprovider acceptance/on_ray.py

test-browser: setup ## the pages of a review in a real Chromium: attacks, accessibility, keys (installs Playwright)
	@sh scripts/browser_environment.sh
	@.venv-browser/bin/pytest -q -p no:cacheprovider acceptance/browser

test-model: image ## a small model on llama.cpp works on the demo's repository, no key (fetches 1.1 GB once)
	@$(BIN)/python -P acceptance/local_model/run.py

test-inspect: image ## as a sandbox of Inspect: its own checks, evals, attacks (installs inspect_ai, 230 MB)
	@sh scripts/inspect_environment.sh
	@.venv-inspect/bin/mypy agent/servers/inspect acceptance/on_inspect benchmarks/inspect_provider.py
	@.venv-inspect/bin/pytest -q -p no:cacheprovider acceptance/on_inspect

check: setup ## format, lint, types, imports between rooms
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/mypy $(CODE)
	@$(BIN)/lint-imports

format: setup ## let ruff format and fix what it can
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/ruff check --fix $(CODE)

bench: image ## the speed table, as ratios to baselines measured in the same run
	@$(BIN)/python -P benchmarks/bench.py
	@$(BIN)/python -P benchmarks/start.py
	@$(BIN)/python -P benchmarks/batch.py

docs: setup ## the site of docs/, in build/site; a link that leads nowhere is an error
	@$(BIN)/python -P scripts/docs_pages.py build/docs
	@$(BIN)/zensical build --strict --clean

lock: setup ## constraints.txt again, from pyproject.toml
	@sh scripts/lock.sh

build: setup ## the wheel, in dist/
	@log=$$($(BIN)/pyproject-build --wheel --no-isolation --outdir dist . 2>&1) \
		|| { printf '%s\n' "$$log"; exit 1; }; ls dist/*.whl

clean: ## what the other targets made in this checkout (images: `moonpool prune`)
	@rm -rf .venv .venv-ray .venv-browser .venv-inspect .cache build dist *.egg-info .*_cache .hypothesis
	@find . -name __pycache__ -prune -exec rm -rf {} +
