/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/buf.h"
#include "wire/mem.h"

/* From here on a message has memory of its own, exactly its size, which moves to the socket's buffer without being copied. */
#define PACK_OWN_BYTES (16 << 10)

/* ---------------------------------------------------------------- reading */

void msg_reader_fini(struct msg_reader *reader)
{
	free(reader->data);
	*reader = (struct msg_reader){ .limit_bytes = reader->limit_bytes };
}

size_t msg_reader_bytes(const struct msg_reader *reader)
{
	return reader->end - reader->start;
}

void msg_reader_trim(struct msg_reader *reader)
{
	if (reader->start == reader->end)
		msg_reader_fini(reader);
}

/* Growth doubles with the bytes that did arrive: a header that announces much costs nothing. */
static void msg_reader_reserve(struct msg_reader *reader, size_t len)
{
	size_t used = msg_reader_bytes(reader);
	if (reader->cap - reader->end >= len)
		return;
	if (reader->start > 0 && reader->start >= used) {
		memmove(reader->data, reader->data + reader->start, used);
		reader->start = 0;
		reader->end = used;
	}
	if (reader->cap - reader->end >= len)
		return;
	size_t wanted = reader->end + len;
	size_t cap = reader->cap * 2 > wanted ? reader->cap * 2 : wanted;
	reader->data = xrealloc(reader->data, cap, 1);
	reader->cap = cap;
}

void msg_reader_feed(struct msg_reader *reader, const uint8_t *data, size_t len)
{
	if (len == 0)
		return;
	msg_reader_reserve(reader, len);
	memcpy(reader->data + reader->end, data, len);
	reader->end += len;
}

enum msg_result msg_reader_next(struct msg_reader *reader, const uint8_t **data, size_t *len)
{
	size_t have = msg_reader_bytes(reader);
	if (have == 0)
		return MSG_NONE;
	const uint8_t *p = reader->data + reader->start;
	if (p[0] > 1)
		return MSG_MALFORMED;
	if (p[0] == 1)
		return MSG_COMPRESSED;
	if (have < MSG_HEADER_BYTES)
		return MSG_NONE;
	uint32_t size = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
	if (size > reader->limit_bytes)
		return MSG_TOO_LARGE;
	if (have - MSG_HEADER_BYTES < size)
		return MSG_NONE;
	*data = p + MSG_HEADER_BYTES;
	*len = size;
	reader->start += MSG_HEADER_BYTES + size;
	return MSG_READY;
}

static void msg_forget_unknown(ProtobufCMessage *message);

/* Of a field that holds messages: one, or as many as its count says. */
static void msg_forget_in_field(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	void *member = (uint8_t *)message + field->offset;
	const void *quantifier = (const uint8_t *)message + field->quantifier_offset;
	if (field->label == PROTOBUF_C_LABEL_REPEATED) {
		size_t count = *(const size_t *)quantifier;
		for (size_t i = 0; i < count; i++)
			msg_forget_unknown((*(ProtobufCMessage ***)member)[i]);
	} else if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) || *(const uint32_t *)quantifier == field->id) {
		if (*(ProtobufCMessage **)member != NULL)
			msg_forget_unknown(*(ProtobufCMessage **)member);
	}
}

/* As deep as the types are: none of ours contains itself. */
static void msg_forget_unknown(ProtobufCMessage *message)
{
	for (unsigned i = 0; i < message->n_unknown_fields; i++)
		free(message->unknown_fields[i].data);
	free(message->unknown_fields);
	message->unknown_fields = NULL;
	message->n_unknown_fields = 0;
	for (unsigned i = 0; i < message->descriptor->n_fields; i++)
		if (message->descriptor->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
			msg_forget_in_field(message, &message->descriptor->fields[i]);
}

ProtobufCMessage *msg_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len)
{
	ProtobufCMessage *message = protobuf_c_message_unpack(type, NULL, len, data);
	if (message != NULL)
		msg_forget_unknown(message);
	return message;
}

