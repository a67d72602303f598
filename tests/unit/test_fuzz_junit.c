/* SPDX-License-Identifier: Apache-2.0 */
/* Replays the corpus of the fuzzer of consoles' text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>

#include "tests/fuzz/fuzz_junit.c"

#define CORPUS    "tests/fuzz/junit"
#define FILES_MIN 10

static void replay(const char *name)
{
	static uint8_t data[1 << 20];
	char path[512];
	snprintf(path, sizeof(path), CORPUS "/%s", name);
	FILE *from = fopen(path, "r");
	assert_non_null(from);
	size_t size = fread(data, 1, sizeof(data), from);
	fclose(from);
	for (unsigned piece = 0; piece < 256; piece += 51) { /* cut elsewhere than the file says, too */
		LLVMFuzzerTestOneInput(data, size);
		data[0] = (uint8_t)piece;
	}
}

static void test_corpus(void **state)
{
	DIR *dir = opendir(CORPUS);
	size_t count = 0;
	(void)state;
	assert_non_null(dir);
	for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (entry->d_name[0] == '.')
			continue;
		replay(entry->d_name);
		count++;
	}
	closedir(dir);
	assert_true(count >= FILES_MIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_corpus) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
