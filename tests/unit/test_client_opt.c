/* SPDX-License-Identifier: Apache-2.0 */
/* The option parser, and the table of commands it is used with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "client/commands.h"
#include "client/opt.h"

static const struct opt_spec one[] = {
	OPT_MANY("instance", 'i', OPT_TEXT, "NAME", "x"),
	OPT_ROW("quiet", 'q', OPT_FLAG, NULL, "x"),
	OPT_ROW("wide", 'w', OPT_TEXT, "X", "x"),
	OPT_ALIAS("width", 'W', OPT_TEXT, "wide"),
	OPT_END,
};
static const struct opt_spec two[] = {
	OPT_ROW("all", 'a', OPT_FLAG, NULL, "x"),
	OPT_ROW("timeout", '\0', OPT_DURATION, "TIME", "x"),
	OPT_ROW("time", 't', OPT_MAY_CHOOSE, "boot", "x"),
	OPT_ROW("output", 'o', OPT_CHOICE, "table|json", "x"),
	OPT_ROW("set-env", '\0', OPT_PAIR, "NAME=VALUE", "x"),
	OPT_ROW("boot", '\0', OPT_INTEGER, "N", "x"),
	OPT_END,
};
static const struct opt_spec *const tables[] = { one, two, NULL };

#define PARSE(opts, err, ...)                                                                                                              \
	opt_parse(opts, tables, (int)(sizeof((char *[]){ __VA_ARGS__ }) / sizeof(char *)), (char *[]){ __VA_ARGS__ }, false, err)

static void test_forms(void **state)
{
	(void)state;
	struct opts o = OPTS_INIT;
	struct err err = ERR_INIT;
	assert_true(PARSE(&o, &err, "TARGET", "-qi", "b1", "--instance=b2", "-ib3", "--timeout", "2s", "FILE", "-a") > 0);
	assert_int_equal(o.arg_count, 2);
	assert_string_equal(o.args[0], "TARGET");
	assert_string_equal(o.args[1], "FILE");
	assert_int_equal(opt_count(&o, "instance"), 3);
	assert_string_equal(opt_nth(&o, "instance", 0), "b1");
	assert_string_equal(opt_nth(&o, "instance", 1), "b2");
	assert_string_equal(opt_text(&o, "instance"), "b3");
	assert_null(opt_nth(&o, "instance", 3));
	assert_true(opt_has(&o, "quiet") && opt_has(&o, "all"));
	assert_int_equal(opt_duration_ms(&o, "timeout", 0), 2000);
	assert_false(o.has_rest);
	opt_fini(&o);
}

static void test_prefixes(void **state)
{
	(void)state;
	struct opts o = OPTS_INIT;
	struct err err = ERR_INIT;
	assert_true(PARSE(&o, &err, "--inst", "x", "--out=json", "--time", "--timeo=5m") > 0);
	assert_string_equal(opt_text(&o, "instance"), "x");
	assert_true(opt_is(&o, "output", "json"));
	assert_true(opt_has(&o, "time"));
	assert_null(opt_text(&o, "time"));
	assert_int_equal(opt_duration_ms(&o, "timeout", 0), 300000);
	assert_int_equal(PARSE(&o, &err, "--tim"), -1);
	assert_non_null(strstr(err.msg, "ambiguous"));
	opt_fini(&o);
}

/* Two spellings of one option are not ambiguous. */
static void test_alias(void **state)
{
	(void)state;
	struct opts o = OPTS_INIT;
	struct err err = ERR_INIT;
	assert_true(PARSE(&o, &err, "--wid", "1", "-W", "2", "--width=3") > 0);
	assert_int_equal(opt_count(&o, "wide"), 3);
	assert_string_equal(opt_text(&o, "wide"), "3");
	opt_fini(&o);
}

static void test_rest(void **state)
{
	(void)state;
	struct opts o = OPTS_INIT;
	struct err err = ERR_INIT;
	assert_int_equal(PARSE(&o, &err, "T", "--", "-x", "--all", "--"), 5);
	assert_true(o.has_rest);
	assert_int_equal(o.rest_count, 3);
	assert_string_equal(o.rest[1], "--all");
	assert_false(opt_has(&o, "all"));
	assert_int_equal(o.arg_count, 1);
	opt_fini(&o);
}

