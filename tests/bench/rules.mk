# SPDX-License-Identifier: Apache-2.0

$(B)/tests/bench/unary: $(B)/obj/tests/bench/unary.o $(B)/libclient.a $(B)/libconfig.a $(B)/libwire.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ $(call lib,$(MODULES))

bench: deps-demo
	@$(MAKE) --no-print-directory -s all firmware $(B)/tests/bench/unary $(B)/tests/fake/emulator $(PWEMU_PY_DONE)
	@$(TEST_ENV) $(PYTHON) tests/bench/bench.py $(BENCH_ARGS)
	@$(TEST_ENV) $(PYTHON) tests/bench/by_hand.py $(BENCH_HAND_ARGS)
	@$(TEST_ENV) $(PYTHON) tests/bench/network.py $(BENCH_NETWORK_ARGS)
	@$(TEST_ENV) $(PYTHON) tests/bench/many.py $(BENCH_MANY_ARGS)
	@$(TEST_ENV) $(PYTHON) tests/bench/idle.py

.PHONY: bench
