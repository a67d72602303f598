/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/rsp.h"

#include <stdlib.h>
#include <string.h>

#include "wire/mem.h"

#define RSP_ESCAPE     '}'
#define RSP_ESCAPE_BIT 0x20
#define RSP_RUN        '*'
#define RSP_RUN_BASE   29 /* of a run's count */

enum { READER_IDLE, READER_DATA, READER_SUM_1, READER_SUM_2 };

static int rsp_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* ---------------------------------------------------------------- reader */

void rsp_reader_init(struct rsp_reader *reader)
{
	*reader = (struct rsp_reader){ .state = READER_IDLE };
}

void rsp_reader_fini(struct rsp_reader *reader)
{
	free(reader->data);
	reader->data = NULL;
}

static enum rsp_item reader_idle(struct rsp_reader *reader, char c)
{
	switch (c) {
	case '+':
		return RSP_ACK;
	case '-':
		return RSP_NACK;
	case 0x03:
		return RSP_INTERRUPT;
	case '$':
	case '%':
		reader->is_notification = c == '%';
		reader->state = READER_DATA;
		reader->len = 0;
		reader->sum = 0;
		return RSP_NOTHING;
	default:
		return RSP_NOTHING;
	}
}

static enum rsp_item reader_append(struct rsp_reader *reader, const char *bytes, size_t len)
{
	if (reader->len + len > RSP_DATA_MAX)
		return RSP_TOO_LONG;
	if (reader->len + len + 1 > reader->size) {
		size_t wanted = 2 * (reader->len + len) + 1;
		reader->size = wanted < 256 ? 256 : wanted;
		reader->data = xrealloc(reader->data, reader->size, 1);
	}
	memcpy(reader->data + reader->len, bytes, len);
	for (size_t i = 0; i < len; i++)
		reader->sum = (uint8_t)(reader->sum + (uint8_t)bytes[i]);
	reader->len += len;
	reader->data[reader->len] = '\0';
	return RSP_NOTHING;
}

/* What comes before the next '#' or '$', which begins anew: the packet before it was cut off. */
static size_t reader_take_data(struct rsp_reader *reader, const char *bytes, size_t len, enum rsp_item *item)
{
	size_t n = 0;
	while (n < len && bytes[n] != '#' && bytes[n] != '$')
		n++;
	*item = reader_append(reader, bytes, n);
	if (n == len || *item != RSP_NOTHING)
		return n;
	if (bytes[n] == '#')
		reader->state = READER_SUM_1;
	else
		(void)reader_idle(reader, '$');
	return n + 1;
}

static enum rsp_item reader_finish(struct rsp_reader *reader, int low)
{
	reader->state = READER_IDLE;
	if (low < 0 || reader->sent_sum != (reader->sum >> 4) || low != (reader->sum & 15))
		return RSP_BROKEN;
	return reader->is_notification ? RSP_NOTIFICATION : RSP_PACKET;
}

size_t rsp_reader_take(struct rsp_reader *reader, const void *bytes, size_t len, enum rsp_item *item)
{
	const char *at = bytes, *end = at + len;
	*item = RSP_NOTHING;
	while (at < end && *item == RSP_NOTHING) {
		switch (reader->state) {
		case READER_DATA:
			at += reader_take_data(reader, at, (size_t)(end - at), item);
			break;
		case READER_SUM_1:
			reader->sent_sum = (uint8_t)rsp_digit(*at++); /* no digit gives what no sum has */
			reader->state = READER_SUM_2;
			break;
		case READER_SUM_2:
			*item = reader_finish(reader, rsp_digit(*at++));
			break;
		default:
			*item = reader_idle(reader, *at++);
			break;
		}
	}
	return (size_t)(at - (const char *)bytes);
}

/* ---------------------------------------------------------------- writing */

size_t rsp_frame(char *out, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *bytes = data;
	uint8_t sum = 0;
	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + bytes[i]);
	out[0] = '$';
	memcpy(out + 1, data, len);
	out[len + 1] = '#';
	out[len + 2] = digits[sum >> 4];
	out[len + 3] = digits[sum & 15];
	return len + RSP_FRAME_EXTRA;
}

size_t rsp_escape(char *out, const void *data, size_t len)
{
	const char *bytes = data;
	char *to = out;
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] == '#' || bytes[i] == '$' || bytes[i] == RSP_ESCAPE || bytes[i] == RSP_RUN) {
			*to++ = RSP_ESCAPE;
			*to++ = (char)(bytes[i] ^ RSP_ESCAPE_BIT);
		} else {
			*to++ = bytes[i];
		}
	}
	return (size_t)(to - out);
}

struct rsp_sink {
	char *out;
	size_t len, size;
	char last;
};

static void sink_put(struct rsp_sink *sink, char c, size_t count)
{
	for (size_t i = 0; i < count; i++, sink->len++)
		if (sink->len < sink->size)
			sink->out[sink->len] = c;
	sink->last = c;
}

size_t rsp_decode(const char *data, size_t len, bool runs, char *out, size_t size)
{
	struct rsp_sink sink = { .out = out, .size = size };
	for (size_t i = 0; i < len; i++) {
		bool has_more = i + 1 < len;
		if (data[i] == RSP_ESCAPE && has_more)
			sink_put(&sink, (char)(data[++i] ^ RSP_ESCAPE_BIT), 1);
		else if (runs && data[i] == RSP_RUN && has_more && sink.len > 0 && data[i + 1] > RSP_RUN_BASE)
			sink_put(&sink, sink.last, (size_t)(data[++i] - RSP_RUN_BASE));
		else
			sink_put(&sink, data[i], 1);
	}
	return sink.len;
}

size_t rsp_to_hex(char *out, const void *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *from = bytes;
	for (size_t i = 0; i < len; i++) {
		*out++ = digits[from[i] >> 4];
		*out++ = digits[from[i] & 15];
	}
	*out = '\0';
	return 2 * len;
}

bool rsp_from_hex(const char *hex, size_t len, void *out)
{
	uint8_t *to = out;
	if (len % 2 != 0)
		return false;
	for (size_t i = 0; i < len; i += 2) {
		int high = rsp_digit(hex[i]), low = rsp_digit(hex[i + 1]);
		if (high < 0 || low < 0)
			return false;
		*to++ = (uint8_t)(high << 4 | low);
	}
	return true;
}
