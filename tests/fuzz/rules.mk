# SPDX-License-Identifier: Apache-2.0
# libFuzzer on every byte that comes from outside. `make fuzz` builds the targets, `make fuzz-run` gives each FUZZ_SECONDS, two at a time,
# from its corpus on; every night: `make fuzz-run FUZZ_SECONDS=3600`. `make fuzz-NAME` runs one. What is found stays in build/fuzz/found; a
# crash belongs into the corpus, which a unit test (tests/unit/test_fuzz_NAME.c) replays.
# One more: tests/fuzz/fuzz_NAME.c, some samples in tests/fuzz/NAME, the unit test, a word in FUZZ_NAMES.

FUZZ_SECONDS ?= 20
FUZZ_CC ?= clang
FUZZ_JOBS ?= 2
FUZZ_NAMES := config settings image renode gdb qmp junit server request client reply record index journal tokens host

FUZZ_CORPUS = $(if $(filter config,$(1)),tests/fuzz/corpus,tests/fuzz/$(1))
FUZZ_FLAGS_config := -max_len=65536 -dict=tests/fuzz/config.dict
FUZZ_FLAGS_junit := -max_len=65536
FUZZ_FLAGS_server := -max_len=32768
FUZZ_FLAGS_client := -max_len=32768
FUZZ_FLAGS = -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
	$(or $(FUZZ_FLAGS_$(1)),-max_len=8192) -artifact_prefix=build/fuzz/found/$(1)-

# One instrumented build of all libraries, in a variant of its own (build/fuzz); the shim is no part of it.
FUZZ_MAKE = $(MAKE) --no-print-directory VARIANT=fuzz CC=$(FUZZ_CC) SANITIZE=fuzzer-no-link,address,undefined OPT='-O1 -gline-tables-only'

$(B)/fuzz/%: $(B)/obj/tests/fuzz/fuzz_%.o $(B)/libdaemon.a $(B)/libclient.a $(B)/libconfig.a $(B)/libwire.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(OPT) -fsanitize=fuzzer,address,undefined -o $@ $^ $(call lib,$(MODULES)) -ldl -lm
.SECONDARY: $(FUZZ_NAMES:%=$(B)/obj/tests/fuzz/fuzz_%.o)

fuzz-programs: $(FUZZ_NAMES:%=$(B)/fuzz/%)

fuzz: deps-fuzz
	@$(FUZZ_MAKE) -s -j$(JOBS) fuzz-programs

# What libFuzzer tells is shown when it found something, else its last words.
FUZZ_ONE = mkdir -p build/fuzz/found build/fuzz/corpus-$(1); \
	if build/fuzz/fuzz/$(1) $(call FUZZ_FLAGS,$(1)) build/fuzz/corpus-$(1) $(call FUZZ_CORPUS,$(1)) >build/fuzz/$(1).log 2>&1; then \
		echo "fuzz $(1): $$(sed -n 's/^stat::number_of_executed_units: *//p' build/fuzz/$(1).log) inputs"; \
	else tail -n 60 build/fuzz/$(1).log; echo "fuzz $(1): failed, the input is in build/fuzz/found"; exit 1; fi

$(FUZZ_NAMES:%=fuzz-%): fuzz-%: fuzz
	@$(call FUZZ_ONE,$*)

$(FUZZ_NAMES:%=fuzz-only-%): fuzz-only-%:
	@$(call FUZZ_ONE,$*)

fuzz-run: fuzz
	@$(MAKE) --no-print-directory -s -k -j$(FUZZ_JOBS) $(FUZZ_NAMES:%=fuzz-only-%)

deps-fuzz:
	@$(call INSTALL_MISSING,$(DEPS_BUILD) $(DEPS_FUZZ))

.PHONY: fuzz fuzz-run fuzz-programs deps-fuzz $(FUZZ_NAMES:%=fuzz-%) $(FUZZ_NAMES:%=fuzz-only-%)
