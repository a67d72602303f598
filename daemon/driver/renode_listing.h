/* SPDX-License-Identifier: Apache-2.0 */
/* What Renode prints of a device: its properties, and their values. No I/O. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "driver/driver.h"

struct renode_listing {
	char *text; /* owned; the strings of the rows are in it */
	struct driver_property *rows;
	size_t count;
};

/* Takes a copy of what a device's name alone has printed. What it also lists (methods, fields, indexers) is left out. */
void renode_listing_init(struct renode_listing *listing, const char *text);
void renode_listing_fini(struct renode_listing *listing);
/* NULL: it has no property of this name. */
const struct driver_property *renode_listing_find(const struct renode_listing *listing, const char *name);
/* ` (did you mean ...)`, or "". */
void renode_listing_hint(const struct renode_listing *listing, const char *name, char *buf, size_t size);

/* A value that was printed, as JSON; to be freed. Numbers are printed as 0x0000E0D1 or 57553. */
char *renode_value_json(const char *type, const char *text);
/* What is to be written for a value of that type, from JSON or from text as people write it; to be freed. NULL: INVALID_ARGUMENT
 * (invalid-value). */
char *renode_value_argument(const char *type, const char *value, bool is_json, struct err *err);
