# SPDX-License-Identifier: Apache-2.0
# The fake emulator; the wire's test server and what its Python tests import.

# Static, as the shim is: a thousand of them run at once.
FAKE_EMULATOR_SRC := $(wildcard tests/fake/emulator*.c)
$(B)/tests/fake/emulator: $(FAKE_EMULATOR_SRC) $(wildcard tests/fake/emulator*.h) | deps-check
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(SHIM_CC) -std=gnu11 -D_GNU_SOURCE -Os -g $(WARN) -static -o $@ $(FAKE_EMULATOR_SRC)

TEST_EXTRA += $(B)/tests/fake/emulator

FAKE_G := $(G)/fake
WIRE_PY := $(G)/python
WIRE_PY_DONE := $(WIRE_PY)/wire.stamp
WIRE_PROTOS := proto/grpc/health/v1/health.proto proto/grpc/reflection/v1/reflection.proto proto/grpc/reflection/v1alpha/reflection.proto

$(FAKE_G)/wire_test.pb-c.c $(FAKE_G)/wire_test.pb-c.h &: tests/fake/wire_test.proto | deps-check
	@mkdir -p $(@D)
	$(Q)protoc-c -Itests/fake --c_out=$(FAKE_G) $<

$(FAKE_G)/wire_test.pb-c.o: $(FAKE_G)/wire_test.pb-c.c
	$(Q)$(CC) $(BASE_CFLAGS) -Wno-shadow -c -o $@ $<

$(FAKE_G)/wire_test.protoset: tests/fake/wire_test.proto $(WIRE_PROTOS)
	@mkdir -p $(@D)
	$(Q)protoc -Itests/fake -Iproto --include_imports --descriptor_set_out=$@ $^

$(FAKE_G)/wire_test_descriptors.o: $(FAKE_G)/wire_test.protoset
	$(Q)printf '%s\n' '.section .rodata' '.global wire_test_descriptors' 'wire_test_descriptors:' '.incbin "$<"' \
		'.global wire_test_descriptors_end' 'wire_test_descriptors_end:' '.section .note.GNU-stack,"",%progbits' > $(@:.o=.s)
	$(Q)$(CC) -c -o $@ $(@:.o=.s)

$(B)/obj/tests/fake/wire_server.o: tests/fake/wire_server.c $(FAKE_G)/wire_test.pb-c.h | $(PB_H) deps-check
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE_CFLAGS) -I$(FAKE_G) -c -o $@ $<

$(B)/tests/fake/wire_server: $(B)/obj/tests/fake/wire_server.o $(FAKE_G)/wire_test.pb-c.o $(FAKE_G)/wire_test_descriptors.o $(B)/libwire.a
	@mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ $(call lib,libevent_core libprotobuf-c libnghttp2)

# Not below -Iproto: a package `grpc` of ours would hide grpcio.
$(WIRE_PY_DONE): tests/fake/wire_test.proto $(WIRE_PROTOS)
	@mkdir -p $(WIRE_PY)
	$(Q)protoc -Itests/fake -Iproto/grpc --plugin=protoc-gen-grpc_python=$$(command -v grpc_python_plugin) --python_out=$(WIRE_PY) \
		--grpc_python_out=$(WIRE_PY) tests/fake/wire_test.proto $(WIRE_PROTOS:proto/grpc/%=%)
	@touch $@

TEST_EXTRA += $(B)/tests/fake/wire_server $(WIRE_PY_DONE)

check-python-wire: $(B)/tests/fake/wire_server $(B)/libexec/pwemu/pwemu-tls.so $(WIRE_PY_DONE)
	$(Q)PWEMU_BUILD=$(abspath $(B)) PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m unittest discover -v -s tests/python/wire

.PHONY: check-python-wire
