# SPDX-License-Identifier: Apache-2.0
# What is needed, by Debian package, and how to see that it is there. Each word is PACKAGE:COMMAND, PACKAGE:@PKG-CONFIG-MODULE or
# PACKAGE:+PYTHON-MODULE (of Debian's Python).

DEPS_BUILD := gcc:$(firstword $(CC)) libc6-dev:/usr/include/stdio.h pkg-config:$(PKG_CONFIG) libevent-dev:@libevent_core libjson-c-dev:@json-c \
	libprotobuf-c-dev:@libprotobuf-c libnghttp2-dev:@libnghttp2 libssl-dev:@openssl protobuf-c-compiler:protoc-c protobuf-compiler:protoc \
	musl-tools:$(SHIM_CC)
DEPS_DEMO := qemu-system-arm:qemu-system-arm gcc-arm-none-eabi:arm-none-eabi-gcc
DEPS_TEST := $(DEPS_DEMO) qemu-system-misc:qemu-system-riscv32 gcc-riscv64-unknown-elf:riscv64-unknown-elf-gcc libcmocka-dev:@cmocka bats:bats \
	python3:$(PYTHON) python3-grpcio:+grpc python3-protobuf:+google.protobuf protobuf-compiler-grpc:grpc_python_plugin \
	python3-pytest:+pytest python3-pip:+pip python3-setuptools:+setuptools python3-wheel:+wheel \
	tmux:tmux procps:ps gdb-multiarch:gdb-multiarch socat:socat openssl:openssl nodejs:node npm:npm python3-jsonschema:+jsonschema libsystemd-dev:@libsystemd \
	openssh-server:/usr/sbin/sshd openssh-client:ssh
# (clang only recommends its sanitizers and libFuzzer)
DEPS_FUZZ := clang:clang libclang-rt-14-dev:/usr/lib/llvm-14/lib/clang/14.0.6/lib/linux/libclang_rt.fuzzer-x86_64.a
DEPS_LINT := clang-format:clang-format clang-tidy:clang-tidy shellcheck:shellcheck

MISSING := PKG_CONFIG='$(PKG_CONFIG)' PYTHON='$(PYTHON)' sh packaging/missing
INSTALL_MISSING = packages=$$($(MISSING) $(1)) && sh packaging/apt-install $$packages

ifeq ($(WITH_SYSTEMD),yes)
DEPS_BUILD += libsystemd-dev:@libsystemd
endif

deps-check:
	@missing=$$($(MISSING) $(DEPS_BUILD)); [ -z "$$missing" ] || \
		{ echo "make: missing packages:" $$missing >&2; echo "make: install them with: apt-get install" $$missing "  (or: make deps)" >&2; exit 1; }

deps:
	@$(call INSTALL_MISSING,$(DEPS_BUILD))
deps-demo:
	@$(call INSTALL_MISSING,$(DEPS_BUILD) $(DEPS_DEMO))
deps-test:
	@$(call INSTALL_MISSING,$(DEPS_BUILD) $(DEPS_TEST))
deps-lint:
	@$(call INSTALL_MISSING,$(DEPS_BUILD) $(DEPS_LINT))

.PHONY: deps-check deps deps-demo deps-test deps-lint
