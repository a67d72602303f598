/* SPDX-License-Identifier: Apache-2.0 */
/* Durations, sizes, positions, keys; words as a shell splits them; FILE@ADDR. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/image.h"
#include "client/machine.h"
#include "client/values.h"
#include "client/words.h"

static void assert_duration(const char *text, uint64_t want)
{
	uint64_t ms = 0;
	struct err err = ERR_INIT;
	if (value_duration(text, &ms, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	assert_int_equal(ms, want);
}

static void test_duration(void **state)
{
	(void)state;
	assert_duration("500ms", 500);
	assert_duration("2s", 2000);
	assert_duration("5m", 300000);
	assert_duration("1h", 3600000);
	assert_duration("1.5s", 1500);
	assert_duration("0.25s", 250);
	assert_duration("0s", 0);
	static const char *const bad[] = { "",    "5",  "s",    "-1s", "+1s",   " 1s",    "1 s",
					   "1s ", "1x", "0x5s", "1.s", "1..5s", "1.5.5s", "99999999h" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t ms = 77;
		struct err err = ERR_INIT;
		if (value_duration(bad[i], &ms, &err) == 0)
			fail_msg("'%s' was taken for %lu ms", bad[i], (unsigned long)ms);
		assert_int_equal(ms, 77);
		assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
	}
}

static void test_duration_without_unit_says_how(void **state)
{
	(void)state;
	uint64_t ms;
	struct err err = ERR_INIT;
	assert_int_equal(value_duration("5", &ms, &err), -1);
	assert_non_null(strstr(err.msg, "5s"));
}

static void test_size(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint64_t want;
	} good[] = { { "0", 0 },
		     { "4096", 4096 },
		     { "0x8000", 0x8000 },
		     { "4K", 4096 },
		     { "1M", 1 << 20 },
		     { "2G", 2ULL << 30 },
		     { "4KiB", 4096 },
		     { "0x10K", 16384 },
		     { "4k", 4096 },
		     { "0X1f", 31 },
		     { "18446744073709551615", UINT64_MAX } };
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		uint64_t bytes = 1;
		assert_int_equal(value_size(good[i].text, &bytes, NULL), 0);
		assert_true(bytes == good[i].want);
	}
	static const char *const bad[] = { "",   "K", "-1", "+1", " 1", "1 ", "4KB", "0x", "1e3", "18446744073709551616", "99999999999G",
					   "12Q" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t bytes;
		if (value_size(bad[i], &bytes, NULL) == 0)
			fail_msg("'%s' was taken", bad[i]);
	}
}

static void test_position(void **state)
{
	(void)state;
	Pwemu__V1__Position p = PWEMU__V1__POSITION__INIT;
	assert_int_equal(value_position("0", &p, NULL), 0);
	assert_int_equal(p.at_case, PWEMU__V1__POSITION__AT_OFFSET);
	assert_int_equal(p.offset, 0);
	assert_int_equal(value_position("-4K", &p, NULL), 0);
	assert_int_equal(p.at_case, PWEMU__V1__POSITION__AT_TAIL);
	assert_int_equal(p.tail, 4096);
	assert_int_equal(value_position("boot", &p, NULL), 0);
	assert_int_equal(p.at_case, PWEMU__V1__POSITION__AT_BOOT);
	assert_true(p.boot);
	assert_int_equal(value_position("now", &p, NULL), 0);
	assert_int_equal(p.at_case, PWEMU__V1__POSITION__AT_NOW);
	assert_int_equal(value_position("12345", &p, NULL), 0);
	assert_int_equal(p.offset, 12345);
	static const char *const bad[] = { "", "-", "--4K", "boots", "4X", "then" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(value_position(bad[i], &p, NULL), -1);
}

static void test_key(void **state)
{
	(void)state;
	unsigned char key = 0;
	static const struct {
		const char *text;
		unsigned char want;
	} good[] = { { "^A", 1 }, { "ctrl-a", 1 }, { "Ctrl+]", 0x1d }, { "C-x", 0x18 }, { "^_", 0x1f } };
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(value_key(good[i].text, &key, NULL), 0);
		assert_int_equal(key, good[i].want);
	}
	static const char *const bad[] = { "", "a", "^", "^ab", "ctrl-", "^1", "^@" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(value_key(bad[i], &key, NULL), -1);
	assert_string_equal(value_key_name(0x1d), "Ctrl+]");
}

/* ---------------------------------------------------------------- words */

static void assert_split(const char *text, const char *want)
{
	struct words words = WORDS_INIT;
	struct err err = ERR_INIT;
	char joined[256] = "";
	if (words_split(&words, text, &err) < 0)
		fail_msg("%s", err.msg);
	for (size_t i = 0; i < words.count; i++) {
		strncat(joined, "<", sizeof(joined) - strlen(joined) - 1);
		strncat(joined, words.list[i], sizeof(joined) - strlen(joined) - 1);
		strncat(joined, ">", sizeof(joined) - strlen(joined) - 1);
	}
	assert_string_equal(joined, want);
	words_fini(&words);
}

