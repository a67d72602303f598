# SPDX-License-Identifier: Apache-2.0
# What the Python tests of the daemon import: messages and stubs of proto/pwemu and of the standard services, by stock generators.

PWEMU_PY := $(G)/python-pwemu
PWEMU_PY_DONE := $(PWEMU_PY)/pwemu.stamp

# Those of gRPC not below `grpc/`: a package of that name would hide grpcio.
$(PWEMU_PY_DONE): $(PROTOS) | deps-check
	@mkdir -p $(PWEMU_PY)
	$(call say,PROTO,$@)
	$(Q)protoc -Iproto --plugin=protoc-gen-grpc_python=$$(command -v grpc_python_plugin) --python_out=$(PWEMU_PY) \
		--grpc_python_out=$(PWEMU_PY) $(wildcard proto/pwemu/v1/*.proto)
	$(Q)protoc -Iproto/grpc --plugin=protoc-gen-grpc_python=$$(command -v grpc_python_plugin) --python_out=$(PWEMU_PY) \
		--grpc_python_out=$(PWEMU_PY) $(patsubst proto/grpc/%,%,$(wildcard proto/grpc/*/*/*.proto))
	@touch $@

TEST_EXTRA += $(PWEMU_PY_DONE)
