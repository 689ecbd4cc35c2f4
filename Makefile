# Everything is made in build/, dist/ and .venv/. `make help` lists what can be asked for.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

ENVOY_VERSIONS := 1.40 1.39 1.38
ENVOY_VERSION ?= 1.40
# Empty: the system's Node when it is new enough. 22 or 24: that one, from a Python wheel.
NODE_VERSION ?=
# Passed to the C++ compiler and linker, last.
BUILD_OPTS ?=
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 300
export FUZZ_EXECUTIONS
SOAK_SECONDS ?= 1800
SOAK_RESTARTS ?= 1000

ifeq ($(origin CXX),default)
  CXX := g++
endif
# What has the sanitizers and the fuzzers' runtime.
SANITIZER_CXX ?= clang++

# Only compiling runs in parallel: tests measure time, and two Envoy suites at once would disturb each other.
ifndef COMPILING
.NOTPARALLEL:
endif

NODE_DIR := build/node/$(or $(NODE_VERSION),default)
export PATH := $(CURDIR)/$(NODE_DIR)/bin:$(PATH)
NODE := $(NODE_DIR)/ready
ENVOY := build/envoy/$(ENVOY_VERSION)/envoy
ifeq ($(filter $(ENVOY_VERSION),$(ENVOY_VERSIONS)),)
  $(error ENVOY_VERSION=$(ENVOY_VERSION): choose one of $(ENVOY_VERSIONS))
endif
BUILD := scripts/one-at-a-time.sh $(MAKE) -j$(JOBS) COMPILING=1

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9 -]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  ENVOY_VERSION=1.40|1.39|1.38  NODE_VERSION=22|24  CXX=g++|clang++  BUILD_OPTS=...  JOBS=n"

# ---- set-up -------------------------------------------------------------------------------------------------------

.PHONY: setup setup-all node-22 node-24 FORCE
setup: build/stamps/packages $(NODE) build/stamps/npm $(ENVOY) ## Packages, Node, npm modules, the newest Envoy
setup-all: setup $(ENVOY_VERSIONS:%=build/envoy/%/envoy) ## setup, and the older Envoys
node-22 node-24: node-%: build/node/%/ready ## That Node from a Python wheel, its path printed
	@echo "Node $$(build/node/$*/bin/node --version): $(CURDIR)/build/node/$*/bin/node"

build/stamps/packages: scripts/setup-packages.sh
	@mkdir -p $(@D)
	@scripts/setup-packages.sh
	@touch $@

build/node/%/ready: scripts/setup-node.sh | build/stamps/packages
	@scripts/setup-node.sh $*
	@touch $@

build/stamps/npm: package.json package-lock.json | $(NODE)
	@mkdir -p $(@D)
	@echo "setup: npm ci"
	@npm ci --loglevel=error --no-fund --no-audit || { \
	  echo "make setup: npm ci failed; is the npm registry reachable?" >&2; exit 1; }
	@touch $@

build/envoy/%/envoy: | build/stamps/packages
	@scripts/setup-envoy.sh $*

# ---- generated code -----------------------------------------------------------------------------------------------

.PHONY: gen
gen: build/gen/exchange_generated.h ## C++ and TypeScript from schema/exchange.fbs

build/gen/exchange_generated.h: schema/exchange.fbs scripts/generate.sh | build/stamps/packages
	@scripts/generate.sh build/gen src/channel/codec/generated

# ---- TypeScript ---------------------------------------------------------------------------------------------------

TSC := node node_modules/typescript/bin/tsc
RING := packages/sharedarraybuffer-ring
RING_SOURCES := $(shell find $(RING)/src -name '*.ts' 2>/dev/null)
TS_SOURCES := $(shell find src filters -name '*.ts' -not -path '*/node_modules/*' -not -path 'src/channel/codec/generated/*' -not -name '*.test.ts')

.PHONY: ts
ts: build/stamps/ts ## The TypeScript packages into dist/

build/stamps/ring: $(RING_SOURCES) $(RING)/tsconfig.json tsconfig.base.json | build/stamps/npm
	@$(TSC) -p $(RING)
	@touch $@

