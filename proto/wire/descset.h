/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks into a serialised FileDescriptorSet without decoding it: it is our own, linked in, and asked rarely. Still every length is
 * checked; a malformed set is one in which nothing is found.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DESCSET_CLOSURE_MAX 64

struct descset_slice {
	const uint8_t *data; /* into the set: one serialised FileDescriptorProto */
	size_t len;
};

bool descset_find_file(const void *set, size_t set_len, const char *name, struct descset_slice *file);
/* The file that declares a message, field, oneof, enum, enum value, service or method by its full name. */
bool descset_find_symbol(const void *set, size_t set_len, const char *symbol, struct descset_slice *file);
/* The file and everything it imports, imports of imports included; each once. Returns how many. */
size_t descset_closure(const void *set, size_t set_len, const struct descset_slice *file,
		       struct descset_slice files[static DESCSET_CLOSURE_MAX]);

/* Whether the path ("/package.Service/Method") is declared, and what streams. For tests that compare method tables with the set. */
bool descset_method(const void *set, size_t set_len, const char *path, bool *client_streams, bool *server_streams);
