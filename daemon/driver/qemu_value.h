/* SPDX-License-Identifier: Apache-2.0 */
/* A property's value as people write it, as JSON of the type that QEMU names. */
#pragma once

#include "wire/err.h"

struct json_object;

/*
 * By type: bool (on, off, true, false, yes, no, 1, 0); int, int8, uint64, size and their like (decimal or 0x, with K, M or G behind it);
 * string, str and link<...> as it is; everything else JSON if it is, otherwise a string, which is what QEMU's enums want. Whether a
 * number fits is QEMU's to say. *out is the caller's, and NULL for null. INVALID_ARGUMENT (invalid-value).
 */
int qemu_value_of_text(const char *type, const char *text, struct json_object **out, struct err *err) __attribute__((warn_unused_result));
/* JSON text; the same. */
int qemu_value_of_json(const char *json, struct json_object **out, struct err *err) __attribute__((warn_unused_result));
