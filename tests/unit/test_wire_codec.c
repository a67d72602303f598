/* SPDX-License-Identifier: Apache-2.0 */
/* Framing of messages, texts in headers, and errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "grpc/reflection/v1/reflection.pb-c.h"
#include "wire/codec.h"
#include "wire/err.h"
#include "wire/mem.h"

#define LIMIT 1000

static enum msg_result feed_all(struct msg_reader *reader, const void *bytes, size_t len, size_t piece, unsigned *count, size_t *total)
{
	const uint8_t *data, *p = bytes;
	size_t size;
	enum msg_result result = MSG_NONE;
	for (size_t at = 0; at < len; at += piece) {
		msg_reader_feed(reader, p + at, len - at < piece ? len - at : piece);
		while ((result = msg_reader_next(reader, &data, &size)) == MSG_READY) {
			for (size_t i = 0; i < size; i++)
				assert_int_equal(data[i], 'm');
			(*count)++;
			*total += size;
		}
		if (result != MSG_NONE)
			return result;
		msg_reader_trim(reader);
	}
	return result;
}

static size_t put_message(uint8_t *p, size_t size)
{
	memcpy(p, (uint8_t[]){ 0, 0, 0, (uint8_t)(size >> 8), (uint8_t)size }, MSG_HEADER_BYTES);
	memset(p + MSG_HEADER_BYTES, 'm', size);
	return MSG_HEADER_BYTES + size;
}

static void test_pieces_of_every_size(void **state)
{
	static const size_t sizes[] = { 0, 1, 5, 0, 999, 1000, 0, 4, 300 };
	uint8_t bytes[4096];
	size_t len = 0, sum = 0;
	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		len += put_message(bytes + len, sizes[i]);
		sum += sizes[i];
	}
	for (size_t piece = 1; piece <= len; piece++) {
		struct msg_reader reader = { .limit_bytes = LIMIT };
		unsigned count = 0;
		size_t total = 0;
		assert_int_equal(feed_all(&reader, bytes, len, piece, &count, &total), MSG_NONE);
		assert_int_equal(count, sizeof(sizes) / sizeof(sizes[0]));
		assert_int_equal(total, sum);
		assert_null(reader.data); /* nothing is kept when nothing is stored */
	}
}

static void test_bad_frames(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		enum msg_result result;
	} cases[] = {
		{ "", 0, MSG_NONE },
		{ "\0", 1, MSG_NONE },
		{ "\0\0\0\0", 4, MSG_NONE },
		{ "\0\0\0\0\1", 5, MSG_NONE },
		{ "\0\0\0\3\xe8", 5, MSG_NONE },
		{ "\0\0\0\3\xe9", 5, MSG_TOO_LARGE },
		{ "\0\xff\xff\xff\xff", 5, MSG_TOO_LARGE },
		{ "\0\x80\0\0\0", 5, MSG_TOO_LARGE },
		{ "\1", 1, MSG_COMPRESSED },
		{ "\1\0\0\0\0", 5, MSG_COMPRESSED },
		{ "\2\0\0\0\0", 5, MSG_MALFORMED },
		{ "\xff", 1, MSG_MALFORMED },
		{ "PRI * HTTP/2.0", 14, MSG_MALFORMED },
		{ "\0\0\0\0\1m\2", 7, MSG_MALFORMED },
		{ "\0\0\0\0\0\0\0\0\0\0", 10, MSG_NONE },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t piece = 1; piece <= 8; piece++) {
			struct msg_reader reader = { .limit_bytes = LIMIT };
			unsigned count = 0;
			size_t total = 0;
			assert_int_equal(feed_all(&reader, cases[i].bytes, cases[i].len, piece, &count, &total), cases[i].result);
			msg_reader_fini(&reader);
		}
	}
}

/* Whatever comes, the reader stays within what it was fed. */
static void test_noise(void **state)
{
	unsigned seed = 1;
	(void)state;
	for (int round = 0; round < 2000; round++) {
		uint8_t bytes[600];
		struct msg_reader reader = { .limit_bytes = LIMIT };
		const uint8_t *data;
		size_t size;
		for (size_t i = 0; i < sizeof(bytes); i++) {
			seed = seed * 1103515245 + 12345;
			bytes[i] = (seed >> 16) % 4 == 0 ? (uint8_t)(seed >> 20) : 0;
		}
		for (size_t at = 0; at < sizeof(bytes); at += 1 + (size_t)round % 90) {
			size_t left = sizeof(bytes) - at;
			size_t piece = 1 + (size_t)round % 90;
			msg_reader_feed(&reader, bytes + at, left < piece ? left : piece);
			while (msg_reader_next(&reader, &data, &size) == MSG_READY)
				assert_true(data >= reader.data && data + size <= reader.data + reader.end);
		}
		assert_true(reader.cap <= 2 * sizeof(bytes));
		msg_reader_fini(&reader);
	}
}