static void test_values_are_checked(void **state)
{
	(void)state;
	struct opts o = OPTS_INIT;
	struct err err = ERR_INIT;
	assert_int_equal(PARSE(&o, &err, "--timeout=soon"), -1);
	assert_non_null(strstr(err.msg, "--timeout"));
	assert_int_equal(PARSE(&o, &err, "-oyaml"), -1);
	assert_non_null(strstr(err.msg, "table|json"));
	assert_int_equal(PARSE(&o, &err, "-ojs"), -1); /* choices are whole words */
	assert_int_equal(PARSE(&o, &err, "--set-env", "=x"), -1);
	assert_int_equal(PARSE(&o, &err, "--set-env", "x"), -1);
	assert_int_equal(PARSE(&o, &err, "--all=yes"), -1);
	assert_int_equal(PARSE(&o, &err, "-i"), -1);
	assert_non_null(strstr(err.msg, "--instance wants"));
	assert_int_equal(PARSE(&o, &err, "-z"), -1);
	assert_int_equal(PARSE(&o, &err, "--boot", "-1x"), -1);
	assert_int_equal(PARSE(&o, &err, "--time=then"), -1);
	assert_true(PARSE(&o, &err, "--boot", "-1", "--time=boot", "-") > 0);
	assert_int_equal(opt_integer(&o, "boot", 5), -1);
	assert_true(opt_is(&o, "time", "boot"));
	assert_string_equal(o.args[0], "-");
	opt_fini(&o);
}

static void test_did_you_mean(void **state)
{
	(void)state;
	struct opts o = OPTS_INIT;
	struct err err = ERR_INIT;
	assert_int_equal(PARSE(&o, &err, "--timeuot=5s"), -1);
	assert_string_equal(err.msg, "unknown option --timeuot: did you mean --timeout?");
	opt_fini(&o);
}

static void test_stops_at_the_command(void **state)
{
	(void)state;
	struct opts o = OPTS_INIT;
	struct err err = ERR_INIT;
	char *argv[] = { "-i", "x", "-q", "stop", "--all" };
	assert_int_equal(opt_parse(&o, tables, 5, argv, true, &err), 3);
	opt_fini(&o);
}

/* ---------------------------------------------------------------- the table */

static void test_commands_are_found(void **state)
{
	(void)state;
	int words = 0;
	assert_string_equal(commands_find(2, (char *[]){ "run", "x" }, &words)->name, "run");
	assert_int_equal(words, 1);
	assert_string_equal(commands_find(2, (char *[]){ "daemon", "info" }, &words)->name, "daemon info");
	assert_int_equal(words, 2);
	assert_null(commands_find(1, (char *[]){ "daemon" }, &words));
	assert_null(commands_find(2, (char *[]){ "daemo", "info" }, &words));
	assert_true(commands_is_group("daemon"));
	assert_false(commands_is_group("run"));
}

static void check_letters(const struct command *command)
{
	bool seen[256] = { false };
	const struct opt_spec *both[] = { global_options, command->options };
	for (size_t t = 0; t < 2; t++) {
		for (const struct opt_spec *spec = both[t]; spec != NULL && spec->name != NULL; spec++) {
			if (spec->letter != '\0' && seen[(unsigned char)spec->letter])
				fail_msg("%s: -%c has two meanings", command->name, spec->letter);
			seen[(unsigned char)spec->letter] = true;
			assert_non_null(spec->help);
			if (spec->type != OPT_FLAG && spec->arg == NULL)
				fail_msg("%s: --%s has no name for its argument", command->name, spec->name);
		}
	}
}

static void test_table_is_sound(void **state)
{
	(void)state;
	for (const struct command *c = commands; c->name != NULL; c++) {
		assert_non_null(c->summary);
		assert_non_null(c->arguments);
		assert_non_null(c->run);
		assert_true(c->min_args <= c->max_args);
		check_letters(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_alias),
		cmocka_unit_test(test_rest),
		cmocka_unit_test(test_values_are_checked),
		cmocka_unit_test(test_did_you_mean),
		cmocka_unit_test(test_stops_at_the_command),
		cmocka_unit_test(test_commands_are_found),
		cmocka_unit_test(test_table_is_sound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
