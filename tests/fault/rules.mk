# SPDX-License-Identifier: Apache-2.0
# libfault.so, and the shim as it is, but dynamic and with libfault before libc: static and without environment it cannot be had otherwise.

FAULT_LIB := $(B)/tests/fault/libfault.so
FAULT_SHIM := $(B)/tests/fault/pwemu-shim

# No sanitizer: it is loaded into programs with their own.
$(FAULT_LIB): tests/fault/fault.c | deps-check
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -O1 -g $(WARN) -shared -fPIC -o $@ $< -ldl

$(FAULT_SHIM): $(SHIM_SRC) $(wildcard daemon/shim/*.h) $(FAULT_LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -O1 -g $(WARN) -I. -Idaemon -o $@ -Wl,--no-as-needed -Wl,-rpath,$(abspath $(@D)) $(abspath $(FAULT_LIB)) $(SHIM_SRC)

TEST_EXTRA += $(FAULT_LIB) $(FAULT_SHIM)
