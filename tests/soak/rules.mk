# SPDX-License-Identifier: Apache-2.0

soak: deps-demo
	@$(MAKE) --no-print-directory -s all firmware
	@$(TEST_ENV) $(PYTHON) tests/soak/sequence.py 60

.PHONY: soak
