# SPDX-License-Identifier: Apache-2.0
# Human verbs; meson.build is the one build description.
#   make run      install what is missing, build, show who draws the power of this machine
#   make test     install, build, run every test; last line: N passed, N failed, N skipped
BUILD ?= build
ARGS ?=
FUZZ_SECONDS ?= 30
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)
MESON_FLAGS ?=

.PHONY: all deps run test asan ubsan tsan fuzz lint format bench bench-accuracy clean install

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

# Idempotent: asks apt only for what is missing.
deps:
	@tools/install-deps

$(BUILD)/build.ninja: | deps
	@meson setup $(BUILD) $(MESON_FLAGS) >$(BUILD).setup.log 2>&1 || { cat $(BUILD).setup.log; exit 1; }
	@rm -f $(BUILD).setup.log

# Energy counters and BPF are for root; without it a model and /proc are used, and the table says so.
run: all
	@$(SUDO) $(BUILD)/src/cli/carnot top $(ARGS)

test: all
	@tools/run-tests $(BUILD)

asan ubsan: deps
	@meson setup build-asan --reconfigure -Db_sanitize=address,undefined -Db_lundef=false >/dev/null 2>&1 || \
	 meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
	@ninja -C build-asan --quiet
	@ASAN_OPTIONS=allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 tools/run-tests build-asan

tsan: deps
	@meson setup build-tsan --reconfigure -Db_sanitize=thread -Db_lundef=false >/dev/null 2>&1 || \
	 meson setup build-tsan -Db_sanitize=thread -Db_lundef=false >/dev/null
	@ninja -C build-tsan --quiet
	@TSAN_OPTIONS=halt_on_error=1:allocator_may_return_null=1 tools/run-tests build-tsan

fuzz: deps
	@tools/run-fuzz build-fuzz $(FUZZ_SECONDS)

lint: all
	@tools/run-lint $(BUILD)

format:
	@git ls-files 'include/*.h' 'src/*.[ch]' 'tests/*.[ch]' | xargs clang-format -i

bench: all
	@tools/run-bench $(BUILD)

# Methods of attribution against a simulated machine's truth, a table per scenario.
bench-accuracy: all
	@tests/bench/accuracy.py $(BUILD)

install: all
	@$(SUDO) meson install -C $(BUILD) --no-rebuild

clean:
	@rm -rf build build-asan build-tsan build-fuzz build-clang
