# SPDX-License-Identifier: Apache-2.0
# pwemu: one non-recursive makefile. `make help` lists the targets.

VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
VARIANT ?= $(if $(SANITIZE),sanitize,release)
B := build/$(VARIANT)
G := $(B)/gen

ifeq ($(origin CC),default)
CC := gcc
endif
SHIM_CC ?= musl-gcc
PKG_CONFIG ?= pkg-config
PYTHON ?= /usr/bin/python3
OPT ?= -O2 -g
CFLAGS ?=
# Of the builds that demo and check start.
JOBS ?= $(shell nproc)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wundef $(if $(WERROR),-Werror)
SAN := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

# V=1 shows the commands.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s %s\n' '$(1)' '$(2)')

include packaging/deps.mk

# no, yes, or auto: where its headers are. It is loaded when it is needed, not linked.
WITH_SYSTEMD ?= auto
HAS_SYSTEMD := $(if $(filter auto,$(WITH_SYSTEMD)),$(shell $(PKG_CONFIG) --exists libsystemd 2>/dev/null && echo yes || echo no),$(WITH_SYSTEMD))

MODULES := libevent_core json-c libprotobuf-c libnghttp2
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(MODULES) 2>/dev/null)
BASE_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DPWEMU_VERSION='"$(VERSION)"' $(OPT) $(WARN) $(SAN) -fstack-protector-strong -MMD -MP \
	-I. -Iproto -Idaemon -I$(G) $(PKG_CFLAGS) $(CFLAGS)
LINK = $(CC) $(OPT) $(SAN) -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS)
lib = $(shell $(PKG_CONFIG) --libs $(1) 2>/dev/null)

# ---------------------------------------------------------------- sources

