# The whole set-up is here. `make demo` shows the main job; `make test` proves everything.

BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help demo run test venv system-packages check lock docs clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

demo: venv ## Run the main job on real input, then stay up (ARGS=--exit ends by itself)
	$(BIN)/dlq demo $(ARGS)

run: venv ## Run the manager alone on 127.0.0.1:8024 (ARGS="--port 9000" …)
	$(BIN)/dlq serve $(ARGS)

test: venv system-packages check ## Install what the tests need, then lint, types and the whole suite
	$(BIN)/pytest -n 3 --dist loadgroup $(ARGS)

check: venv ## Lint, formatting, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

venv: .venv/.complete ## Make .venv from the lock file, with everything in it

.venv/.complete: requirements.lock pyproject.toml scripts/make-venv
	scripts/make-venv

system-packages:
	scripts/install-system-packages rabbitmq-server postgresql curl jq

lock: ## Write requirements.lock anew from pyproject.toml (needs uv)
	uv pip compile --quiet pyproject.toml --universal --all-extras --group dev --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --no-annotate -o requirements.lock

docs: venv ## Write the generated pages anew
	$(BIN)/python scripts/write_settings_page.py

clean: ## Remove .venv and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
