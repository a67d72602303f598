# SPDX-License-Identifier: Apache-2.0
# What is needed, by Debian package, and how to see that it is there. Each word is PACKAGE:COMMAND or PACKAGE:@PKG-CONFIG-MODULE.

DEPS_BUILD := gcc:$(firstword $(CC)) pkg-config:$(PKG_CONFIG) libevent-dev:@libevent_core libjson-c-dev:@json-c libprotobuf-c-dev:@libprotobuf-c \
	libnghttp2-dev:@libnghttp2 protobuf-c-compiler:protoc-c protobuf-compiler:protoc musl-tools:$(SHIM_CC)
DEPS_DEMO := qemu-system-arm:qemu-system-arm gcc-arm-none-eabi:arm-none-eabi-gcc
DEPS_TEST := $(DEPS_DEMO) qemu-system-misc:qemu-system-riscv32 gcc-riscv64-unknown-elf:riscv64-unknown-elf-gcc libcmocka-dev:@cmocka bats:bats \
	python3-grpcio:+grpc python3-protobuf:+google.protobuf protobuf-compiler-grpc:grpc_python_plugin \
	socat:socat tmux:tmux procps:ps gdb-multiarch:gdb-multiarch git:git

# deps_missing(words): the packages that are not there. +MODULE is a module of Debian's Python.
deps_missing = $(strip $(foreach word,$(1),$(call deps_probe,$(word),$(word:$(firstword $(subst :, ,$(word))):%=%))))
deps_probe = $(shell case '$(2)' in @*) $(PKG_CONFIG) --exists '$(2:@%=%)' ;; +*) $(PYTHON) -c 'import $(2:+%=%)' ;; *) command -v '$(2)' ;; esac >/dev/null 2>&1 || echo '$(firstword $(subst :, ,$(1)))')

APT_INSTALL := sh packaging/apt-install

deps-check:
	@missing='$(call deps_missing,$(DEPS_BUILD))'; [ -z "$$missing" ] || \
		{ echo "make: missing packages: $$missing" >&2; echo "make: install them with: apt-get install $$missing   (or: make deps)" >&2; exit 1; }

deps:
	@$(APT_INSTALL) $(call deps_missing,$(DEPS_BUILD))
deps-demo:
	@$(APT_INSTALL) $(call deps_missing,$(DEPS_BUILD) $(DEPS_DEMO))
deps-test:
	@$(APT_INSTALL) $(call deps_missing,$(DEPS_BUILD) $(DEPS_TEST))

.PHONY: deps-check deps deps-demo deps-test
