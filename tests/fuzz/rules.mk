# SPDX-License-Identifier: Apache-2.0
# `make fuzz` lets libFuzzer try configurations, from the corpus on, for FUZZ_SECONDS. What it finds stays in build/fuzz; a crash belongs
# into tests/fuzz/corpus, which a unit test replays.

FUZZ_SECONDS ?= 30
FUZZ_CC ?= clang
FUZZ_SAN := -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
FUZZ := build/fuzz/config
FUZZ_C := tests/fuzz/fuzz_config.c $(CONFIG_C) proto/wire/err.c proto/wire/mem.c proto/wire/utf8.c $(G)/pwemu/v1/targets.pb-c.c

$(FUZZ): $(FUZZ_C) $(wildcard config/*.h proto/wire/*.h) | $(PB_H)
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)
	$(Q)$(FUZZ_CC) -std=gnu11 -D_GNU_SOURCE -g -O1 $(FUZZ_SAN) -I. -Iproto -Idaemon -I$(G) $(PKG_CFLAGS) -o $@ $(FUZZ_C) \
		$(call lib,$(MODULES))

fuzz: deps-fuzz
	@$(MAKE) --no-print-directory -s -j$(JOBS) $(FUZZ)
	@mkdir -p build/fuzz/corpus
	$(FUZZ) -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -timeout=10 -rss_limit_mb=2048 -dict=tests/fuzz/config.dict \
		-artifact_prefix=build/fuzz/ build/fuzz/corpus tests/fuzz/corpus

# `make fuzz-junit`: the same for what `pwemu run --junit` reads of consoles.
FUZZ_JUNIT := build/fuzz/junit
FUZZ_JUNIT_C := tests/fuzz/fuzz_junit.c $(wildcard client/junit*.c) client/verdict.c client/tojson.c proto/wire/err.c proto/wire/mem.c \
	proto/wire/utf8.c $(filter-out %/record.pb-c.c,$(PB_C))

$(FUZZ_JUNIT): $(FUZZ_JUNIT_C) $(wildcard client/junit*.h) | $(PB_H)
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)
	$(Q)$(FUZZ_CC) -std=gnu11 -D_GNU_SOURCE -g -O1 $(FUZZ_SAN) -I. -Iproto -I$(G) $(PKG_CFLAGS) -o $@ $(FUZZ_JUNIT_C) \
		$(call lib,$(MODULES))

fuzz-junit: deps-fuzz
	@$(MAKE) --no-print-directory -s -j$(JOBS) $(FUZZ_JUNIT)
	@mkdir -p build/fuzz/junit-corpus
	$(FUZZ_JUNIT) -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -timeout=10 -rss_limit_mb=2048 \
		-artifact_prefix=build/fuzz/ build/fuzz/junit-corpus tests/fuzz/junit

deps-fuzz:
	@$(call INSTALL_MISSING,$(DEPS_BUILD) $(DEPS_FUZZ))

.PHONY: fuzz fuzz-junit deps-fuzz
