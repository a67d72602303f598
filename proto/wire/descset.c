/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/descset.h"

#include <stdio.h>
#include <string.h>

/* Field numbers of descriptor.proto. */
enum {
	SET_FILE = 1,
	FILE_NAME = 1,
	FILE_PACKAGE = 2,
	FILE_DEPENDENCY = 3,
	FILE_MESSAGE = 4,
	FILE_ENUM = 5,
	FILE_SERVICE = 6,
	ANY_NAME = 1,
	MESSAGE_FIELD = 2,
	MESSAGE_NESTED = 3,
	MESSAGE_ENUM = 4,
	MESSAGE_ONEOF = 8,
	ENUM_VALUE = 2,
	SERVICE_METHOD = 2,
	METHOD_CLIENT_STREAMING = 5,
	METHOD_SERVER_STREAMING = 6,
};

#define NESTING_MAX 16

struct field {
	uint32_t number;
	uint64_t varint;           /* wire type 0 */
	struct descset_slice body; /* wire type 2 */
};

static bool scan_varint(struct descset_slice *rest, uint64_t *value)
{
	*value = 0;
	for (unsigned shift = 0; shift < 64 && rest->len > 0; shift += 7) {
		uint8_t byte = *rest->data++;
		rest->len--;
		*value |= (uint64_t)(byte & 0x7f) << shift;
		if ((byte & 0x80) == 0)
			return true;
	}
	return false;
}

static bool scan_skip(struct descset_slice *rest, uint64_t len)
{
	if (len > rest->len)
		return false;
	rest->data += len;
	rest->len -= (size_t)len;
	return true;
}

/* The next field; false at the end, or where it makes no sense. */
static bool scan_field(struct descset_slice *rest, struct field *field)
{
	uint64_t key, len;
	*field = (struct field){ 0 };
	if (!scan_varint(rest, &key))
		return false;
	field->number = (uint32_t)(key >> 3);
	switch (key & 7) {
	case 0:
		return scan_varint(rest, &field->varint);
	case 1:
		return scan_skip(rest, 8);
	case 2:
		if (!scan_varint(rest, &len) || len > rest->len)
			return false;
		field->body = (struct descset_slice){ rest->data, (size_t)len };
		return scan_skip(rest, len);
	case 5:
		return scan_skip(rest, 4);
	default:
		return false;
	}
}

static struct descset_slice scan_find(struct descset_slice in, uint32_t number)
{
	struct field field;
	while (scan_field(&in, &field))
		if (field.number == number)
			return field.body;
	return (struct descset_slice){ NULL, 0 };
}

static bool slice_is(struct descset_slice slice, const char *text)
{
	return slice.len == strlen(text) && (slice.len == 0 || memcmp(slice.data, text, slice.len) == 0);
}

/* What is left of a dotted name after this first part; NULL when it does not begin with it. */
static const char *name_after(const char *name, struct descset_slice part)
{
	if (part.len == 0 || strncmp(name, (const char *)part.data, part.len) != 0)
		return NULL;
	name += part.len;
	if (*name == '\0')
		return name;
	return name[0] == '.' && name[1] != '\0' ? name + 1 : NULL;
}

/* ---------------------------------------------------------------- files */

bool descset_find_file(const void *set, size_t set_len, const char *name, struct descset_slice *file)
{
	struct descset_slice rest = { set, set_len };
	struct field field;
	while (scan_field(&rest, &field)) {
		if (field.number != SET_FILE || !slice_is(scan_find(field.body, FILE_NAME), name))
			continue;
		*file = field.body;
		return true;
	}
	return false;
}

static bool closure_has(const struct descset_slice *files, size_t count, const struct descset_slice *file)
{
	for (size_t i = 0; i < count; i++)
		if (files[i].data == file->data)
			return true;
	return false;
}

size_t descset_closure(const void *set, size_t set_len, const struct descset_slice *file,
		       struct descset_slice files[static DESCSET_CLOSURE_MAX])
{
	size_t count = 1;
	files[0] = *file;
	for (size_t i = 0; i < count; i++) {
		struct descset_slice rest = files[i];
		struct descset_slice found;
		struct field field;
		while (scan_field(&rest, &field)) {
			char name[256];
			if (field.number != FILE_DEPENDENCY || field.body.data == NULL || field.body.len >= sizeof(name) ||
			    count == DESCSET_CLOSURE_MAX)
				continue;
			memcpy(name, field.body.data, field.body.len);
			name[field.body.len] = '\0';
			if (descset_find_file(set, set_len, name, &found) && !closure_has(files, count, &found))
				files[count++] = found;
		}
	}
	return count;
}

