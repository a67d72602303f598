# SPDX-License-Identifier: Apache-2.0
# The Python package: its messages and stubs are committed, since it has no build step; `make python-messages` makes them again.

PYTHON_DIR := client/python
PYTHON_PROTOS := $(filter-out %/record.proto %/jobs.proto,$(wildcard proto/pwemu/v1/*.proto))
PYTHON_DEST := lib/python3/dist-packages
PYTHON_OUT ?= $(PYTHON_DIR)

python-messages:
	@mkdir -p $(PYTHON_OUT)
	$(Q)protoc -Iproto --plugin=protoc-gen-grpc_python=$$(command -v grpc_python_plugin) --python_out=$(PYTHON_OUT) \
		--grpc_python_out=$(PYTHON_OUT) $(PYTHON_PROTOS)

# As Debian installs its own; with pip: pip install client/python.
install-python:
	install -d $(DEST)/$(PYTHON_DEST)/pwemu/v1
	install -m 644 $(PYTHON_DIR)/pwemu/*.py $(PYTHON_DIR)/pwemu/py.typed $(DEST)/$(PYTHON_DEST)/pwemu/
	install -m 644 $(PYTHON_DIR)/pwemu/v1/*.py $(DEST)/$(PYTHON_DEST)/pwemu/v1/

.PHONY: python-messages install-python
