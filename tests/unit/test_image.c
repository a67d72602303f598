/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and telling files apart; raw binaries. */
#include "tests/unit/test_image.h"

/* A vector table, then zeros. */
static void put_vectors(uint32_t sp, uint32_t reset, size_t len)
{
	unsigned char *data = calloc(1, len);

	for (size_t i = 0; i < 4; i++) {
		data[i] = (unsigned char)(sp >> (8 * i));
		data[4 + i] = (unsigned char)(reset >> (8 * i));
	}
	image_put("fw.bin", data, len);
	free(data);
}

static void test_files(void **state)
{
	char path[400];
	Pwemu__V1__Target *board = image_board("arm");

	(void)state;
	snprintf(image_path, sizeof(image_path), "%s/none.elf", image_dir);
	image_refuse(board, NULL, "No such file");
	snprintf(image_path, sizeof(image_path), "%s", image_dir);
	image_refuse(board, NULL, "is a directory");
	snprintf(image_path, sizeof(image_path), "/dev/null");
	image_refuse(board, NULL, "is no regular file");
	snprintf(image_path, sizeof(image_path), "%s/fifo", image_dir);
	assert_int_equal(mkfifo(image_path, 0600), 0);
	image_refuse(board, NULL, "is no regular file"); /* and does not hang */
	image_put("e.bin", "", 0);
	image_refuse(board, NULL, "is empty");
	image_put("secret.elf", "x", 1);
	chmod(image_path, 0);
	if (geteuid() != 0)
		image_refuse(board, NULL, "Permission denied");

	struct err err = ERR_INIT;
	struct image_info info;
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(image_check(path, board, NULL, NULL, &info, &err), -1);
	assert_non_null(strstr(err.msg, "\"...xxx"));
	assert_non_null(strstr(err.msg, "File name too long"));
}

static void test_not_firmware(void **state)
{
	static const struct {
		const char *name, *data, *text;
	} rows[] = {
		{ "a.txt", "hello\nworld \xc3\xa4\n", "is a text file" },
		{ "a.elf", "hello\n", "is named like an ELF file but is a text file" },
		{ "A.AXF", "\x01\x02", "is named like an ELF file but is something else" },
		{ "a.hex", "hello\n", "is named like an Intel hex file but is a text file" },
		{ "a.bin", "#!/bin/sh\n", "is a text file" },
		{ "a.bin", ":not hex\n", "is a text file" },
		{ "a.a", "!<arch>\nx", "is a static library" },
		{ "a.gz", "\x1f\x8b\x08x", "is compressed by gzip" },
		{ "a.uf2", "UF2\nx", "is a UF2 file" },
		{ "a.s19", "S0030000FC\n", "is a Motorola S-record" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		image_put(rows[i].name, rows[i].data, strlen(rows[i].data));
		image_refuse(image_board("arm"), NULL, rows[i].text);
	}
}

static void test_expect(void **state)
{
	struct err err = ERR_INIT;
	struct image_info info;
	struct stat st;
	Pwemu__V1__Target *board = image_board("arm");

	(void)state;
	put_vectors(0x20004000, 0x08000101, 256);
	assert_int_equal(stat(image_path, &st), 0);
	struct image_expect same = { .device = st.st_dev, .inode = st.st_ino, .size = 256 }, none = { 0 }, other = same, shorter = same;
	other.inode++;
	shorter.size--;
	assert_int_equal(image_check(image_path, board, NULL, &same, &info, &err), 0);
	assert_int_equal(image_check(image_path, board, NULL, &none, &info, &err), 0);
	assert_int_equal(image_check(image_path, board, NULL, &other, &info, &err), -1);
	assert_string_equal(err.reason, "image-elsewhere");
	assert_non_null(strstr(err.msg, "is another file for the daemon"));
	assert_int_equal(image_check(image_path, board, NULL, &shorter, &info, &err), -1);
	assert_string_equal(err.reason, "image-mismatch");
	assert_non_null(strstr(err.msg, "had 255 bytes when the client looked and has 256 now"));
	unlink(image_path);
	assert_int_equal(image_check(image_path, board, NULL, &same, &info, &err), -1);
	assert_string_equal(err.reason, "image-elsewhere");
}

static void test_bin_vectors(void **state)
{
	Pwemu__V1__Target *board = image_board("arm");

	(void)state;
	put_vectors(0x20004000, 0x08000101, 512);
	struct image_info info = image_accept(board, NULL);
	assert_int_equal(info.kind, IMAGE_BIN);
	assert_int_equal(info.address, 0x08000000);
	assert_int_equal(info.end, 0x08000200);
	assert_int_equal(info.size, 512);
	put_vectors(0x20004000, 0x101, 512); /* linked to the alias */
	image_accept(board, NULL);
	put_vectors(0x20004004, 0x08000101, 512);
	image_refuse(board, NULL, "the initial stack pointer would be 0x20004004, outside of its memory (ram0 0x20000000-0x20001fff");
	put_vectors(0x20003ffe, 0x08000101, 512);
	image_refuse(board, NULL, "the initial stack pointer");
	put_vectors(0, 0x08000101, 512);
	image_refuse(board, NULL, "the initial stack pointer");
	put_vectors(0x20004000, 0x08000100, 512);
	image_refuse(board, NULL, "has no Thumb bit");
	put_vectors(0x20004000, 0x08010001, 512);
	image_refuse(board, NULL, "the reset vector 0x08010001 is outside");
	image_put("short.bin", "\x01\x02\x03", 3);
	image_refuse(board, NULL, "is too short for a Cortex-M image");
	image_put("short.bin", "\x01\x02\x03", 3);
	image_accept(image_board("avr"), NULL); /* no vector table elsewhere */
}

static void test_bin_addresses(void **state)
{
	Pwemu__V1__Target *board = image_board("arm");
	uint64_t at = 0x08004000;

	(void)state;
	put_vectors(0, 0, 0xc000); /* data: no vector table where nothing boots */
	assert_int_equal(image_accept(board, &at).address, 0x08004000);
	at += 4;
	image_refuse(board, &at, "does not fit into memory of board at 0x08004004; it has ram0");
	at = 0x60000000;
	image_refuse(board, &at, "does not fit into memory of board at 0x60000000");
	at = UINT64_MAX - 5;
	image_refuse(board, &at, "beyond the last address");
	at = 0x20000000;
	put_vectors(0, 0, 0x4000); /* across ranges that touch */
	image_accept(board, &at);
	at = 0x08000000;
	image_refuse(board, &at, "the initial stack pointer"); /* the boot address, said aloud */
	put_vectors(0x20004000, 0x08000101, 0x10001);
	image_refuse(board, NULL, "is a raw binary of 65537 bytes and does not fit");
}

static void test_bin_without_memory(void **state)
{
	Pwemu__V1__Target *board = image_board("arm");
	uint64_t at = 0x60000000;

	(void)state;
	board->n_memory = 0;
	put_vectors(0, 0, 16);
	image_refuse(board, NULL, "say where it goes (FILE@ADDR)");
	assert_int_equal(image_accept(board, &at).address, 0x60000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),       cmocka_unit_test(test_not_firmware),  cmocka_unit_test(test_expect),
		cmocka_unit_test(test_bin_vectors), cmocka_unit_test(test_bin_addresses), cmocka_unit_test(test_bin_without_memory),
	};

	return cmocka_run_group_tests(tests, image_setup, image_teardown);
}
