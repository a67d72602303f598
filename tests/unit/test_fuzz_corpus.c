/* SPDX-License-Identifier: Apache-2.0 */
/* Replays the fuzzer's corpus: no file of it may crash, and what fails says why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>

#include "tests/fuzz/fuzz_config.c"

#define CORPUS    "tests/fuzz/corpus"
#define FILE_MAX  (1 << 20)
#define FILES_MIN 50

static size_t load(const char *name, uint8_t *data)
{
	char path[512];
	snprintf(path, sizeof(path), CORPUS "/%s", name);
	FILE *from = fopen(path, "r");
	assert_non_null(from);
	size_t size = fread(data, 1, FILE_MAX, from);
	fclose(from);
	return size;
}

static void test_corpus(void **state)
{
	DIR *dir = opendir(CORPUS);
	const struct dirent *entry;
	size_t count = 0;
	uint8_t *data = xmalloc(FILE_MAX);
	(void)state;
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		LLVMFuzzerTestOneInput(data, load(entry->d_name, data));
		count++;
	}
	assert_true(count >= FILES_MIN);
	closedir(dir);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_corpus) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
