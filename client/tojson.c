/* SPDX-License-Identifier: Apache-2.0 */
#include "client/tojson.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "wire/utf8.h"

static void write_message(FILE *to, const ProtobufCMessage *message, int depth);

static bool plain_enums; /* tojson_proto() is at work */

#define ON_ONE_LINE (-1000) /* a depth that stays negative */

static void indent(FILE *to, int depth)
{
	if (depth >= 0)
		fprintf(to, "\n%*s", depth * 2, "");
}

static void separate(FILE *to, int depth)
{
	fputs(depth >= 0 ? "," : ", ", to);
}

void tojson_string(FILE *to, const char *text, size_t len)
{
	utf8_write_json(to, text, len);
}

static void write_base64(FILE *to, const ProtobufCBinaryData *data)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	fputc('"', to);
	for (size_t i = 0; i < data->len; i += 3) {
		uint32_t v = (uint32_t)data->data[i] << 16;
		if (i + 1 < data->len)
			v |= (uint32_t)data->data[i + 1] << 8;
		if (i + 2 < data->len)
			v |= data->data[i + 2];
		char quad[4] = { digits[v >> 18], digits[v >> 12 & 63], i + 1 < data->len ? digits[v >> 6 & 63] : '=',
				 i + 2 < data->len ? digits[v & 63] : '=' };
		fwrite(quad, 1, sizeof(quad), to);
	}
	fputc('"', to);
}

/* Length of the prefix that the names of an enum share by convention: EndCause gives END_CAUSE_. */
static size_t enum_prefix(const ProtobufCEnumDescriptor *type, const char *name)
{
	size_t at = 0;
	for (const char *c = type->short_name; *c != '\0'; c++) {
		if (isupper((unsigned char)*c) && c != type->short_name && name[at++] != '_')
			return 0;
		if (name[at++] != toupper((unsigned char)*c))
			return 0;
	}
	return name[at] == '_' ? at + 1 : 0;
}

const char *tojson_word(const ProtobufCEnumDescriptor *type, int value)
{
	static char word[64];
	const ProtobufCEnumValue *found = protobuf_c_enum_descriptor_get_value(type, value);
	if (found == NULL) {
		snprintf(word, sizeof(word), "unknown-%d", value);
		return word;
	}
	snprintf(word, sizeof(word), "%s", found->name + enum_prefix(type, found->name));
	for (char *c = word; *c != '\0'; c++)
		*c = *c == '_' ? '-' : (char)tolower((unsigned char)*c);
	return word;
}

static void write_number(FILE *to, ProtobufCType type, const void *value)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		fprintf(to, "%" PRId32, *(const int32_t *)value);
		break;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		fprintf(to, "%" PRIu32, *(const uint32_t *)value);
		break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		fprintf(to, "%" PRId64, *(const int64_t *)value);
		break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		fprintf(to, "%" PRIu64, *(const uint64_t *)value);
		break;
	case PROTOBUF_C_TYPE_FLOAT:
		fprintf(to, "%.9g", (double)*(const float *)value);
		break;
	default:
		fprintf(to, "%.17g", *(const double *)value);
		break;
	}
}

static void write_enum(FILE *to, const ProtobufCEnumDescriptor *type, int value)
{
	const ProtobufCEnumValue *found = protobuf_c_enum_descriptor_get_value(type, value);
	if (plain_enums && found == NULL)
		fprintf(to, "%d", value);
	else
		fprintf(to, "\"%s\"", plain_enums ? found->name : tojson_word(type, value));
}

static void write_value(FILE *to, const ProtobufCFieldDescriptor *field, const void *value, int depth)
{
	const char *text;
	switch (field->type) {
	case PROTOBUF_C_TYPE_BOOL:
		fputs(*(const protobuf_c_boolean *)value ? "true" : "false", to);
		break;
	case PROTOBUF_C_TYPE_ENUM:
		write_enum(to, field->descriptor, *(const int *)value);
		break;
	case PROTOBUF_C_TYPE_STRING:
		text = *(char *const *)value;
		tojson_string(to, text != NULL ? text : "", text != NULL ? strlen(text) : 0);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		write_base64(to, value);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		write_message(to, *(const ProtobufCMessage *const *)value, depth);
		break;
	default:
		write_number(to, field->type, value);
	}
}

static size_t value_size_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_ENUM:
		return sizeof(int);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	default:
		return 4;
	}
}

static void write_repeated(FILE *to, const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message, int depth)
{
	const char *base = (const char *)message;
	size_t count = *(const size_t *)(const void *)(base + field->quantifier_offset);
	const char *items = *(char *const *)(const void *)(base + field->offset);
	fputc('[', to);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			separate(to, depth);
		indent(to, depth + 1);
		write_value(to, field, items + i * value_size_of(field->type), depth + 1);
	}
	if (count > 0)
		indent(to, depth);
	fputc(']', to);
}

/* Of a oneof the quantifier holds the number of the member that is set. */
static bool is_shown(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message)
{
	if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
		return true;
	uint32_t set = *(const uint32_t *)(const void *)((const char *)message + field->quantifier_offset);
	return set == field->id;
}

static void write_message(FILE *to, const ProtobufCMessage *message, int depth)
{
	if (message == NULL) {
		fputs("null", to);
		return;
	}
	bool first = true;
	fputc('{', to);
	for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
		if (!is_shown(field, message))
			continue;
		if (!first)
			separate(to, depth);
		first = false;
		indent(to, depth + 1);
		fprintf(to, "\"%s\": ", field->name);
		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			write_repeated(to, field, message, depth + 1);
		else
			write_value(to, field, (const char *)message + field->offset, depth + 1);
	}
	if (!first)
		indent(to, depth);
	fputc('}', to);
}

void tojson_message(FILE *to, const ProtobufCMessage *message)
{
	write_message(to, message, 0);
	fputc('\n', to);
}

void tojson_compact(FILE *to, const ProtobufCMessage *message)
{
	write_message(to, message, ON_ONE_LINE);
}

void tojson_proto(FILE *to, const ProtobufCMessage *message, int depth)
{
	plain_enums = true;
	write_message(to, message, depth);
	plain_enums = false;
}

void tojson_array(FILE *to, const ProtobufCMessage *const *messages, size_t count)
{
	fputc('[', to);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			fputc(',', to);
		indent(to, 1);
		write_message(to, messages[i], 1);
	}
	fputs(count > 0 ? "\n]\n" : "]\n", to);
}
