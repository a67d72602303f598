/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions that the daemon replaces: where they may stand, what they become, what is told of one that means nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/subst.h"
#include "instance/expand.h"

static const struct expand_channel channels[] = {
	{ "serial0", ENDPOINT_TCP, 4711, "" },
	{ "serial1", ENDPOINT_PTY, 0, "/dev/pts/7" },
	{ "gdb", ENDPOINT_NONE, 0, "" },
};
static const struct expand_scope scope = { "board", "/wdir", channels, 3 };

static void test_values(void **state)
{
	(void)state;
	static const struct {
		const char *text, *value;
	} rows[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "$pw_emu_wdir{log.txt}", "/wdir/log.txt" },
		{ "$pw_emu_wdir{}", "/wdir/" },
		{ "$pw_emu_wdir{/abs}", "/abs" },
		{ "$pw_emu_wdir{a b/c}", "/wdir/a b/c" },
		{ "$pw_emu_channel_port{serial0}", "4711" },
		{ "$pw_emu_channel_host{serial0}", "127.0.0.1" },
		{ "$pw_emu_channel_path{serial1}", "/dev/pts/7" },
		{ "x=$pw_emu_wdir{a},y", "x=/wdir/a,y" },
		{ "tcp:$pw_emu_channel_host{serial0}:$pw_emu_channel_port{serial0}", "tcp:127.0.0.1:4711" },
		{ "$pw_emu_wdir{a}$pw_emu_wdir{b}", "/wdir/a/wdir/b" },
		{ "$", "$" },
		{ "$$pw_emu_wdir{a}$", "$/wdir/a$" },
		{ "$HOME ${x} $pw $pw_ {}", "$HOME ${x} $pw $pw_ {}" },
		{ "$pw_emu_wdir", "$pw_emu_wdir" },
		{ "$pw_emu_wdir{never closed", "$pw_emu_wdir{never closed" },
		{ "$PW_emu_wdir{a}", "$PW_emu_wdir{a}" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = ERR_INIT;
		char *value = expand_text(&scope, "here", rows[i].text, &err);
		if (value == NULL || strcmp(value, rows[i].value) != 0)
			fail_msg("%s became %s (%s)", rows[i].text, value != NULL ? value : "nothing", err.msg);
		free(value);
	}
}

/* What was put in is no text to be looked at again. */
static void test_once(void **state)
{
	(void)state;
	static const struct expand_scope odd = { "board", "/$pw_emu_wdir{x}", channels, 3 };
	char *value = expand_text(&odd, "here", "$pw_emu_wdir{a}", NULL);
	assert_string_equal(value, "/$pw_emu_wdir{x}/a");
	free(value);
}

static void test_needed(void **state)
{
	(void)state;
	assert_true(subst_is_needed("a $b $pw_emu_wdir{}"));
	assert_true(subst_is_needed("$pw_emu_nonsense{}"));
	assert_false(subst_is_needed("a $b $pw_emu_wdir"));
	assert_false(subst_is_needed(""));
}

static void test_errors(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *words[3];
	} rows[] = {
		{ "x $pw_emu_channel_port{nope} y",
		  { "target \"board\": here: $pw_emu_channel_port{nope}", "no channel \"nope\"", "serial1 (pty)" } },
		{ "$pw_emu_channel_port{}", { "no channel \"\"", "serial0 (tcp)", "gdb (none)" } },
		{ "$pw_emu_channel_port{serial1}", { "\"serial1\" is of type pty", "\"tcp\"", "" } },
		{ "$pw_emu_channel_host{gdb}", { "\"gdb\" is of type none", "\"tcp\"", "" } },
		{ "$pw_emu_channel_path{serial0}", { "\"serial0\" is of type tcp", "\"pty\"", "" } },
		{ "$pw_emu_channel_prot{serial0}",
		  { "target \"board\": here: ", "$pw_emu_channel_prot{} is no expression", "\"$pw_emu_channel_port\"" } },
		{ "$pw_env{HOME}", { "target \"board\": here: $pw_env{HOME}", "client", "" } },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = ERR_INIT;
		assert_null(expand_text(&scope, "here", rows[i].text, &err));
		assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
		assert_string_equal(err.reason, "invalid-target");
		for (int k = 0; k < 3; k++)
			if (strstr(err.msg, rows[i].words[k]) == NULL)
				fail_msg("%s: \"%s\" is not in \"%s\"", rows[i].text, rows[i].words[k], err.msg);
	}
}

static void test_no_channels(void **state)
{
	(void)state;
	static const struct expand_scope bare = { "board", "/wdir", NULL, 0 };
	struct err err = ERR_INIT;
	assert_null(expand_text(&bare, "here", "$pw_emu_channel_port{a}", &err));
	assert_non_null(strstr(err.msg, "there is: none"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values), cmocka_unit_test(test_once),        cmocka_unit_test(test_needed),
		cmocka_unit_test(test_errors), cmocka_unit_test(test_no_channels),
	};
	return cmocka_run_group_tests_name("instance: expressions", tests, NULL, NULL);
}
