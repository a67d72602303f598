/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints what test programs print. The last word of the command line says which: gtest (all is well), fails (with code 1), lies (fails,
 * with code 0), crash, hang (both within a test), late (crashes after its tests), pigweed, ztest, twice (two ports), bytes.
 */
#include "board.h"
#include "semihosting.h"

#define GTEST_HEAD "[==========] Running 3 tests from 1 test suite.\n[----------] 3 tests from Sum\n"
#define GTEST_GOOD "[ RUN      ] Sum.Small\nadding 1 and 2\n[       OK ] Sum.Small (3 ms)\n"
#define GTEST_SKIP "[ RUN      ] Sum.Later\nsum_test.cc:20: Skipped\nnot on this board\n[  SKIPPED ] Sum.Later (0 ms)\n"
#define GTEST_BAD                                                                                                                          \
	"[ RUN      ] Sum.Big\r\n"                                                                                                         \
	"sum_test.cc:12: Failure\r\nExpected equality of these values:\r\n  sum(1, 2)\r\n    Which is: 4\r\n  3\r\n"                       \
	"[  FAILED  ] Sum.Big (12 ms)\r\n"
#define GTEST_LIST "[  PASSED  ] 1 test.\n[  FAILED  ] 1 test, listed below:\n[  FAILED  ] Sum.Big\n"
#define PIGWEED                                                                                                                            \
	"\033[32mINF\033[0m  [==========] Running all tests.\n"                                                                            \
	"\033[32mINF\033[0m  [ RUN      ] Queue.Empty\n"                                                                                   \
	"\033[32mINF\033[0m  [       OK ] Queue.Empty\n"                                                                                   \
	"\033[32mINF\033[0m  [ RUN      ] Queue.Full\n"                                                                                    \
	"\033[31mERR\033[0m  queue_test.cc:41: Failure\n"                                                                                  \
	"\033[31mERR\033[0m        Expected: queue.full() == true\n"                                                                       \
	"\033[31mERR\033[0m          Actual: 0 == 1\n"                                                                                     \
	"\033[31mERR\033[0m  [  FAILED  ] Queue.Full\n"                                                                                    \
	"\033[32mINF\033[0m  [ RUN      ] Queue.Later\n"                                                                                   \
	"\033[33mWRN\033[0m  [ DISABLED ] Queue.Later\n"
#define ZTEST                                                                                                                              \
	"*** Booting Zephyr OS build v3.7.0 ***\nRunning TESTSUITE list\n=====\n"                                                          \
	"START - test_append\n PASS - test_append in 0.002 seconds\n=====\n"                                                               \
	"START - test_remove\n\n    Assertion failed at src/main.c:31: list_test_remove: (n == 0 is false)\n"                              \
	"n is 1 FAIL - test_remove in 0.011 seconds\n=====\n"                                                                              \
	"START - test_later\n SKIP - test_later in 0.001 seconds\n=====\nTESTSUITE list failed.\n\n"                                       \
	"------ TESTSUITE SUMMARY START ------\n\n"                                                                                        \
	"SUITE FAIL -  33.33% [list]: pass = 1, fail = 1, skip = 1, total = 3 duration = 0.014 seconds\n"                                  \
	" - PASS - [list.test_append] duration = 0.002 seconds\n - FAIL - [list.test_remove] duration = 0.011 seconds\n"                   \
	" - SKIP - [list.test_later] duration = 0.001 seconds\n\n------ TESTSUITE SUMMARY END ------\n\n"                                  \
	"=====\nPROJECT EXECUTION FAILED\n"
#define BYTES "<&>\"' ]]> \001\033[1m\377\xc3\xa9\xef\xbf\xbe end\n[ RUN      ] X.Y\n\001<&\n[       OK ] X.Y (1 ms)\n"

enum end { END_0 = 0, END_1 = 1, CRASH, HANG };

static const struct mode {
	const char *word, *text, *second; /* on the second port */
	enum end end;
} modes[] = {
	{ "gtest", GTEST_HEAD GTEST_GOOD GTEST_SKIP "[  PASSED  ] 1 test.\n", 0, END_0 },
	{ "fails", GTEST_HEAD GTEST_GOOD GTEST_BAD GTEST_SKIP GTEST_LIST, 0, END_1 },
	{ "lies", GTEST_HEAD GTEST_GOOD GTEST_BAD GTEST_LIST, 0, END_0 },
	{ "crash", GTEST_HEAD GTEST_GOOD "[ RUN      ] Sum.Wild\nabout to fault\n", 0, CRASH },
	{ "hang", GTEST_HEAD GTEST_GOOD "[ RUN      ] Sum.Endless\nwaiting", 0, HANG },
	{ "late", GTEST_HEAD GTEST_GOOD "about to fault\n", 0, CRASH },
	{ "pigweed", PIGWEED, 0, END_1 },
	{ "ztest", ZTEST, 0, END_1 },
	{ "twice", GTEST_GOOD, "[ RUN      ] Sum.Small\n[  FAILED  ] Sum.Small (7 ms)\n", END_1 },
	{ "bytes", BYTES, 0, END_0 },
};

static int is_same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

static const char *last_word(const char *line)
{
	const char *word = line;

	for (; *line; line++)
		if (*line == ' ')
			word = line + 1;
	return word;
}

static void play(const struct mode *mode)
{
	uart_print(0, mode->text);
	if (mode->second)
		uart_print(1, mode->second);
	if (mode->end == CRASH)
		__asm__ volatile("udf #0");
	if (mode->end != HANG)
		semi_exit(mode->end);
}

int main(void)
{
	static char line[512];
	const char *word = last_word(semi_command_line(line, sizeof(line)));

	uart_open(0);
#if defined(BOARD_lm3s6965evb) || defined(BOARD_mps2_an385)
	uart_open(1);
#endif
	for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (is_same(modes[i].word, word))
			play(&modes[i]);
	return 0;
}
