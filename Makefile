# `make` alone says what there is.
#
# wasmtime takes minutes to compile, and cargo compiles it once for every profile. So there is only one,
# release. (That all selections of packages share it, `xtask tidy` checks.)

SHELL := /bin/bash
CARGO ?= cargo
bin := $(or $(CARGO_TARGET_DIR),target)/release
xtask := $(bin)/xtask

# What the checks of the clients run.
with_program := WASM_SANDBOX=$(abspath $(bin))/wasm-sandbox

# A line for every long step.
say = @printf '==> %s\n'

.PHONY: help build run test bench docs clean packages tools artifacts prepared

help:
	@echo 'make build   the program, target/release/wasm-sandbox'
	@echo 'make run     the same, then a session with it, shown'
	@echo 'make test    all checks and tests'
	@echo 'make bench   times, written into docs/benchmarks.md'
	@echo 'make docs    writes the documents that are made from the code anew'
	@echo 'make clean   removes target/ (the cache of finished artefacts stays)'

packages:
	$(say) 'system packages: installing what is missing'
	@image/install-packages.sh

# What makes the artefacts, and what needs none of them.
tools: packages
	$(say) 'tools: compiling (the first time with wasmtime: 4 to 10 minutes on two cores)'
	@$(CARGO) build --release --workspace --exclude wasm-sandbox-cli

artifacts: tools
	$(say) 'artefacts: kernels, root file systems, CPU engines, agents (the first time 20 to 30 minutes on two cores)'
	@$(xtask) artifacts

build: artifacts
	$(say) 'wasm-sandbox: compiling'
	@$(CARGO) build --release --workspace
	$(say) 'ready: $(bin)/wasm-sandbox'

# The snapshot that sandboxes start from; otherwise the first start makes it.
prepared: build
	$(say) 'snapshot: booting and warming up (the first time some ten seconds)'
	@$(bin)/wasm-sandbox prepare

run: prepared
	$(say) 'a session: requests (->) and answers (<-)'
	@$(xtask) session

test: prepared
	$(say) 'tidy: format and house rules'
	@$(CARGO) fmt --all --check
	@$(xtask) tidy
	$(say) 'clippy: checking (the first time 2 to 4 minutes)'
	@$(CARGO) clippy --release --workspace --all-targets -- --deny warnings
	$(say) 'tests: compiling and running'
	@$(CARGO) test --release --workspace
	$(say) 'tests: through the program, with the CPU engine v86'
	@$(bin)/wasm-sandbox --engine v86 prepare
	@WASM_SANDBOX_TEST_ENGINE=v86 $(CARGO) test --release --package wasm-sandbox-cli
	$(say) 'tests: through the program, with a 32-bit guest'
	@$(bin)/wasm-sandbox --arch i686 prepare
	@WASM_SANDBOX_TEST_ARCH=i686 $(CARGO) test --release --package wasm-sandbox-cli \
		--test shell --test files --test exec --test processes --test sessions --test run_code --test snapshots \
		--test forks --test saved --test crashes --test limits_and_kills --test instructions
	$(say) 'clients: Python, TypeScript, Model Context Protocol'
	@$(with_program) clients/python/check.sh
	@$(with_program) clients/typescript/check.sh
	@$(with_program) tests/mcp/check.sh

bench: prepared
	$(say) 'benchmarks: some ten minutes; leave the machine alone meanwhile'
	@$(CARGO) run --quiet --release --package wasm-sandbox-bench -- $(BENCH)

docs: build
	@$(bin)/wasm-sandbox schema > docs/schema.json
	@$(bin)/wasm-sandbox schema --reference > docs/reference.md
	@$(bin)/oracle --table > docs/instructions.md

clean:
	@$(CARGO) clean
