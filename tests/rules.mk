# SPDX-License-Identifier: Apache-2.0
# Tests: included by the makefile.

# ---------------------------------------------------------------- unit (cmocka): one program per tests/unit/test_*.c

UNIT_BIN := $(UNIT_C:tests/unit/%.c=$(B)/tests/unit/%)

$(B)/tests/unit/%: $(B)/obj/tests/unit/%.o $(B)/libdaemon.a $(B)/libclient.a $(B)/libconfig.a $(B)/libwire.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ -lcmocka $(call lib,$(MODULES)) -ldl
.PRECIOUS: $(B)/obj/tests/unit/%.o

unit: all $(UNIT_BIN)
.PHONY: unit
-include $(wildcard tests/*/rules.mk)