static void test_words(void **state)
{
	(void)state;
	assert_split("", "");
	assert_split("  \t\n ", "");
	assert_split("-d  int", "<-d><int>");
	assert_split("-drive 'file=a b.img,if=none'", "<-drive><file=a b.img,if=none>");
	assert_split("a\\ b", "<a b>");
	assert_split("\"a b\"c'd e'", "<a bcd e>");
	assert_split("''", "<>");
	assert_split("\"\" x", "<><x>");
	assert_split("\"\\$x \\\" \\\\ \\n\"", "<$x \" \\ \\n>");
	assert_split("'a\\b'", "<a\\b>");
	assert_split("a\\\nb", "<ab>");
	assert_split("$HOME *", "<$HOME><*>");
	assert_split("trailing\\", "<trailing\\>");
}

static void test_words_open_quote_adds_nothing(void **state)
{
	(void)state;
	struct words words = WORDS_INIT;
	struct err err = ERR_INIT;
	words_add(&words, "first");
	assert_int_equal(words_split(&words, "a b 'c", &err), -1);
	assert_int_equal(words.count, 1);
	assert_int_equal(words_split(&words, "\"", &err), -1);
	assert_int_equal(words.count, 1);
	words_fini(&words);
}

static void test_environment(void **state)
{
	(void)state;
	char *environment[] = { "A=1", "AB=2", "odd", "C=3", NULL };
	const char *changes[] = { "A=x", "D=4", "A=y" };
	struct words out = WORDS_INIT;
	machine_environment(&out, environment, changes, 3);
	assert_int_equal(out.count, 4);
	assert_string_equal(out.list[0], "AB=2");
	assert_string_equal(out.list[1], "C=3");
	assert_string_equal(out.list[2], "D=4");
	assert_string_equal(out.list[3], "A=y");
	words_fini(&out);
}

/* ---------------------------------------------------------------- images */

static void touch(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
}

static int enter_directory(void **state)
{
	static char name[] = "/tmp/pwemu-test-XXXXXX";
	*state = mkdtemp(name);
	return *state != NULL ? chdir(name) : -1;
}

static int leave_directory(void **state)
{
	static const char *const files[] = { "fw.elf", "app@0x100", "plain" };
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(files[i]);
	return chdir("/") < 0 ? -1 : rmdir(*state);
}

static void test_image(void **state)
{
	Pwemu__V1__Image image;
	struct err err = ERR_INIT;
	char want[128];
	touch("fw.elf");
	assert_int_equal(image_from_argument("fw.elf@0x8000", &image, &err), 0);
	snprintf(want, sizeof(want), "%s/fw.elf", (char *)*state);
	assert_string_equal(image.path, want);
	assert_int_equal(image.load_case, PWEMU__V1__IMAGE__LOAD_ADDRESS);
	assert_int_equal(image.address, 0x8000);
	assert_int_equal(image.size, 1);
	assert_true(image.inode != 0);
	free(image.path);
	assert_int_equal(image_from_argument("fw.elf", &image, &err), 0);
	assert_int_equal(image.load_case, PWEMU__V1__IMAGE__LOAD__NOT_SET);
	free(image.path);
}

static void test_image_with_at_in_its_name(void **state)
{
	(void)state;
	Pwemu__V1__Image image;
	struct err err = ERR_INIT;
	touch("app@0x100");
	assert_int_equal(image_from_argument("app@0x100", &image, &err), 0);
	assert_int_equal(image.load_case, PWEMU__V1__IMAGE__LOAD__NOT_SET);
	assert_non_null(strstr(image.path, "/app@0x100"));
	free(image.path);
	assert_int_equal(image_from_argument("app@0x100@4K", &image, &err), 0);
	assert_int_equal(image.address, 4096);
	free(image.path);
}

static void test_image_refused(void **state)
{
	(void)state;
	Pwemu__V1__Image image;
	struct err err = ERR_INIT;
	assert_int_equal(image_from_argument("missing.elf", &image, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.msg, "missing.elf"));
	touch("plain");
	assert_int_equal(image_from_argument("plain@here", &image, &err), -1);
	assert_non_null(strstr(err.msg, "load address of plain"));
	assert_int_equal(image_from_argument("", &image, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_duration),
		cmocka_unit_test(test_duration_without_unit_says_how),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_position),
		cmocka_unit_test(test_key),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_words_open_quote_adds_nothing),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_image),
		cmocka_unit_test(test_image_with_at_in_its_name),
		cmocka_unit_test(test_image_refused),
	};
	return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
