/* SPDX-License-Identifier: Apache-2.0 */
/* The framing of gdb's remote protocol: reading in pieces of any size, checksums, escapes, runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "driver/rsp.h"

/* All items of the bytes, given in pieces, as words: "+ P:data B". */
static void read_all(const char *bytes, size_t len, size_t piece, char *out, size_t size)
{
	static const char marks[] = { [RSP_PACKET] = 'P',    [RSP_NOTIFICATION] = 'N', [RSP_ACK] = '+',     [RSP_NACK] = '-',
				      [RSP_INTERRUPT] = 'I', [RSP_BROKEN] = 'B',       [RSP_TOO_LONG] = 'L' };
	struct rsp_reader reader;
	rsp_reader_init(&reader);
	size_t used = 0;
	out[0] = '\0';
	for (size_t at = 0; at < len;) {
		size_t n = len - at < piece ? len - at : piece;
		enum rsp_item item;
		size_t taken = rsp_reader_take(&reader, bytes + at, n, &item);
		assert_true(taken > 0 && taken <= n);
		at += taken;
		if (item == RSP_PACKET || item == RSP_NOTIFICATION)
			used += (size_t)snprintf(out + used, size - used, "%c:%.*s ", marks[item], (int)reader.len, reader.data);
		else if (item != RSP_NOTHING)
			used += (size_t)snprintf(out + used, size - used, "%c ", marks[item]);
	}
	rsp_reader_fini(&reader);
}

static void test_reader(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "+$g#67", "+ P:g " },
		{ "$#00", "P: " },
		{ "$OK#9a+-\x03", "P:OK + - I " },
		{ "$OK#9A", "P:OK " },
		{ "$OK#9b$OK#9a", "B P:OK " },
		{ "$OK#zz$OK#9a", "B P:OK " },
		{ "$OK#9", "" },
		{ "%Stop:T05#99", "N:Stop:T05 " },
		{ "noise$g#67\r\n$?#3f", "P:g P:? " },
		{ "$cut o$g#67", "P:g " },
		{ "$X0,1:}\x03#9f", "P:X0,1:}\x03 " },
		{ "$O48\x03#ff", "B " },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t piece = 1; piece <= 40; piece++) {
			char out[256];
			read_all(rows[i][0], strlen(rows[i][0]), piece, out, sizeof(out));
			assert_string_equal(out, rows[i][1]);
		}
}

static void test_reader_is_bounded(void **state)
{
	(void)state;
	size_t len = RSP_DATA_MAX + 10;
	char *bytes = malloc(len), out[64];
	memset(bytes, 'a', len);
	bytes[0] = '$';
	read_all(bytes, len, 4096, out, sizeof(out));
	assert_int_equal(out[0], 'L');
	free(bytes);
}

static void test_frame(void **state)
{
	(void)state;
	char out[32];
	assert_int_equal(rsp_frame(out, "OK", 2), 6);
	assert_memory_equal(out, "$OK#9a", 6);
	assert_int_equal(rsp_frame(out, "", 0), 4);
	assert_memory_equal(out, "$#00", 4);
}

static void test_escape_and_back(void **state)
{
	(void)state;
	uint8_t all[256];
	char escaped[512], back[256];
	for (int i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	size_t len = rsp_escape(escaped, all, sizeof(all));
	assert_int_equal(len, 256 + 4);
	assert_null(memchr(escaped, '$', len));
	assert_null(memchr(escaped, '#', len));
	assert_int_equal(rsp_decode(escaped, len, true, back, sizeof(back)), 256);
	assert_memory_equal(back, all, 256);
}

static void test_runs(void **state)
{
	(void)state;
	char out[16];
	assert_int_equal(rsp_decode("0* ", 3, true, out, sizeof(out)), 4);
	assert_memory_equal(out, "0000", 4);
	assert_int_equal(rsp_decode("0* ", 3, false, out, sizeof(out)), 3);
	assert_int_equal(rsp_decode("a*~", 3, true, out, sizeof(out)), 98); /* longer than there is room for */
	assert_memory_equal(out, "aaaaaaaaaaaaaaaa", 16);
	assert_int_equal(rsp_decode("a}", 2, true, out, sizeof(out)), 2); /* cut off */
	assert_int_equal(rsp_decode("* ", 2, true, out, sizeof(out)), 2); /* of nothing */
}

static void test_hex(void **state)
{
	(void)state;
	char hex[16];
	uint8_t bytes[4];
	assert_int_equal(rsp_to_hex(hex, "\x00\xff\x1a", 3), 6);
	assert_string_equal(hex, "00ff1a");
	assert_true(rsp_from_hex("00fF1A", 6, bytes));
	assert_memory_equal(bytes, "\x00\xff\x1a", 3);
	assert_false(rsp_from_hex("0", 1, bytes));
	assert_false(rsp_from_hex("0g", 2, bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reader), cmocka_unit_test(test_reader_is_bounded),
		cmocka_unit_test(test_frame),  cmocka_unit_test(test_escape_and_back),
		cmocka_unit_test(test_runs),   cmocka_unit_test(test_hex),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