/* ---------------------------------------------------------------- symbols */

static bool symbol_in_children(struct descset_slice body, uint32_t child, const char *name)
{
	struct field field;
	while (scan_field(&body, &field))
		if (field.number == child && slice_is(scan_find(field.body, ANY_NAME), name))
			return true;
	return false;
}

/* The values of an enum are named beside it, not below it. */
static bool symbol_in_enum(struct descset_slice body, const char *name)
{
	return slice_is(scan_find(body, ANY_NAME), name) || symbol_in_children(body, ENUM_VALUE, name);
}

static bool symbol_in_service(struct descset_slice body, const char *name)
{
	const char *rest = name_after(name, scan_find(body, ANY_NAME));
	return rest != NULL && (*rest == '\0' || symbol_in_children(body, SERVICE_METHOD, rest));
}

static bool symbol_in_message(struct descset_slice body, const char *name, unsigned depth)
{
	struct field field;
	const char *rest = name_after(name, scan_find(body, ANY_NAME));
	if (rest == NULL || *rest == '\0')
		return rest != NULL;
	if (depth == 0)
		return false;
	while (scan_field(&body, &field)) {
		if ((field.number == MESSAGE_FIELD || field.number == MESSAGE_ONEOF) && slice_is(scan_find(field.body, ANY_NAME), rest))
			return true;
		if (field.number == MESSAGE_NESTED && symbol_in_message(field.body, rest, depth - 1))
			return true;
		if (field.number == MESSAGE_ENUM && symbol_in_enum(field.body, rest))
			return true;
	}
	return false;
}

static bool symbol_in_file(struct descset_slice body, const char *name)
{
	struct descset_slice package = scan_find(body, FILE_PACKAGE);
	const char *rest = package.len > 0 ? name_after(name, package) : name;
	struct field field;
	if (rest == NULL || *rest == '\0')
		return false;
	while (scan_field(&body, &field)) {
		if (field.number == FILE_MESSAGE && symbol_in_message(field.body, rest, NESTING_MAX))
			return true;
		if (field.number == FILE_ENUM && symbol_in_enum(field.body, rest))
			return true;
		if (field.number == FILE_SERVICE && symbol_in_service(field.body, rest))
			return true;
	}
	return false;
}

bool descset_find_symbol(const void *set, size_t set_len, const char *symbol, struct descset_slice *file)
{
	struct descset_slice rest = { set, set_len };
	struct field field;
	while (scan_field(&rest, &field)) {
		if (field.number != SET_FILE || !symbol_in_file(field.body, symbol))
			continue;
		*file = field.body;
		return true;
	}
	return false;
}

/* ---------------------------------------------------------------- methods */

static bool method_in_service(struct descset_slice service, const char *name, bool *client_streams, bool *server_streams)
{
	struct field field, part;
	while (scan_field(&service, &field)) {
		if (field.number != SERVICE_METHOD || !slice_is(scan_find(field.body, ANY_NAME), name))
			continue;
		*client_streams = *server_streams = false;
		while (scan_field(&field.body, &part)) {
			if (part.number == METHOD_CLIENT_STREAMING)
				*client_streams = part.varint != 0;
			if (part.number == METHOD_SERVER_STREAMING)
				*server_streams = part.varint != 0;
		}
		return true;
	}
	return false;
}

bool descset_method(const void *set, size_t set_len, const char *path, bool *client_streams, bool *server_streams)
{
	struct descset_slice file;
	struct field field;
	char service[256];
	const char *method = strrchr(path, '/');
	if (*path != '/' || method == path || (size_t)(method - path) > sizeof(service))
		return false;
	snprintf(service, sizeof(service), "%.*s", (int)(method - path - 1), path + 1);
	if (!descset_find_symbol(set, set_len, service, &file))
		return false;
	struct descset_slice package = scan_find(file, FILE_PACKAGE);
	const char *name = package.len > 0 ? name_after(service, package) : service;
	while (name != NULL && scan_field(&file, &field))
		if (field.number == FILE_SERVICE && slice_is(scan_find(field.body, ANY_NAME), name))
			return method_in_service(field.body, method + 1, client_streams, server_streams);
	return false;
}