PROTOS := $(wildcard proto/pwemu/v1/*.proto proto/grpc/*/*/*.proto)
PB_C := $(PROTOS:proto/%.proto=$(G)/%.pb-c.c)
PB_H := $(PB_C:.c=.h)

WIRE_C := $(wildcard proto/wire/*.c)
CONFIG_C := $(wildcard config/*.c)
DAEMON_C := $(filter-out daemon/shim/%,$(wildcard daemon/*/*.c)) daemon/control.c daemon/manager.c daemon/options.c
CLIENT_C := $(filter-out client/main.c,$(wildcard client/*.c))
UNIT_C := $(wildcard tests/unit/test_*.c)

objs = $(patsubst %.c,$(B)/obj/%.o,$(1))

all: $(B)/bin/pwemu $(B)/bin/pwemud $(B)/libexec/pwemu/pwemu-shim $(B)/libexec/pwemu/pwemu-tls.so $(B)/share/pwemu/targets

# The build tree has the layout of an installation, so that the programs find each other the same way in both.
$(B)/bin/pwemud: $(B)/obj/daemon/main.o $(B)/libdaemon.a $(B)/libconfig.a $(B)/libwire.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ $(call lib,$(MODULES)) -ldl

$(B)/bin/pwemu: $(B)/obj/client/main.o $(B)/libclient.a $(B)/libconfig.a $(B)/libwire.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ $(call lib,$(MODULES)) -ldl

SHIM_SRC := $(wildcard daemon/shim/*.c)
$(B)/libexec/pwemu/pwemu-shim: $(SHIM_SRC) $(wildcard daemon/shim/*.h) | deps-check
	@mkdir -p $(@D)
	$(call say,SHIM,$@)
	$(Q)$(SHIM_CC) -std=gnu11 -D_GNU_SOURCE -Os $(WARN) -static -s -I. -Idaemon -o $@ $(SHIM_SRC)

# What OpenSSL is needed for, loaded for network addresses only. Its own copies of err and mem: it takes nothing from who loads it.
TLS_SRC := $(wildcard proto/tls/*.c)
TLS_MODULES := openssl libevent_openssl
$(B)/libexec/pwemu/pwemu-tls.so: $(TLS_SRC) proto/wire/err.c proto/wire/mem.c $(wildcard proto/tls/*.h proto/wire/*.h) | deps-check
	@mkdir -p $(@D)
	$(call say,TLS,$@)
	$(Q)$(LINK) -std=gnu11 -D_GNU_SOURCE $(WARN) -fPIC -fvisibility=hidden -fstack-protector-strong -shared -I. -Iproto \
		$(shell $(PKG_CONFIG) --cflags $(TLS_MODULES) 2>/dev/null) $(CFLAGS) -o $@ $(filter %.c,$^) $(call lib,$(TLS_MODULES) libevent_core)

$(B)/share/pwemu/targets:
	@mkdir -p $(@D)
	$(Q)ln -sfn ../../../../config/targets $@

$(B)/libdaemon.a: $(call objs,$(DAEMON_C))
$(B)/libclient.a: $(call objs,$(CLIENT_C))
$(B)/libconfig.a: $(call objs,$(CONFIG_C))
$(B)/libwire.a: $(call objs,$(WIRE_C)) $(PB_C:.c=.o) $(G)/descriptors.o
$(B)/lib%.a:
	@rm -f $@
	$(call say,AR,$@)
	$(Q)ar rcs $@ $^

# Compiled anew when the answer is another one.
SYSTEMD_CFLAGS := $(if $(filter yes,$(HAS_SYSTEMD)),-DWITH_SYSTEMD $(shell $(PKG_CONFIG) --cflags libsystemd 2>/dev/null))
$(B)/obj/daemon/base/systemd.o: private CFLAGS += $(SYSTEMD_CFLAGS)
$(B)/obj/daemon/base/systemd.o: $(G)/systemd.$(HAS_SYSTEMD)
$(G)/systemd.$(HAS_SYSTEMD):
	@mkdir -p $(@D)
	@rm -f $(G)/systemd.*
	@touch $@

$(B)/obj/%.o: %.c | $(PB_H) deps-check
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(BASE_CFLAGS) -c -o $@ $<

# ---------------------------------------------------------------- generated

$(G)/%.pb-c.c $(G)/%.pb-c.h &: proto/%.proto | deps-check
	@mkdir -p $(@D)
	$(call say,PROTO,$<)
	$(Q)protoc-c -Iproto --c_out=$(G) $<

$(G)/%.pb-c.o: $(G)/%.pb-c.c | $(PB_H)
	$(call say,CC,$<)
	$(Q)$(CC) $(BASE_CFLAGS) -Wno-shadow -c -o $@ $<

$(G)/pwemu.protoset: $(PROTOS) | deps-check
	@mkdir -p $(@D)
	$(call say,PROTO,$@)
	$(Q)protoc -Iproto --include_imports --descriptor_set_out=$@ $(PROTOS)

$(G)/descriptors.o: $(G)/pwemu.protoset
	$(Q)printf '%s\n' '.section .rodata' '.global wire_descriptors' 'wire_descriptors:' '.incbin "$<"' \
		'.global wire_descriptors_end' 'wire_descriptors_end:' '.section .note.GNU-stack,"",%progbits' > $(@:.o=.s)
	$(Q)$(CC) -c -o $@ $(@:.o=.s)

include client/python/rules.mk
include tests/rules.mk

# ---------------------------------------------------------------- demo

DEMO_ELF := build/firmware/lm3s6965evb/demo.elf

demo: deps-demo
	@$(MAKE) --no-print-directory -s -j$(JOBS) all $(DEMO_ELF)
	@echo '$$ pwemu run qemu-lm3s6965evb $(DEMO_ELF) --semihosting'
	@$(B)/bin/pwemu run qemu-lm3s6965evb $(DEMO_ELF) --semihosting </dev/null

# ---------------------------------------------------------------- install, clean

DEST = $(DESTDIR)$(PREFIX)
MAN := share/man/man1/pwemu.1
MAN_DAEMON := share/man/man8/pwemud.8
UNITS := system/pwemud.service system/pwemud.socket user/pwemud.service user/pwemud.socket
SYSTEMD_FILES := sysusers.d/pwemu.conf tmpfiles.d/pwemu.conf
SYSTEMD_INSTALLED := $(UNITS:%=lib/systemd/%) $(SYSTEMD_FILES:%=lib/%)
COMPLETION := share/bash-completion/completions/pwemu

install: all install-python
	install -d $(DEST)/bin $(DEST)/libexec/pwemu $(DEST)/share/pwemu/targets $(DEST)/share/pwemu/schema $(addprefix $(DEST)/,$(sort $(dir $(MAN) $(MAN_DAEMON) $(COMPLETION) $(SYSTEMD_INSTALLED))))
	install -m 755 $(B)/bin/pwemu $(B)/bin/pwemud $(DEST)/bin/
	install -m 755 $(B)/libexec/pwemu/pwemu-shim $(B)/libexec/pwemu/pwemu-tls.so $(DEST)/libexec/pwemu/
	install -m 644 config/targets/*.json $(DEST)/share/pwemu/targets/
	install -m 644 config/schema/*.json $(DEST)/share/pwemu/schema/
	install -m 644 packaging/man/pwemu.1 $(DEST)/$(MAN)
	install -m 644 packaging/man/pwemud.8 $(DEST)/$(MAN_DAEMON)
	install -m 644 packaging/completion/pwemu.bash $(DEST)/$(COMPLETION)
	set -e; for unit in $(UNITS); do sed 's|@BINDIR@|$(PREFIX)/bin|' packaging/systemd/$$unit.in > $(DEST)/lib/systemd/$$unit; \
		chmod 644 $(DEST)/lib/systemd/$$unit; done
	set -e; for file in $(SYSTEMD_FILES); do install -m 644 packaging/systemd/$$file $(DEST)/lib/$$file; done

uninstall:
	rm -f $(DEST)/bin/pwemu $(DEST)/bin/pwemud $(addprefix $(DEST)/,$(MAN) $(MAN_DAEMON) $(COMPLETION) $(SYSTEMD_INSTALLED))
	rm -rf $(DEST)/libexec/pwemu $(DEST)/share/pwemu $(DEST)/$(PYTHON_DEST)/pwemu

clean:
	rm -rf build

help:
	@echo 'all        build into build/$(VARIANT) (default)'
	@echo 'demo       install what is missing, build, boot a demo firmware, show its output, stop'
	@echo 'check      install what is missing, build, run every test'
	@echo '           (parts: check-unit check-integration check-python check-driver-qemu check-driver-renode)'
	@echo 'fuzz-run   libFuzzer on every byte that comes from outside; FUZZ_SECONDS=20 each, every night 3600 (fuzz: only build)'
	@echo 'bench      measure against the raw emulator'
	@echo 'lint       formatting, layers, clang-tidy, shellcheck'
	@echo 'install    below PREFIX=$(PREFIX), DESTDIR honoured'
	@echo 'deps       install the packages for building; deps-test: those for the tests'
	@echo 'Variables: JOBS CC CFLAGS LDFLAGS WERROR=1 SANITIZE=address,undefined WITH_SYSTEMD=no|yes|auto PREFIX DESTDIR'

.PHONY: all demo install uninstall clean help
-include $(shell find $(B) -name '*.d' 2>/dev/null)
