# SPDX-License-Identifier: Apache-2.0
# Tests: included by the makefile. The parts bring their own rules.mk.

UNIT_BIN := $(UNIT_C:tests/unit/%.c=$(B)/tests/unit/%)
BATS := $(sort $(wildcard tests/integration/*.bats))
PYTEST := $(sort $(wildcard tests/python/test_*.py tests/python/*/test_*.py))

$(B)/tests/unit/%: $(B)/obj/tests/unit/%.o $(B)/libdaemon.a $(B)/libclient.a $(B)/libconfig.a $(B)/libwire.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ -lcmocka $(call lib,$(MODULES)) -ldl
# Kept: as intermediate files make would delete them, and compile every test again next time.
.SECONDARY: $(UNIT_BIN:$(B)/%=$(B)/obj/%.o)

# The daemon of a build without libsystemd: one file is another.
$(B)/tests/nosystemd/systemd.o: daemon/base/systemd.c | $(PB_H) deps-check
	@mkdir -p $(@D)
	$(call say,CC,$< without libsystemd)
	$(Q)$(CC) $(BASE_CFLAGS) -c -o $@ $<
$(B)/tests/nosystemd/bin/pwemud: $(B)/obj/daemon/main.o $(B)/tests/nosystemd/systemd.o $(B)/libdaemon.a $(B)/libconfig.a $(B)/libwire.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)ln -sfn ../../share $(@D)/../share && ln -sfn ../../libexec $(@D)/../libexec
	$(Q)$(LINK) -o $@ $^ $(call lib,$(MODULES)) -ldl
TEST_EXTRA += $(B)/tests/nosystemd/bin/pwemud

-include $(wildcard tests/*/rules.mk)

# What the suites find in their environment: the build under test, and sanitizers that fail loudly.
TEST_ENV = PWEMU_BUILD='$(abspath $(B))' PWEMU_FIRMWARE='$(abspath build/firmware)' \
	ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:exitcode=99 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

TEST_PARTS = all $(UNIT_BIN) firmware $(TEST_EXTRA)

check: deps-test
	@$(MAKE) --no-print-directory -j$(JOBS) test-parts
	@$(TEST_ENV) tests/run $(UNIT_BIN) $(BATS) $(PYTEST)
	@PWEMU_TEST_REMOTE=tls $(TEST_ENV) tests/run tests/integration/client_instance.bats tests/python/test_junit.py

test-parts: $(TEST_PARTS)
check-unit: test-parts
	@$(TEST_ENV) tests/run $(UNIT_BIN)
check-integration: test-parts
	@$(TEST_ENV) tests/run $(BATS)
check-python: test-parts
	@$(TEST_ENV) tests/run $(PYTEST)
# The suites of a local client, for one that knows the daemon through `pwemu proxy` alone, and for one over TLS. What cannot hold there
# says why.
REMOTE_SUITES := $(filter-out %/boards.bats %/install.bats,$(BATS)) $(addprefix tests/python/test_,send.py junit.py lease.py queue.py config.py)
check-remote: test-parts
	@PWEMU_TEST_REMOTE=ssh $(TEST_ENV) tests/run $(REMOTE_SUITES)
	@PWEMU_TEST_REMOTE=tls $(TEST_ENV) tests/run $(REMOTE_SUITES)
# check-driver-qemu, check-driver-renode: the suite of all drivers for one of them; PWEMU_TEST_RENODE=/path/to/renode: the real one.
check-driver-%: test-parts
	@$(TEST_ENV) tests/run $(sort $(wildcard tests/python/drivers/test_$*_*.py))

.PHONY: check check-remote test-parts check-unit check-integration check-python
