/* SPDX-License-Identifier: Apache-2.0 */
/* Replays the fuzzer's corpus of addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/fuzz/fuzz_host.c"
#include "tests/unit/test_fuzz.h"

static void test_corpus(void **state)
{
	(void)state;
	fuzz_replay("tests/fuzz/host", 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_corpus) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
