/* SPDX-License-Identifier: Apache-2.0 */
/* "did you mean": what is near, in which order, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "config/nearest.h"

static const char *const names[] = { "qemu-lm3s6965evb", "qemu-lm3s811evb", "qemu-netduino2", NULL,     "qemu-netduinoplus2",
				     "qemu-microbit",    "start",           "stop",           "status", "restart" };
#define COUNT (sizeof(names) / sizeof(names[0]))

static const char *first(const char *word)
{
	const char *out[1] = { NULL };

	return nearest_names(word, names, COUNT, out, 1) ? out[0] : NULL;
}

static void test_typing_errors(void **state)
{
	(void)state;
	assert_string_equal(first("qemu-lm3s6965ebv"), "qemu-lm3s6965evb"); /* neighbours exchanged */
	assert_string_equal(first("qemu-lm3s696evb"), "qemu-lm3s6965evb");
	assert_string_equal(first("QEMU-MICROBIT"), "qemu-microbit");
	assert_string_equal(first("statr"), "start");
	assert_string_equal(first("stpo"), "stop");
}

static void test_parts_of_names(void **state)
{
	(void)state;
	assert_string_equal(first("microbit"), "qemu-microbit");
	assert_string_equal(first("netduino"), "qemu-netduino2"); /* less is missing than in netduinoplus2 */
	assert_string_equal(first("netduinoplus"), "qemu-netduinoplus2");
	assert_string_equal(first("my-qemu-microbit-board"), "qemu-microbit");
}

static void test_nothing_near(void **state)
{
	char longest[200];

	(void)state;
	assert_null(first(""));
	assert_null(first("x"));
	assert_null(first("firmware.elf"));
	memset(longest, 'q', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_null(first(longest));
	assert_int_equal(nearest_names("stop", names, COUNT, NULL, 0), 0);
}

static void test_order_and_limit(void **state)
{
	const char *out[2];

	(void)state;
	assert_int_equal(nearest_names("stat", names, COUNT, out, 2), 2);
	assert_string_equal(out[0], "start"); /* one letter; status needs two */
	assert_int_equal(nearest_names("qemu", names, COUNT, out, 2), 2);
	assert_string_equal(out[0], "qemu-microbit");
	assert_string_equal(out[1], "qemu-netduino2");
}

static void test_hint(void **state)
{
	char buf[100], small[20];

	(void)state;
	assert_string_equal(nearest_hint("microbit", names, COUNT, buf, sizeof(buf)), " (did you mean \"qemu-microbit\"?)");
	assert_string_equal(nearest_hint("lm3s", names, COUNT, buf, sizeof(buf)),
			    " (did you mean \"qemu-lm3s811evb\" or \"qemu-lm3s6965evb\"?)");
	assert_string_equal(nearest_hint("zzzz", names, COUNT, buf, sizeof(buf)), "");
	assert_int_equal(strlen(nearest_hint("microbit", names, COUNT, small, sizeof(small))), sizeof(small) - 1);
}

static void test_all(void **state)
{
	static const char *const keys[] = { "qmp", "gdb", "chardevs" };
	char buf[100], small[34];

	(void)state;
	assert_string_equal(nearest_hint_or_all("gbd", keys, 3, buf, sizeof(buf)), " (did you mean \"gdb\"?)");
	assert_string_equal(nearest_hint_or_all("serial0", keys, 3, buf, sizeof(buf)), " (valid here: \"chardevs\", \"gdb\", \"qmp\")");
	assert_string_equal(nearest_hint_or_all("serial0", keys, 3, small, sizeof(small)), " (valid here: \"chardevs\", ...)");
	assert_string_equal(nearest_hint_or_all("serial0", keys, 0, buf, sizeof(buf)), "");
	assert_true(strlen(nearest_hint_or_all("serial0", keys, 3, small, 5)) < 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_typing_errors),   cmocka_unit_test(test_parts_of_names), cmocka_unit_test(test_nothing_near),
		cmocka_unit_test(test_order_and_limit), cmocka_unit_test(test_hint),           cmocka_unit_test(test_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