build/stamps/ts: $(TS_SOURCES) build/stamps/ring build/gen/exchange_generated.h tsconfig.base.json tsconfig.build.json
	@touch $@.begun
	@$(TSC) -p tsconfig.build.json
	@# Of sources that are no longer there; the tarball would have it.
	@find dist -type f ! -newer $@.begun -delete
	@touch $@

# ---- C++ ----------------------------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Werror
# The flags in files are those of `ts-filter-host build-addon` and `build-module`, too.
CXXFLAGS_ALL := $(file < cpp/compile.flags) -MMD -MP $(WARNINGS) -Icpp -isystem build/gen
LINKFLAGS := $(file < cpp/link.flags)
ADDON_LINKFLAGS := $(LINKFLAGS) $(file < cpp/addon/link.flags)

# A flavour is one way to compile everything: build/obj/<flavour>/. Sanitizers' reports need lines only, and -g1 spares
# a third of the compile time.
release_CXX := $(CXX)
release_FLAGS := -O2 -g
asan_CXX := $(SANITIZER_CXX)
# Also of the fuzzers, so that all is compiled once.
asan_FLAGS := -O1 -g1 -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all
tsan_CXX := $(SANITIZER_CXX)
# The ring's full fences, which TSan does not see, are beside its data's release and acquire, which it does.
tsan_FLAGS := -O1 -g1 -fsanitize=thread
# Compiling gtest's macros costs more than running them, but for tests that run long.
TEST_SOURCES := $(shell find cpp/test -name '*_test.cc')
QUICK_TESTS := $(filter-out %_walk_test.cc %_property_test.cc %_stress_test.cc,$(TEST_SOURCES))
QUICK_TEST_FLAGS := -O0 -fno-sanitize=fuzzer-no-link
# The host's end of the shared memory. Node-API's ABI is stable: one file serves every Node.
addon_CXX := $(CXX)
addon_FLAGS := -O2 -g $(file < cpp/addon/compile.flags) -isystem $(NODE_DIR)/headers/include/node \
  -isystem node_modules/node-addon-api
FLAVOURS := release addon asan tsan

LAYERS := shm core stock
shm_WITH := shm
core_WITH := core shm
stock_WITH := stock core shm

