# SPDX-License-Identifier: Apache-2.0
# make soak: the tests that kill and break things, with big numbers, one after the other.

SOAK_ENV := KILLS=1000 FAULTS=all STARTUP=all CYCLES=10000 CHAOS_OPERATIONS=20000 CHAOS_SECONDS=300 TEST_DEADLINE=7200
SOAK := $(addprefix tests/python/,test_kill.py test_fault.py test_startup.py test_orphans.py test_chaos.py)

soak: deps-test
	@$(MAKE) --no-print-directory -j$(JOBS) test-parts
	@$(TEST_ENV) $(PYTHON) tests/soak/sequence.py 60
	@$(TEST_ENV) $(SOAK_ENV) tests/run --show --jobs 1 $(SOAK)

.PHONY: soak