/* ---------------------------------------------------------------- writing */

static void pack_at(uint8_t *p, const ProtobufCMessage *message, size_t size)
{
	p[0] = 0;
	p[1] = (uint8_t)(size >> 24);
	p[2] = (uint8_t)(size >> 16);
	p[3] = (uint8_t)(size >> 8);
	p[4] = (uint8_t)size;
	protobuf_c_message_pack(message, p + MSG_HEADER_BYTES);
}

static void pack_free(const void *data, size_t len, void *extra)
{
	(void)len;
	(void)extra;
	free((void *)(uintptr_t)data);
}

void msg_pack(struct evbuffer *out, const ProtobufCMessage *message)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	size_t total = MSG_HEADER_BYTES + size;
	if (total >= PACK_OWN_BYTES) {
		uint8_t *own = xmalloc(total);
		pack_at(own, message, size);
		buf_require(evbuffer_add_reference(out, own, total, pack_free, NULL) == 0);
		return;
	}
	struct evbuffer_iovec vec;
	buf_require(evbuffer_reserve_space(out, (ev_ssize_t)total, &vec, 1) == 1);
	pack_at(vec.iov_base, message, size);
	vec.iov_len = total;
	evbuffer_commit_space(out, &vec, 1);
}

/* ---------------------------------------------------------------- texts */

int timeout_parse(const char *text, size_t len, uint64_t *timeout_ms)
{
	static const struct {
		char unit;
		uint64_t ns;
	} units[] = { { 'H', 3600000000000 }, { 'M', 60000000000 }, { 'S', 1000000000 }, { 'm', 1000000 }, { 'u', 1000 }, { 'n', 1 } };
	uint64_t value = 0;
	if (len < 2 || len > 9)
		return -1;
	for (size_t i = 0; i < len - 1; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (units[i].unit != text[len - 1])
			continue;
		uint64_t ms_per_unit = units[i].ns / 1000000;
		*timeout_ms = ms_per_unit > 0 ? value * ms_per_unit : (value * units[i].ns + 999999) / 1000000;
		return 0;
	}
	return -1;
}

void timeout_format(uint32_t timeout_ms, char text[static TIMEOUT_TEXT_MAX])
{
	/* at most eight digits are allowed */
	if (timeout_ms < 100000000)
		snprintf(text, TIMEOUT_TEXT_MAX, "%um", (unsigned)timeout_ms);
	else
		snprintf(text, TIMEOUT_TEXT_MAX, "%uS", (unsigned)(timeout_ms / 1000 + 1));
}

static bool percent_is_plain(unsigned char c)
{
	return c >= 0x20 && c <= 0x7e && c != '%';
}

char *percent_encode(const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	char *out = xmalloc(strlen(text) * 3 + 1);
	const char *first = text;
	char *p = out;
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;
		bool is_edge = text == first || text[1] == '\0'; /* a value with a blank there is no header's */
		if (percent_is_plain(c) && !(c == ' ' && is_edge)) {
			*p++ = (char)c;
			continue;
		}
		*p++ = '%';
		*p++ = hex[c >> 4];
		*p++ = hex[c & 15];
	}
	*p = '\0';
	return out;
}

static int percent_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void percent_decode(const char *text, size_t len, char *out, size_t out_size)
{
	size_t used = 0;
	for (size_t i = 0; i < len && used + 1 < out_size; i++) {
		int high = -1, low = -1;
		if (text[i] == '%' && len - i > 2) {
			high = percent_digit(text[i + 1]);
			low = percent_digit(text[i + 2]);
		}
		if (high >= 0 && low >= 0 && (high | low) != 0) {
			out[used++] = (char)(high << 4 | low);
			i += 2;
		} else {
			out[used++] = text[i];
		}
	}
	if (out_size > 0)
		out[used] = '\0';
}
