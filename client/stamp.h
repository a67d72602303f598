/* SPDX-License-Identifier: Apache-2.0 */
/* Times before lines, for `logs -t`. Pure but for the time zone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "pwemu/v1/common.pb-c.h"

struct stamp {
	bool since_boot; /* "[    1.23] " instead of "2026-11-22 21:43:01.12 " */
	bool in_line;    /* the line has begun */
};

/* Passes the bytes on to write(), with a time where a line begins. */
void stamp_write(struct stamp *stamp, const Pwemu__V1__Data *data, void (*write)(void *ctx, const char *bytes, size_t len), void *ctx);