MODULE_SOURCES := $(wildcard $(LAYERS:%=cpp/%/*.cc))
FUZZ_SOURCES := $(shell find cpp/test -name '*_fuzz.cc')
# Programs for the tests of other languages, for instance the C++ end of the ring's stress test.
TOOL_SOURCES := $(shell find cpp/test -name '*_main.cc')
HELPER_SOURCES := $(filter-out $(TEST_SOURCES) $(FUZZ_SOURCES) $(TOOL_SOURCES),$(shell find cpp/test -name '*.cc'))

ASAN_TESTS := $(TEST_SOURCES:cpp/test/%.cc=build/test/asan/%)
# What starts threads: ring, link and hand-over between link and workers, timers, registry, doorbells.
TSAN_TESTS := $(patsubst cpp/test/%.cc,build/test/tsan/%,$(shell grep -l 'std::thread' $(TEST_SOURCES)) cpp/test/shm/ring_test.cc)
FUZZERS := $(FUZZ_SOURCES:cpp/test/%.cc=build/test/fuzz/%)
TOOLS := $(TOOL_SOURCES:cpp/test/%.cc=build/test/release/%)

.PHONY: module addon tools
module: gen ## build/libts_filter.so, the module for stock Envoy
	@$(BUILD) build/libts_filter.so

define flavour_rules
# Other flags than last time: compile again.
build/obj/$(1)/flags: FORCE | build/stamps/packages
	@mkdir -p $$(@D)
	@echo '$($(1)_CXX) $($(1)_FLAGS) $(CXXFLAGS_ALL) $(QUICK_TEST_FLAGS) $(BUILD_OPTS)' | cmp -s - $$@ || \
	  echo '$($(1)_CXX) $($(1)_FLAGS) $(CXXFLAGS_ALL) $(QUICK_TEST_FLAGS) $(BUILD_OPTS)' > $$@

build/obj/$(1)/%.o: %.cc build/obj/$(1)/flags build/gen/exchange_generated.h
	@mkdir -p $$(@D)
	@echo "  $(1) $$<"
	@$($(1)_CXX) $($(1)_FLAGS) $(CXXFLAGS_ALL) $$(if $$(filter $$<,$(QUICK_TESTS)),$(QUICK_TEST_FLAGS)) $(BUILD_OPTS) -c $$< -o $$@

build/obj/$(1)/helpers.a: $(HELPER_SOURCES:%.cc=build/obj/$(1)/%.o)
	@rm -f $$@
	@ar rcs $$@ $$^

$(foreach layer,$(LAYERS),$(call archive_rule,$(1),$(layer)))
endef

define archive_rule
build/obj/$(1)/$(2).a: $(patsubst %.cc,build/obj/$(1)/%.o,$(wildcard cpp/$(2)/*.cc))
	@rm -f $$@
	@ar rcs $$@ $$^

endef

# A test links with its own layer and those below, so that no layer comes to need one above it.
# $(1): programs, $(2): their flavour, $(3): what they link besides, $(4): layer.
define program_rule
build/test/$(1)/$(4)/%: build/obj/$(2)/cpp/test/$(4)/%.o build/obj/$(2)/helpers.a $($(4)_WITH:%=build/obj/$(2)/%.a)
	@mkdir -p $$(@D)
	@$($(2)_CXX) $($(2)_FLAGS) -pthread -rdynamic -Wl,--start-group $$^ -Wl,--end-group -o $$@ $(3) -ldl $(BUILD_OPTS)

endef
$(foreach flavour,$(FLAVOURS),$(eval $(call flavour_rules,$(flavour))))
$(foreach layer,$(LAYERS),$(eval $(call program_rule,asan,asan,-lgtest_main -lgtest,$(layer))))
$(foreach layer,$(LAYERS),$(eval $(call program_rule,tsan,tsan,-lgtest_main -lgtest,$(layer))))
$(foreach layer,$(LAYERS),$(eval $(call program_rule,fuzz,asan,-fsanitize=fuzzer,$(layer))))
$(foreach layer,$(LAYERS),$(eval $(call program_rule,release,release,,$(layer))))
.PRECIOUS: $(foreach flavour,$(FLAVOURS),build/obj/$(flavour)/%.o)

-include $(shell find build/obj -name '*.d' 2>/dev/null)

# What is shipped is small; debuggers find the rest beside it by the name that is left in it.
split_debug = @cd $(@D) && objcopy --only-keep-debug $(@F).new $(@F).debug && \
  objcopy --strip-debug --add-gnu-debuglink=$(@F).debug $(@F).new && mv $(@F).new $(@F)

build/libts_filter.so: $(MODULE_SOURCES:%.cc=build/obj/release/%.o) cpp/stock/exports.map cpp/link.flags scripts/check-symbols.sh
	@$(CXX) $(LINKFLAGS) -Wl,--version-script=cpp/stock/exports.map $(filter %.o,$^) -o $@.new $(BUILD_OPTS)
	@scripts/check-symbols.sh $@.new
	$(split_debug)

tools: gen
	@$(if $(TOOLS),$(BUILD) $(TOOLS),:)

# gRPC's own client and server, for the end-to-end tests.
build/grpc-interop: $(wildcard test/grpc-interop/*) | build/stamps/packages
	@mkdir -p $(@D)
	@echo "  go $@"
	@cd test/grpc-interop && go build -trimpath -buildvcs=false -o $(CURDIR)/$@ .

ADDON_SOURCES := $(wildcard cpp/shm/*.cc cpp/addon/*.cc)
$(ADDON_SOURCES:%.cc=build/obj/addon/%.o): | build/stamps/npm

addon: gen build/stamps/npm ## build/ts_filter_addon.node, the host's end of the shared memory
	@$(BUILD) build/ts_filter_addon.node

build/ts_filter_addon.node: $(ADDON_SOURCES:%.cc=build/obj/addon/%.o) cpp/addon/exports.map cpp/link.flags \
  cpp/addon/link.flags
	@$(CXX) $(ADDON_LINKFLAGS) -Wl,--version-script=cpp/addon/exports.map $(filter %.o,$^) -o $@.new $(BUILD_OPTS)
	$(split_debug)

# ---- the whole ----------------------------------------------------------------------------------------------------

.PHONY: build build-envoy run demo-apisix demo-calls
build: module addon ts

build-envoy: build $(ENVOY) ## Module and stock Envoy (ENVOY_VERSION=...), tried together
	@scripts/check-module.sh $(ENVOY_VERSION)
	@echo "Envoy $(ENVOY_VERSION): $(CURDIR)/$(ENVOY)"
	@echo "module: $(CURDIR)/build/libts_filter.so"

# All that the tarball has beside what is committed. build/include: headers of others for build-addon and build-module.
.PHONY: package package-files package-tarball
package-files: build build/stamps/include

build/stamps/include: scripts/package-headers.sh build/gen/exchange_generated.h $(wildcard cpp/*/*) | build/stamps/npm
	@scripts/package-headers.sh build/include
	@touch $@

# One file of that name, so that nobody installs an older one.
package-tarball: package-files
	@rm -rf build/package && mkdir -p build/package build/log
	@npm pack --ignore-scripts --loglevel=error --pack-destination build/package > build/log/package.log

package: package-tarball build/envoy/1.40/envoy build/node/22/ready build/node/24/ready ## The tarball in build/package/, installed and tried
	@echo "test: the package, installed"
	@$(VITEST) --project package --reporter=default --reporter=json --outputFile.json=build/reports/package.json
	@echo "tarball: $$(echo $(CURDIR)/build/package/*.tgz)"

.PHONY: package-arm64
package-arm64: package-files ## Module and addon for arm64 into build/arm64/, by Debian's cross compiler; nothing here runs them
	@command -v aarch64-linux-gnu-g++ > /dev/null || { \
	  echo "make package-arm64: run: apt-get install -y g++-aarch64-linux-gnu" >&2; exit 1; }
	@CXX=aarch64-linux-gnu-g++ node bin/ts-filter-host.js build-module --out build/arm64/libts_filter.so
	@CXX=aarch64-linux-gnu-g++ node bin/ts-filter-host.js build-addon --out build/arm64/ts_filter_addon.node \
	  --node-headers $(NODE_DIR)/headers/include/node

run: build $(ENVOY) ## Demo: backend, host and Envoy; Ctrl-C ends it
	@ENVOY_VERSION=$(ENVOY_VERSION) exec node scripts/run.mjs
demo-apisix: build $(ENVOY) ## Demo: APISIX's plugins in Envoy, on port 8000; Ctrl-C ends it
	@ENVOY_VERSION=$(ENVOY_VERSION) exec node scripts/run.mjs apisix
demo-calls: build $(ENVOY) ## Demo: calls into Python, on port 8000; Ctrl-C ends it
	@ENVOY_VERSION=$(ENVOY_VERSION) exec node scripts/run.mjs calls

# ---- tests --------------------------------------------------------------------------------------------------------

# What filters/calls is tested with: runtimes in Go, Java and Rust.
build/stamps/calls: $(wildcard $(addprefix filters/calls/clients/,go/*.go go/*/*.go java/*.java java/*/*.java rust/*/*.rs) \
  test/calls/runtimes/*.rs test/calls/runtimes/*/*) scripts/build-calls.sh | build/stamps/packages
	@echo "  runtimes of filters/calls"
	@scripts/build-calls.sh build/calls
	@touch $@

VITEST := node node_modules/vitest/vitest.mjs run
E2E_DEPENDENCIES := build tools build/grpc-interop build/stamps/calls
E2E := $(ENVOY_VERSIONS:%=e2e-%)

.PHONY: test cpp-test unit test-envoy go-matrix smoke $(E2E) check fuzz fuzz-short fuzz-keep soak torture torture-short framing-torture framing-short bench bench-compare profile
test: cpp-test unit fuzz-short package test-envoy framing-short torture-short ## Every suite; CI runs check and smoke besides
# A failing suite does not keep the others from running, nor the matrix; it fails all the same.
test-envoy: ## End-to-end tests on Envoy 1.40, 1.39 and 1.38, and the matrix of the Golang filter's cases
	@rm -f $(ENVOY_VERSIONS:%=build/reports/e2e-%.json)
	@failed=0; $(MAKE) -k $(E2E) || failed=1; $(MAKE) go-matrix || failed=1; exit $$failed

cpp-test: gen ## C++ tests, with address, undefined-behaviour and thread sanitizers
	@echo "test: C++ (compiling with sanitizers)"
	@$(BUILD) $(ASAN_TESTS) $(TSAN_TESTS)
	@python3 scripts/run_gtests.py build/reports $(ASAN_TESTS) $(TSAN_TESTS)

unit: ts addon tools build/stamps/calls ## TypeScript unit tests
	@echo "test: TypeScript"
	@$(VITEST) --project unit --reporter=default --reporter=json --outputFile.json=build/reports/unit.json

$(E2E): e2e-%: $(E2E_DEPENDENCIES) build/envoy/%/envoy
	@echo "test: end to end on Envoy $*"
	@ENVOY_VERSION=$* $(VITEST) --project 'e2e*' --reporter=default --reporter=json \
	  --outputFile.json=build/reports/e2e-$*.json

go-matrix: build/stamps/npm ## Golang filter's cases x Envoys, from the reports of the last end-to-end runs
	@node scripts/go-matrix.mjs build/reports docs/go-compat.md

smoke: $(E2E_DEPENDENCIES) $(ENVOY) ## One end-to-end test (NODE_VERSION=22|24 for another Node)
	@echo "test: smoke on Node $$(node --version)"
	@ENVOY_VERSION=$(ENVOY_VERSION) $(VITEST) --project 'e2e*' $(SMOKE) --reporter=default --reporter=json \
	  --outputFile.json=build/reports/smoke-node-$(or $(NODE_VERSION),default).json

SMOKE := test/e2e/smoke.test.ts

fuzz fuzz-short: gen
	@$(if $(FUZZERS),$(BUILD) $(FUZZERS),:)
	@python3 scripts/run_fuzzers.py build/reports $(if $(filter fuzz,$@),$(FUZZ_SECONDS),5) $(FUZZERS)
fuzz: ## Every fuzzer for FUZZ_SECONDS (300), or FUZZ_EXECUTIONS inputs if that is less
fuzz-keep: gen # What the fuzzers have found worth keeping goes into cpp/test/corpus/
	@$(BUILD) $(FUZZERS)
	@python3 scripts/run_fuzzers.py --keep $(FUZZERS)

# What both sides say in this protocol (test/compat), once it has a new number; also the peers of older releases' tests.
.PHONY: record-peer
record-peer: ts addon gen
	@$(BUILD) build/test/asan/core/compat_test
	@RECORD_PEER=build/module-said.json build/test/asan/core/compat_test --gtest_brief=1
	@RECORD_PEER=$(CURDIR)/build/module-said.json $(VITEST) --project unit test/compat

# ---- checks -------------------------------------------------------------------------------------------------------

.PHONY: lint format lint-format lint-eslint lint-imports lint-types lint-gen lint-cpp lint-sizes
CPP_FILES := $(shell find cpp -name '*.cc' -o -name '*.h')
check: lint cpp-test unit ## Formats, lint, types, generated code, sanitizers, fast tests
lint: lint-format lint-eslint lint-imports lint-types lint-gen lint-cpp lint-sizes

lint-format: build/stamps/npm
	@echo "check: prettier"
	@node node_modules/prettier/bin/prettier.cjs --check --log-level=warn . || { echo "mend: make format" >&2; exit 1; }

lint-eslint: ts
	@echo "check: eslint"
	@node node_modules/eslint/bin/eslint.js --max-warnings=0 .

lint-imports: build/stamps/npm gen
	@echo "check: imports (docs/layout.md, \"The host\")"
	@node node_modules/dependency-cruiser/bin/dependency-cruise.mjs --config .dependency-cruiser.mjs --output-type err-long src

lint-types: ts
	@echo "check: types (TypeScript 6, then 7)"
	@$(TSC) -p tsconfig.json
	@node node_modules/typescript-7/bin/tsc -p tsconfig.json

lint-gen: gen
	@echo "check: generated code"
	@scripts/generate.sh build/gen-check/cpp build/gen-check/ts
	@diff -r build/gen-check/ts src/channel/codec/generated && diff -r build/gen-check/cpp build/gen || { \
	  echo "generated code differs from schema/exchange.fbs; mend: touch schema/exchange.fbs && make gen" >&2; exit 1; }

lint-cpp: build/stamps/packages
	@echo "check: clang-format"
	@clang-format --dry-run -Werror $(CPP_FILES) || { echo "mend: make format" >&2; exit 1; }

lint-sizes:
	@echo "check: sizes of files, functions and classes in cpp/"
	@python3 scripts/check-sizes.py

format: build/stamps/packages build/stamps/npm ## Rewrites every file in the project's format
	@node node_modules/prettier/bin/prettier.cjs --write --log-level=warn .
	@clang-format -i $(CPP_FILES)

# ---- long -----------------------------------------------------------------------------------------------------------

soak: $(E2E_DEPENDENCIES) $(ENVOY) ## SOAK_SECONDS (1800) of faults under load, SOAK_RESTARTS (1000) hosts, 1 GB bodies, 300 s mixed
	@SOAK=1 SOAK_SECONDS=$(SOAK_SECONDS) SOAK_RESTARTS=$(SOAK_RESTARTS) MIXED_SECONDS=300 ENVOY_VERSION=$(ENVOY_VERSION) \
	  $(VITEST) --project 'e2e*' $(SOAKED:%=test/e2e/%.test.ts)
SOAKED := soak flow mixed

# All Envoys, unless one was asked for.
TORTURE_VERSIONS := $(if $(filter file,$(origin ENVOY_VERSION)),$(ENVOY_VERSIONS),$(ENVOY_VERSION))
torture: build $(TORTURE_VERSIONS:%=build/envoy/%/envoy) ## Random chains with filters that pause (docs/chains.md)
	@TORTURE_VERSIONS="$(TORTURE_VERSIONS)" node scripts/torture.mjs
torture-short: build $(TORTURE_VERSIONS:%=build/envoy/%/envoy)
	@echo "test: chain torture, short"
	@TORTURE_VERSIONS="$(TORTURE_VERSIONS)" TORTURE_MESSAGES=$(TORTURE_SHORT) node scripts/torture.mjs --report
TORTURE_SHORT := 1200

framing-torture: build $(TORTURE_VERSIONS:%=build/envoy/%/envoy) ## Random exchanges judged by strict readers (docs/framing-torture.md)
	@TORTURE_VERSIONS="$(TORTURE_VERSIONS)" node scripts/torture.mjs framing
framing-short: build $(TORTURE_VERSIONS:%=build/envoy/%/envoy)
	@echo "test: framing torture, short"
	@TORTURE_VERSIONS="$(TORTURE_VERSIONS)" FRAMING_EXCHANGES=$(FRAMING_SHORT) node scripts/torture.mjs framing --report
FRAMING_SHORT := 9000

bench: build build/stamps/calls $(ENVOY) ## Against no filter, Lua and ext_proc (BENCH_OPTS="--rounds 5 --write-docs")
	@ENVOY_VERSION=$(ENVOY_VERSION) node bench/run.js $(BENCH_OPTS)
bench-compare: build $(ENVOY) # This working copy and others, built, by short bursts in turn: WITH="../before" BENCH_OPTS="--streams"
	@ENVOY_VERSION=$(ENVOY_VERSION) node bench/compare.js $(BENCH_OPTS) $(WITH)

profile: build $(ENVOY) ## CPU profiles of host and Envoy under load
	@ENVOY_VERSION=$(ENVOY_VERSION) node bench/profile/run.mjs

# ---- clean ----------------------------------------------------------------------------------------------------------

.PHONY: clean distclean
clean: ## Removes what was built; downloads stay
	@rm -rf dist packages/*/dist src/channel/codec/generated
	@rm -rf $(filter-out build/envoy build/node build/stamps,$(wildcard build/*)) build/stamps/ring build/stamps/ts build/stamps/calls
distclean: ## Removes all that make ever wrote
	@rm -rf dist packages/*/dist src/channel/codec/generated build .venv node_modules
