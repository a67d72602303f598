/* SPDX-License-Identifier: Apache-2.0 */
/* Intel hex images. */
#include "tests/unit/test_image.h"

#define LINEAR_0800 ":020000040800F2\n"
#define DATA_AT_0   ":0400000001020304F2\n"
#define END         ":00000001FF\n"

static void put(const char *text)
{
	image_put("fw.hex", text, strlen(text));
}

static void refuse(const char *text, const char *why)
{
	put(text);
	image_refuse(image_board("arm"), NULL, why);
}

static void test_good(void **state)
{
	struct image_info info;

	(void)state;
	put(LINEAR_0800 DATA_AT_0 ":02FFFE000506F6\r\n\n:0400000508000101ED\n" END "\n");
	info = image_accept(image_board("arm"), NULL);
	assert_int_equal(info.kind, IMAGE_HEX);
	assert_int_equal(info.address, 0x08000000);
	assert_int_equal(info.end, 0x08010000);
	assert_int_equal(info.size, 6);
	assert_int_equal(info.entry, 0x08000101);
	put("\r\n" DATA_AT_0 ":00000001ff"); /* small letters, no end of line */
	info = image_accept(image_board("arm"), NULL);
	assert_int_equal(info.address, 0);
	assert_int_equal(info.size, 4);
	put(":020000020100FB\n" DATA_AT_0 END); /* segment 0x100: 0x1000 */
	assert_int_equal(image_accept(image_board("arm"), NULL).address, 0x1000);
	put(":10000000000102030405060708090A0B0C0D0E0F78\n" END);
	image_accept(image_board("arm"), NULL);
}

static void test_address_given(void **state)
{
	uint64_t at = 0;

	(void)state;
	put(DATA_AT_0 END);
	image_refuse(image_board("arm"), &at, "is an Intel hex file and has addresses of its own");
}

/* What goes to a sink. */
struct sunk {
	uint64_t address;
	unsigned char bytes[64];
	size_t len, pieces;
};

static int sink_write(void *ctx, uint64_t address, const void *bytes, size_t len, struct err *err)
{
	struct sunk *sunk = ctx;

	(void)err;
	if (sunk->pieces++ == 0)
		sunk->address = address;
	assert_int_equal(address, sunk->address + sunk->len);
	assert_true(sunk->len + len <= sizeof(sunk->bytes));
	memcpy(sunk->bytes + sunk->len, bytes, len);
	sunk->len += len;
	return 0;
}

/* The file put last. */
static void sink_load(uint64_t offset, struct sunk *sunk, struct image_info *info)
{
	struct image_sink sink = { sink_write, sunk };
	struct err err = ERR_INIT;

	*sunk = (struct sunk){ 0 };
	assert_int_equal(image_load(image_path, image_board("arm"), NULL, &offset, NULL, &sink, info, &err), 0);
}

static void test_contents(void **state)
{
	struct image_info info;
	struct sunk sunk;

	(void)state;
	put(LINEAR_0800 DATA_AT_0 ":0200040005AB4A\n:0400000508000101ED\n" END);
	sink_load(0, &sunk, &info);
	assert_int_equal(sunk.address, 0x08000000);
	assert_int_equal(sunk.len, 6);
	assert_memory_equal(sunk.bytes, "\1\2\3\4\5\xab", 6);
	assert_int_equal(info.entry, 0x08000101);
	sink_load(0x1000, &sunk, &info);
	assert_int_equal(sunk.address, 0x08001000);
	assert_int_equal(info.address, 0x08001000);
	image_put("fw.bin", "\xff\xfe\xfd", 3);
	sink_load(0x2000, &sunk, &info);
	assert_int_equal(sunk.address, 0x2000);
	assert_memory_equal(sunk.bytes, "\xff\xfe\xfd", 3);
	sink_load(0, &sunk, &info); /* an offset of 0 is one: this board tells no place for it */
	assert_int_equal(sunk.address, 0);
}

static void test_damaged(void **state)
{
	(void)state;
	refuse(LINEAR_0800 ":0400000001020304F3\n" END, "line 2 has a wrong checksum");
	refuse(DATA_AT_0 "0400000001020304F2\n" END, "line 2 is no hex record");
	refuse(DATA_AT_0 ":04000000010203G4F2\n" END, "line 2 has something else than hex digits");
	refuse(DATA_AT_0 ":0500000001020304F1\n" END, "line 2 has 19 characters, which does not fit its record length");
	refuse(DATA_AT_0 ":0400000001020304F\n" END, "line 2 has 18 characters");
	refuse(DATA_AT_0 ":\n" END, "line 2 has 1 characters");
	refuse(DATA_AT_0 ":00000006FA\n" END, "line 2 is a record of unknown type 6");
	refuse(DATA_AT_0 ":0100000400FB\n" END, "line 2 is a record of type 4 with 1 bytes instead of 2");
	refuse(DATA_AT_0, "the end record (:00000001FF) is missing after line 1");
	refuse(DATA_AT_0 END DATA_AT_0, "line 3 comes after the end record");
	refuse(END, "has no data records");
}

static void test_too_long(void **state)
{
	char text[2000];

	(void)state;
	memset(text, '0', sizeof(text));
	text[0] = ':';
	image_put("fw.hex", text, sizeof(text));
	image_refuse(image_board("arm"), NULL, "line 1 is longer than a hex record can be");
}

static void test_longest_record(void **state)
{
	char text[600] = ":FF000000";
	size_t len = strlen(text);

	(void)state;
	memset(text + len, '0', 510); /* 255 zeros; the sum is that of the length */
	snprintf(text + len + 510, sizeof(text) - len - 510, "01\n%s", END);
	put(text);
	assert_int_equal(image_accept(image_board("arm"), NULL).size, 255);
}

static void test_outside(void **state)
{
	Pwemu__V1__Target *board = image_board("arm");

	(void)state;
	refuse(DATA_AT_0 ":020000046000"
			 "9A\n" DATA_AT_0 END,
	       "line 3 goes to 0x60000000-0x60000003. Its memory: ram0");
	refuse(LINEAR_0800 ":04FFFD0001020304F6\n" END, "line 2 goes to 0x0800fffd-0x08010000");
	board->n_memory = 0;
	image_accept(board, NULL);
}

/* More than the reader's buffer. */
static void test_large(void **state)
{
	char *text = malloc(400000);
	size_t len = 0;

	(void)state;
	for (unsigned line = 0; line < 4096; line++) {
		unsigned sum = 0x10 + (line * 16 >> 8) + (line * 16 & 255);

		len += (size_t)snprintf(text + len, 400000 - len, ":10%04X00%032d%02X\n", line * 16, 0, (256 - (sum & 255)) & 255);
	}
	len += (size_t)snprintf(text + len, 400000 - len, END);
	image_put("fw.hex", text, len);
	assert_int_equal(image_accept(image_board("arm"), NULL).size, 65536);
	text[len - 20000] = ';';
	image_put("fw.hex", text, len);
	image_refuse(image_board("arm"), NULL, "line 36");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),     cmocka_unit_test(test_address_given),  cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_too_long), cmocka_unit_test(test_longest_record), cmocka_unit_test(test_outside),
		cmocka_unit_test(test_large),    cmocka_unit_test(test_contents),
	};

	return cmocka_run_group_tests(tests, image_setup, image_teardown);
}