static void test_pack(void **state)
{
	static const size_t sizes[] = { 0, 1, 100, 5000, 16 * 1024, 100000 };
	struct evbuffer *out = evbuffer_new();
	struct msg_reader reader = { .limit_bytes = 1000000 };
	const uint8_t *data;
	size_t len;
	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		Grpc__Reflection__V1__ServiceResponse message = GRPC__REFLECTION__V1__SERVICE_RESPONSE__INIT;
		message.name = xcalloc(1, sizes[i] + 1);
		memset(message.name, 'n', sizes[i]);
		msg_pack(out, &message.base);
		free(message.name);
	}
	msg_reader_feed(&reader, evbuffer_pullup(out, -1), evbuffer_get_length(out));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(msg_reader_next(&reader, &data, &len), MSG_READY);
		Grpc__Reflection__V1__ServiceResponse *message = grpc__reflection__v1__service_response__unpack(NULL, len, data);
		assert_non_null(message);
		assert_int_equal(strlen(message->name), sizes[i]);
		grpc__reflection__v1__service_response__free_unpacked(message, NULL);
	}
	msg_reader_fini(&reader);
	evbuffer_free(out);
}

static void test_timeouts(void **state)
{
	static const struct {
		const char *text;
		int rv;
		uint64_t ms;
	} cases[] = {
		{ "1S", 0, 1000 },       { "100m", 0, 100 },      { "2H", 0, 7200000 }, { "3M", 0, 180000 },
		{ "1n", 0, 1 },          { "1500u", 0, 2 },       { "0m", 0, 0 },       { "99999999H", 0, 99999999ull * 3600000 },
		{ "99999999n", 0, 100 }, { "100000000m", -1, 0 }, { "", -1, 0 },        { "m", -1, 0 },
		{ "-1m", -1, 0 },        { "1", -1, 0 },          { "1x", -1, 0 },      { "1 m", -1, 0 },
		{ "1.5S", -1, 0 },       { "+1m", -1, 0 },
	};
	char text[TIMEOUT_TEXT_MAX];
	uint64_t ms;
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ms = 0;
		assert_int_equal(timeout_parse(cases[i].text, strlen(cases[i].text), &ms), cases[i].rv);
		assert_int_equal(ms, cases[i].ms);
	}
	timeout_format(UINT32_MAX, text);
	assert_int_equal(timeout_parse(text, strlen(text), &ms), 0);
	assert_true(ms >= UINT32_MAX);
	timeout_format(1, text);
	assert_string_equal(text, "1m");
}

static void test_percent(void **state)
{
	static const struct {
		const char *plain, *encoded;
	} cases[] = {
		{ "", "" },
		{ "plain text ~", "plain text ~" },
		{ "100 %", "100 %25" },
		{ " cut at ", "%20cut at%20" }, /* a header has no blank at its ends */
		{ "a\nb\tc", "a%0Ab%09c" },
		{ "\xc3\xa9\x7f", "%C3%A9%7F" },
	};
	char out[64];
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *encoded = percent_encode(cases[i].plain);
		assert_string_equal(encoded, cases[i].encoded);
		percent_decode(encoded, strlen(encoded), out, sizeof(out));
		assert_string_equal(out, cases[i].plain);
		free(encoded);
	}
	percent_decode("%4", 2, out, sizeof(out));
	assert_string_equal(out, "%4");
	percent_decode("%zz%00%e9", 9, out, sizeof(out)); /* no NUL is smuggled in */
	assert_string_equal(out, "%zz%00\xe9");
	percent_decode("abcdef", 6, out, 4);
	assert_string_equal(out, "abc");
}

/* ---------------------------------------------------------------- err */

static void test_err_texts(void **state)
{
	struct err err = ERR_INIT;
	(void)state;
	assert_false(err_is_set(&err));
	assert_int_equal(err_set(&err, ERR_NOT_FOUND, "no %s", "target"), -1);
	assert_true(err_is_set(&err));
	assert_int_equal(err_prefix(&err, "start \"%s\"", "a"), -1);
	assert_string_equal(err.msg, "start \"a\": no target");
	assert_int_equal(err_reason(&err, "invalid-target"), -1);
	assert_string_equal(err.reason, "invalid-target");
	assert_int_equal(err_sys(&err, EACCES, "open \"%s\"", "x"), -1);
	assert_string_equal(err.msg, "open \"x\": Permission denied");
	assert_int_equal(err.code, ERR_PERMISSION_DENIED);
	assert_int_equal(err.sys, EACCES);
	assert_string_equal(err.reason, "");
	assert_int_equal(err_set(NULL, ERR_INTERNAL, "x"), -1);
	assert_string_equal(err_code_name(ERR_UNAUTHENTICATED), "UNAUTHENTICATED");
	assert_string_equal(err_code_name((enum err_code)99), "UNKNOWN");
}

static void test_err_long(void **state)
{
	struct err err = ERR_INIT;
	char text[2 * ERR_MSG_MAX];
	(void)state;
	memset(text, 'e', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	err_set(&err, ERR_INTERNAL, "%s", text);
	assert_int_equal(strlen(err.msg), ERR_MSG_MAX - 1);
	assert_string_equal(err.msg + ERR_MSG_MAX - 4, "...");
	err_prefix(&err, "more");
	assert_int_equal(strncmp(err.msg, "more: eee", 9), 0);
	assert_string_equal(err.msg + ERR_MSG_MAX - 4, "...");
	err_sys(&err, ENOENT, "%s", text);
	assert_int_equal(strlen(err.msg), ERR_MSG_MAX - 1);
	err_set(&err, ERR_INTERNAL, "again: %s", err.msg); /* the argument is the target */
	assert_int_equal(strncmp(err.msg, "again: eee", 10), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces_of_every_size),
		cmocka_unit_test(test_bad_frames),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_pack),
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_percent),
		cmocka_unit_test(test_err_texts),
		cmocka_unit_test(test_err_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
