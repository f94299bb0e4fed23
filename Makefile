# xetl: what people run. `make` alone lists it.

# Build products; set CARGO_TARGET_DIR to keep them warm between clones.
export CARGO_TARGET_DIR ?= $(CURDIR)/target

# The image runs on Cloud Run, which takes linux/amd64. A glibc target linked
# statically needs no toolchain beyond Rust's own and gcc.
RUNTIME_TARGET := x86_64-unknown-linux-gnu
STATIC := CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"
PREFIX ?= $(HOME)/.cargo

.PHONY: help demo build runtime install test check fuzz bench bench-load clean

help:
	@echo 'make demo     build, start the local cloud and a sandbox Xero, onboard a client, query its rows'
	@echo 'make test     run all tests, set-up included'
	@echo 'make build    put xetl, xetl-local and xetl-runtime into ./bin'
	@echo 'make install  put them into $(PREFIX)/bin'
	@echo 'make check    formatting and lints'
	@echo 'make fuzz     a minute of each fuzz target (needs cargo-fuzz: cargo install cargo-fuzz --locked)'
	@echo 'make bench    time what the README states, on this machine'

demo: build
	@demo/run.sh

build: runtime
	cargo build --locked -p xetl -p xetl-local
	@mkdir -p bin
	@install $(CARGO_TARGET_DIR)/debug/xetl $(CARGO_TARGET_DIR)/debug/xetl-local bin/

# The static binary that goes into the image; it also runs by hand.
runtime:
	$(STATIC) cargo build --locked --profile image --target $(RUNTIME_TARGET) -p xetl-runtime
	@mkdir -p bin
	@install $(CARGO_TARGET_DIR)/$(RUNTIME_TARGET)/image/xetl-runtime bin/

install: build
	@mkdir -p $(PREFIX)/bin
	@install bin/xetl bin/xetl-local bin/xetl-runtime $(PREFIX)/bin/
	@echo 'installed xetl, xetl-local and xetl-runtime in $(PREFIX)/bin'

# Tests build the workspace in their own way: features meet those of test-only crates.
test: runtime
	tests/setup.sh
	cargo test --locked --workspace --no-fail-fast

check:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

# Coverage is a nightly flag, which the stable compiler takes when told to.
FUZZ := cd fuzz && RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/fuzz cargo fuzz
FUZZ_TARGETS := manifest template literal date lint

fuzz:
	@cargo fuzz --version >/dev/null 2>&1 || { echo 'make fuzz needs cargo-fuzz: cargo install cargo-fuzz --locked'; exit 1; }
	$(FUZZ) build --dev --sanitizer none --fuzz-dir .
	for target in $(FUZZ_TARGETS); do \
		($(FUZZ) run --dev --sanitizer none --fuzz-dir . $$target -- -max_total_time=60 -timeout=10) || exit 1; \
	done

bench: build bench-load
	bench/run.sh
	bench/provision.sh

# dlt lives in an environment of the bench's own.
DLT := $(CARGO_TARGET_DIR)/bench-dlt
bench-load: runtime
	$(STATIC) cargo build --locked --profile image --target $(RUNTIME_TARGET) -p xetl-runtime -p xetl-floor
	cmp -s bench/requirements.txt $(DLT)/installed || { python3 -m venv $(DLT) && \
		$(DLT)/bin/pip install --quiet --disable-pip-version-check -r bench/requirements.txt && cp bench/requirements.txt $(DLT)/installed; }
	tests/setup.sh
	PYTHONWARNINGS=ignore python3 bench/load.py --runtime bin/xetl-runtime \
		--floor $(CARGO_TARGET_DIR)/$(RUNTIME_TARGET)/image/xetl-floor \
		--dlt $(DLT)/bin/python --airbyte .venv/bin/python

clean:
	cargo clean
	rm -rf bin
