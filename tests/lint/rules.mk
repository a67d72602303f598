# SPDX-License-Identifier: Apache-2.0
# make lint: formatting, layers, headers that compile alone, clang-tidy, banned functions, shell scripts.

LINT_C := $(sort $(WIRE_C) $(TLS_SRC) $(CONFIG_C) $(DAEMON_C) $(CLIENT_C) $(SHIM_SRC) daemon/main.c client/main.c)
LINT_H := $(wildcard proto/wire/*.h proto/tls/*.h config/*.h daemon/*.h daemon/*/*.h client/*.h)
LINT_TESTS := $(wildcard tests/unit/*.[ch] tests/fake/*.[ch] tests/fuzz/*.[ch])
LINT_SH := packaging/apt-install packaging/missing .ci/run tests/fake/renode $(wildcard tests/lint/*.sh tests/bench/*.sh)
LINT_BANNED := \b(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|sscanf|alloca|strtok)[[:space:]]*\(

LINT_PARTS := lint-proto lint-format lint-layers lint-banned lint-headers lint-shell lint-tidy

# A make of its own, since the flags come from packages that may have been missing.
lint: deps-lint
	@$(MAKE) --no-print-directory -k $(LINT_PARTS)
	@echo 'lint: clean'

lint-format:
	@clang-format --dry-run -Werror $(LINT_C) $(LINT_H) $(LINT_TESTS)

lint-layers:
	@tests/lint/layers

lint-banned:
	@! grep -nE '$(LINT_BANNED)' $(LINT_C) $(LINT_H) || { echo 'lint: unbounded functions, see above' >&2; exit 1; }

lint-headers: $(PB_H)
	@for header in $(LINT_H); do \
		printf '#include "%s"\n' "$$header" | $(CC) $(BASE_CFLAGS) -MM -MF /dev/null -fsyntax-only -x c - || exit 1; done

# Every field and every method of the contract is explained in the line above it.
lint-proto:
	@awk 'FNR == 1 { last = "" } /^ *(repeated )?[A-Za-z0-9_.]+ [a-z_0-9]+ = [0-9]+;|^ *rpc / && last !~ /^ *\/\// \
		{ print FILENAME ":" FNR ": no comment above: " $$0; bad = 1 } { last = $$0 } END { exit bad }' $(wildcard proto/pwemu/v1/*.proto)

lint-shell:
	@shellcheck $(LINT_SH)
	@bats_files='$(wildcard tests/integration/*.bats tests/integration/*.bash)'; [ -z "$$bats_files" ] || shellcheck -s bash -e SC1091,SC2030,SC2031,SC2154,SC2317 $$bats_files

# clang-tidy wants its flags in a file, with absolute paths.
LINT_FLAGS := $(B)/lint/compile_flags.txt
$(LINT_FLAGS): Makefile
	@mkdir -p $(@D)
	@printf '%s\n' -std=gnu11 -D_GNU_SOURCE '-DPWEMU_VERSION="$(VERSION)"' $(addprefix -I$(CURDIR)/,. proto daemon $(G)) $(PKG_CFLAGS) > $@

lint-tidy: $(PB_H) $(LINT_FLAGS)
	@printf '%s\n' $(LINT_C) | xargs -P 2 -n 8 clang-tidy --quiet -p $(LINT_FLAGS:%/compile_flags.txt=%) 2>/dev/null

.PHONY: lint $(LINT_PARTS)
