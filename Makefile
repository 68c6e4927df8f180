# The index of habits. `make` alone prints what can be made.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

TARGETS  := x64 arm64 armv7
triplet_x64   := x86_64-linux-gnu
triplet_arm64 := aarch64-linux-gnu
triplet_armv7 := arm-linux-gnueabihf
gyp_x64   := x64
gyp_arm64 := arm64
gyp_armv7 := arm

OUT      := out
STEP     := native/pack/step.sh
SOURCES  := $(shell find src -type f 2>/dev/null)
SHIM_C   := $(wildcard native/weir-shim/*.c)
SHIM_H   := $(wildcard native/weir-shim/*.h)
HOST_C   := $(wildcard native/host/*.c)
HOST_H   := $(wildcard native/host/*.h)
LOAD_C   := $(wildcard native/mqtt-load/*.c)
BINARIES := $(TARGETS:%=$(OUT)/weir-linux-%)
MODULES  := node_modules/.weir-setup
JOBS     := $(shell nproc 2>/dev/null || echo 2)
# Another Node for a target: NODE_ARCHIVE_armv7=URL-or-file NODE_ARCHIVE_armv7_SHA256=hex
export $(foreach target,$(TARGETS),NODE_ARCHIVE_$(target) NODE_ARCHIVE_$(target)_SHA256)
CFLAGS_C := -std=c11 -Os -Wall -Wextra -Werror

.PHONY: help setup build $(TARGETS:%=build-%) dev check format sim sim-long test test-unit test-e2e test-board \
	ledger demo footprint conformance fuzz power-cut crash big-backlog sdk bench bench-broker bench-store bench-router clean distclean

help: ## print this list
	@echo "weir: make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1	\2/p' Makefile | expand -t 16
	@echo "V=1 shows the output of every step; otherwise it is in out/log/."

setup: ## install what this machine lacks (Debian packages as root, npm packages); seconds when nothing does
	@native/pack/setup.sh

# The long compilations run side by side; sub-makes are told so, the order of the big steps is not left to luck.
build: setup ## build out/weir-linux-x64, -arm64 and -armv7, and out/SHA256SUMS
	@$(MAKE) --no-print-directory -j$(JOBS) commit-stamp && $(MAKE) --no-print-directory -j$(JOBS) $(BINARIES)
	@$(MAKE) --no-print-directory $(OUT)/SHA256SUMS

build-x64: setup ## build out/weir-linux-x64 alone
	@$(MAKE) --no-print-directory commit-stamp && $(MAKE) --no-print-directory -j$(JOBS) $(OUT)/weir-linux-x64

build-arm64: setup ## build out/weir-linux-arm64 alone
	@$(MAKE) --no-print-directory commit-stamp && $(MAKE) --no-print-directory -j$(JOBS) $(OUT)/weir-linux-arm64

build-armv7: setup ## build out/weir-linux-armv7 alone
	@$(MAKE) --no-print-directory commit-stamp && $(MAKE) --no-print-directory -j$(JOBS) $(OUT)/weir-linux-armv7

dev: setup ## build the native parts that the sources use in this tree (out/host), as tests need them
	@$(MAKE) --no-print-directory -j$(JOBS) $(OUT)/host/host.node $(OUT)/host/weir-shim $(OUT)/host/store-thread.cjs \
		$(OUT)/host/mqtt-load

check: setup ## formatter, linter, types, import table, style: all that is decided without running anything
	@native/check/check.sh

format: setup ## format the sources and apply the linter's safe fixes
	@npx --no-install biome check --write .

test: ## everything, from nothing: setup, build, check, all tests; ends with "N passed, N failed"
	@native/check/test.sh all

test-unit: ## the tests that need no executable
	@native/check/test.sh unit

test-e2e: ## the tests that run out/weir-linux-x64
	@native/check/test.sh e2e

test-board: ## the tests that run the arm64 and armv7 executables under qemu-user
	@native/check/test.sh board

# SEEDS=1,2,… chooses the seeds; the verdict of each is printed at the end.
SEEDS := $(shell seq -s , 1 20)
ledger: build-x64 ## kill, cut and restart at drawn moments, SEEDS=1,2,… (twenty): nothing lost, doubled, reordered
	@LEDGER_SEEDS=$(SEEDS) node native/check/run-tests.mjs test/e2e/ledger.test.ts
	@sed -n -e 's/^.*# Subtest: \(nothing is lost.*\)/\1:/p' -e 's/^ *# \({"messages".*}\)/  \1/p' $(OUT)/log/tests.tap

demo: build-x64 ## watch it work: hub, gateway, Modbus plant, an outage, a crash, and a proof that nothing was lost
	@node_modules/.bin/esbuild test/demo/demo.ts --bundle --platform=node --format=cjs --target=node20.11 \
		--outfile=$(OUT)/host/demo.cjs --log-level=warning
	@exec node $(OUT)/host/demo.cjs $(if $(KEEP),--keep) $(if $(JSON),--json)

footprint: build-x64 ## measure executable size, cold start and memory of out/weir-linux-x64
	@node native/footprint.mjs $(if $(JSON),--json)

# The same cases are part of make test; JSON=1 prints all of it for a program.
conformance: setup ## the numbered statements of MQTT 3.1.1 and 5.0: each with its tests and how they went
	@$(BUNDLE) test/conformance/report.ts --bundle --format=cjs --outfile=$(OUT)/host/conformance.cjs
	@exec node $(OUT)/host/conformance.cjs $(if $(JSON),--json)

# A failing case is shortened, told and kept in test/fuzz/corpus; the same SEED draws the same cases.
fuzz: CASES := $(if $(CASES),$(CASES),1000000)
fuzz: setup ## drawn and broken packets over codec and broker: CASES=1000000, SEED=N
	@$(BUNDLE) test/fuzz/fuzz.ts --bundle --format=cjs --outfile=$(OUT)/host/fuzz.cjs
	@CASES=$(CASES) $(if $(SEED),SEED=$(SEED)) exec node --expose-gc $(OUT)/host/fuzz.cjs

# The same disks are part of make test, 240 of them; a failing one is told by its SEED.
power-cut: CASES := $(if $(CASES),$(CASES),10000)
power-cut: dev ## the store on disks as a power cut leaves them: CASES=10000, SEED=N
	@CASES=$(CASES) $(if $(SEED),SEED=$(SEED)) node native/check/run-tests.mjs test/crash/power-cut.test.ts

# Eight such chains are part of make test; a failing one is told by its CRASH_SEEDS.
crash: ROUNDS := $(if $(ROUNDS),$(ROUNDS),100)
crash: dev ## the store killed at drawn system calls: ROUNDS=100 chains of 25 lives
	@CRASH_SEEDS=$(shell seq -s , 1 $(ROUNDS)) node native/check/run-tests.mjs test/crash/store.test.ts

# A small one is part of make test.
big-backlog: MIB := $(if $(MIB),$(MIB),1024)
big-backlog: build-x64 dev ## a gigabyte that waited for the hub arrives: MIB=1024; needs three times that in TMPDIR
	@BIG_BACKLOG_MIB=$(MIB) node native/check/run-tests.mjs test/e2e/big-backlog.test.ts
	@sed -n -e 's/^.*# Subtest: \(a backlog of.*\)/\1:/p' -e 's/^ *# \([0-9]* MiB wait\|found again.*\|drained in.*\)/  \1/p' $(OUT)/log/tests.tap

# The same files are part of make test. Microsoft's clients dial 8883 and 443 alone: where these cannot be had, tests are skipped.
sdk: ROUNDS := $(if $(ROUNDS),$(ROUNDS),1)
sdk: build-x64 dev ## Microsoft's clients, unmodified, in all their scenarios: ROUNDS=1 times in a row, to the first failure
	@for round in $$(seq 1 $(ROUNDS)); do echo "Round $$round of $(ROUNDS)"; \
	  node native/check/run-tests.mjs test/sdk/*.test.ts || { echo "Round $$round of $(ROUNDS) failed."; exit 1; }; done
	@echo "$(ROUNDS) of $(ROUNDS) rounds passed."

# A run is a function of its seed; some hundred are part of make test. test/sim/seeds.ts keeps those that found something.
sim: setup ## one run of the simulated data path with its story: SEED=n
	@$(BUNDLE) test/sim/run.ts --bundle --format=cjs --external:better-sqlite3 --sourcemap=inline --outfile=$(OUT)/host/sim.cjs \
	  --define:import.meta.url="'file://$(CURDIR)/src/platform/native.ts'"
	@node --enable-source-maps $(OUT)/host/sim.cjs $(if $(SEED),$(SEED),1) $(RUNS)

sim-long: RUNS := $(if $(SEEDS),$(SEEDS),20000)
sim-long: sim ## many runs of the simulated data path: SEEDS=20000, from SEED=1 on

bench: bench-broker bench-store bench-router ## all benches

# ROUNDS=3 CASES=targets,idle,… (sets or names of test/bench/cases.ts; CASES=smoke: half a minute) SECONDS=2 JSON=file
bench-broker: build-x64 bench-parts ## weir's broker beside mosquitto and aedes: CPU per message, rates, latency, memory; a quarter of an hour
	@exec node $(OUT)/host/bench.cjs $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(CASES),--cases $(CASES)) \
		$(if $(SECONDS),--seconds $(SECONDS)) $(if $(JSON),--json $(JSON))

# ROUNDS=3 CASES=accept,drain,flash,latency,backlog (or smoke: ten seconds) SECONDS=3 BACKLOG=5000000 JSON=file PROFILE=dir
bench-store: build-x64 ## the store beside SQLite alone and mosquitto: rates, drain, bytes on the device, latency, memory; ends with 3 when a goal is missed
	@$(BUNDLE) test/bench/store/bench.ts --bundle --format=esm --packages=external --outfile=$(OUT)/host/bench-store.mjs
	@exec node $(OUT)/host/bench-store.mjs $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(CASES),--cases $(CASES)) \
		$(if $(SECONDS),--seconds $(SECONDS)) $(if $(BACKLOG),--backlog $(BACKLOG)) $(if $(JSON),--json $(JSON)) \
		$(if $(PROFILE),--profile $(PROFILE))

# ROUNDS=3 MESSAGES=20000 ONLY=pure,hops JSON=file
bench-router: build-x64 ## conditions a second, what a thousand routes cost, hops end to end beside mosquitto; ends with 3 when a goal is missed
	@$(BUNDLE) test/bench/router/bench.ts --bundle --format=esm --packages=external --outfile=$(OUT)/host/bench-router.mjs
	@exec node $(OUT)/host/bench-router.mjs $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(MESSAGES),--messages $(MESSAGES)) \
		$(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json $(JSON))

.PHONY: bench-parts
BUNDLE := node_modules/.bin/esbuild --platform=node --target=node20.11 --log-level=warning
bench-parts: $(OUT)/host/mqtt-load
	@$(BUNDLE) test/bench/bench.ts --bundle --format=cjs --outfile=$(OUT)/host/bench.cjs
	@$(BUNDLE) test/bench/broker-alone.ts --bundle --format=esm --packages=external --outfile=$(OUT)/host/broker-alone.mjs
	@$(BUNDLE) test/bench/aedes-alone.ts --format=esm --outfile=$(OUT)/host/aedes-alone.mjs

clean: ## remove what was built, keep what was downloaded
	@rm -rf $(OUT)/build $(OUT)/host $(OUT)/log $(OUT)/weir-linux-* $(OUT)/SHA256SUMS .tap .tsimp

distclean: clean ## remove downloads and node_modules too
	@rm -rf $(OUT) node_modules

# ---- what follows are files ----

.PHONY: commit-stamp
commit-stamp:
	@native/pack/commit.sh

$(MODULES): package-lock.json package.json
	@native/pack/setup.sh && touch $@

$(OUT)/build/commit.json:
	@native/pack/commit.sh

# $(call native_rules,TARGET): the runtime, the addons and the shim of one target.
define native_rules
$(OUT)/build/$(1)/node: native/pack/targets.json native/pack/fetch-node.mjs
	@$(STEP) "Node runtime for $(1)" node native/pack/fetch-node.mjs $(1) && touch $$@

$(OUT)/build/$(1)/better_sqlite3.node: $(OUT)/build/$(1)/node package-lock.json $(wildcard native/better-sqlite3/*)
	@$(STEP) "SQLite addon for $(1)" native/better-sqlite3/build.sh $(triplet_$(1)) $(gyp_$(1)) \
		$(CURDIR)/$(OUT)/build/$(1)/nodedir $(CURDIR)/$(OUT)/build/$(1)/work $(CURDIR)/$$@

$(OUT)/build/$(1)/host.node: $(OUT)/build/$(1)/node $(HOST_C) $(HOST_H) Makefile
	@$(STEP) "host addon for $(1)" $(triplet_$(1))-gcc $(CFLAGS_C) -shared -fPIC -s \
		-I$(OUT)/build/$(1)/nodedir/include/node $(HOST_C) -o $$@

$(OUT)/build/$(1)/weir-shim: $(SHIM_C) $(SHIM_H) Makefile
	@mkdir -p $$(@D)
	@$(STEP) "weir-shim for $(1)" $(triplet_$(1))-gcc $(CFLAGS_C) -static -s $(SHIM_C) -o $$@

$(OUT)/build/$(1)/symbols: $(OUT)/build/$(1)/better_sqlite3.node $(OUT)/build/$(1)/host.node native/pack/symbols.mjs
	@$(STEP) "library versions needed on $(1)" node native/pack/symbols.mjs $(triplet_$(1)) \
		$(OUT)/build/$(1)/better_sqlite3.node $(OUT)/build/$(1)/host.node && touch $$@

$(OUT)/build/$(1)/weir.cjs: $(SOURCES) $(OUT)/build/commit.json package-lock.json package.json LICENSE \
		native/pack/bundle.mjs native/pack/licences.mjs $(OUT)/build/$(1)/symbols $(OUT)/build/$(1)/weir-shim
	@$(STEP) "bundle for $(1)" node native/pack/bundle.mjs $(1)

$(OUT)/weir-linux-$(1): $(OUT)/build/$(1)/weir.cjs sea-config.json native/pack/sea.mjs
	@$(STEP) "executable for $(1)" node native/pack/sea.mjs $(1)
endef
$(foreach target,$(TARGETS),$(eval $(call native_rules,$(target))))

$(OUT)/SHA256SUMS: $(BINARIES)
	@cd $(OUT) && sha256sum $(notdir $(BINARIES)) > SHA256SUMS.tmp && mv SHA256SUMS.tmp SHA256SUMS && cat SHA256SUMS

NODE_HEADERS := $(OUT)/build/x64/nodedir/include/node

$(OUT)/host/host.node: $(HOST_C) $(HOST_H) | $(OUT)/build/x64/node
	@mkdir -p $(@D)
	@$(STEP) "host addon for this machine" gcc $(CFLAGS_C) -shared -fPIC \
		-I$(NODE_HEADERS) $(HOST_C) -o $@

$(OUT)/host/weir-shim: $(SHIM_C) $(SHIM_H)
	@mkdir -p $(@D)
	@$(STEP) "weir-shim for this machine" gcc $(CFLAGS_C) -static -s $(SHIM_C) -o $@

$(OUT)/host/mqtt-load: $(LOAD_C) native/mqtt-load/load.h
	@mkdir -p $(@D)
	@$(STEP) "load generator for this machine" gcc -std=gnu11 -O2 -Wall -Wextra -Werror $(LOAD_C) -o $@ -lssl -lcrypto

$(OUT)/host/store-thread.cjs: $(SOURCES) native/pack/bundle.mjs LICENSE
	@$(STEP) "store thread for this machine" node native/pack/bundle.mjs host
