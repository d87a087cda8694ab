# callveil's commands. `make` alone lists them.

.PHONY: help run test lint bench

help:
	@echo 'make run    build callveil and start it with a demo tenant and a demo pool'
	@echo 'make test   install what the tests need (Debian packages) and run every test'
	@echo 'make lint   check format, lints, licences and sources of dependencies'
	@echo 'make bench  measure the figures of docs/performance.md'

run:
	cargo run --release --locked --bin callveil -- serve --demo

# nextest runs each test in a process of its own and is quicker; `cargo test` runs the same tests.
test:
	./scripts/setup-tests
	@if cargo nextest --version >/dev/null 2>&1; then \
	    set -x; cargo nextest run --workspace --locked --no-fail-fast; \
	else \
	    set -x; cargo test --workspace --locked --no-fail-fast; \
	fi

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny@0.20.2
	cargo deny check bans licenses sources

bench:
	cargo run --release --locked --package callveil-bench
