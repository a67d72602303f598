# SPDX-License-Identifier: Apache-2.0
# `make fuzz` lets libFuzzer try configurations, what Renode's console prints and conversations of debuggers, each from its corpus on, for
# FUZZ_SECONDS. What it finds stays in build/fuzz; a crash belongs into the corpus, which a unit test replays.

FUZZ_SECONDS ?= 30
FUZZ_CC ?= clang
FUZZ_SAN := -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
FUZZ_NAMES := config renode gdb junit
FUZZ_BASE_C := proto/wire/err.c proto/wire/mem.c proto/wire/utf8.c

FUZZ_CORPUS_config := tests/fuzz/corpus
FUZZ_FLAGS_config := -max_len=65536 -dict=tests/fuzz/config.dict
FUZZ_C_config := $(CONFIG_C) $(G)/pwemu/v1/targets.pb-c.c

FUZZ_CORPUS_renode := tests/fuzz/renode
FUZZ_FLAGS_renode := -max_len=8192
FUZZ_C_renode := $(addprefix daemon/driver/,monitor_text.c monitor.c renode_cpus.c renode_listing.c) daemon/loop/timer.c config/nearest.c config/value.c

FUZZ_CORPUS_gdb := tests/fuzz/gdb
FUZZ_FLAGS_gdb := -max_len=4096
FUZZ_C_gdb := $(addprefix daemon/driver/,gdb_session.c gdb_packets.c gdb_breaks.c rsp.c)

FUZZ_CORPUS_junit := tests/fuzz/junit
FUZZ_FLAGS_junit := -max_len=65536
FUZZ_C_junit := $(wildcard client/junit*.c) client/verdict.c client/tojson.c $(filter-out %/record.pb-c.c,$(PB_C))

.SECONDEXPANSION:
$(FUZZ_NAMES:%=build/fuzz/%): build/fuzz/%: tests/fuzz/fuzz_%.c $$(FUZZ_C_$$*) $(FUZZ_BASE_C) $(wildcard config/*.h proto/wire/*.h daemon/driver/*.h) | $(PB_H)
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)
	$(Q)$(FUZZ_CC) -std=gnu11 -D_GNU_SOURCE -g -O1 $(FUZZ_SAN) -I. -Iproto -Idaemon -I$(G) $(PKG_CFLAGS) -o $@ $(filter %.c,$^) \
		$(call lib,$(MODULES)) -lm

$(FUZZ_NAMES:%=fuzz-%): fuzz-%: build/fuzz/%
	@mkdir -p build/fuzz/corpus-$*
	build/fuzz/$* -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 $(FUZZ_FLAGS_$*) -artifact_prefix=build/fuzz/$*- \
		build/fuzz/corpus-$* $(FUZZ_CORPUS_$*)

# One after the other: each wants a processor of its own.
fuzz: deps-fuzz
	@$(MAKE) --no-print-directory -s -j$(JOBS) $(FUZZ_NAMES:%=build/fuzz/%)
	@for name in $(FUZZ_NAMES); do $(MAKE) --no-print-directory fuzz-$$name || exit 1; done

deps-fuzz:
	@$(call INSTALL_MISSING,$(DEPS_BUILD) $(DEPS_FUZZ))

.PHONY: fuzz deps-fuzz $(FUZZ_NAMES:%=fuzz-%)
