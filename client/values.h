/* SPDX-License-Identifier: Apache-2.0 */
/* What people write on a command line: what config/value.h has, positions in a log, names of keys. All strict: no trailing text. */
#pragma once

#include "config/value.h"
#include "pwemu/v1/common.pb-c.h"
#include "wire/err.h"

/* "0", "boot", "now", "-4K" (before the end), OFFSET. `out` is initialised here and owns nothing. */
int value_position(const char *text, Pwemu__V1__Position *out, struct err *err) __attribute__((warn_unused_result));

/* What an instance's target says, where it says something: "" leaves `out` alone. */
void value_position_of(const char *from, Pwemu__V1__Position *out);

/* A TCP port, 1 to 65535. */
int value_port(const char *text, uint32_t *port, struct err *err) __attribute__((warn_unused_result));
/* "CHANNEL" (port 0) or "CHANNEL=PORT"; *len: of the channel's name. */
int value_endpoint(const char *text, size_t *len, uint32_t *port, struct err *err) __attribute__((warn_unused_result));

/* A control key: "^A", "ctrl-a", "C-a", "Ctrl+]". */
int value_key(const char *text, unsigned char *key, struct err *err) __attribute__((warn_unused_result));

/* The key's name for people, "Ctrl+]"; static storage that the next call overwrites. */
const char *value_key_name(unsigned char key);
