/* SPDX-License-Identifier: Apache-2.0 */
/* A pw_emu configuration becomes a target: defaults, precedence of types, substitution, what is ignored and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "config/project.h"
#include "config/subst.h"
#include "test_config_file.h"

static char unknown[2000];

static void on_unknown(void *ctx, const struct err *what)
{
	(void)ctx;
	size_t used = strlen(unknown);
	snprintf(unknown + used, sizeof(unknown) - used, "%s\n", what->msg);
}

static const struct project_ops ops = { .on_warning = on_unknown };

static Pwemu__V1__Target *load(const char *json, const char *name, struct err *err)
{
	Pwemu__V1__Target *target = NULL;
	struct project *project = NULL;
	unknown[0] = '\0';
	file_put(json);
	if (project_open(file_path, true, &ops, &project, err) < 0)
		return NULL;
	(void)!project_target(project, name, NULL, NULL, &target, err);
	project_free(project);
	return target;
}

static Pwemu__V1__Target *must_load(const char *json, const char *name)
{
	struct err err = ERR_INIT;
	Pwemu__V1__Target *target = load(json, name, &err);
	if (target == NULL)
		fail_msg("%s", err_is_set(&err) ? err.msg : "not there");
	return target;
}

static void release(Pwemu__V1__Target *target)
{
	pwemu__v1__target__free_unpacked(target, NULL);
}

#define CONFIG(body) "{\"pw\": {\"pw_emu\": {\n" body "}}}"

static void test_defaults(void **state)
{
	(void)state;
	setenv("PWEMU_TEST_VALUE", "v", 1);
	Pwemu__V1__Target *target = must_load(
		CONFIG("\"gdb\": [\"g\", \"-q\"], \"qemu\": {\"executable\": \"qemu-x\", \"args\": [\"-a\", "
		       "\"$pw_env{PWEMU_TEST_VALUE}\"]},"
		       "\"targets\": {\"t\": {\"ignore1\": null, \"restart\": \"always\", \"hang\": {\"answer\": \"1s\"}, \"log\": "
		       "{\"limit\": \"1M\"},"
		       "\"qemu\": {\"machine\": \"m\", \"args\": [\"-b\", \"x=$pw_env{PWEMU_TEST_VALUE},$pw_env{PWEMU_TEST_VALUE}y\"]}}}"),
		"t");
	assert_string_equal(target->name, "t");
	assert_string_equal(target->emulator, "qemu");
	assert_string_equal(target->qemu->executable, "qemu-x");
	assert_string_equal(target->qemu->machine, "m");
	assert_int_equal(target->qemu->n_args, 4);
	static const char *const args[] = { "-a", "v", "-b", "x=v,vy" };
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(target->qemu->args[i], args[i]);
	assert_int_equal(target->n_gdb, 2);
	assert_string_equal(target->gdb[1], "-q");
	assert_int_equal(target->restart->mode, PWEMU__V1__RESTART_MODE__RESTART_MODE_ALWAYS);
	assert_int_equal(target->hang->answer_ms, 1000);
	assert_int_equal(target->log->limit_bytes, 1 << 20);
	assert_string_equal(unknown, ""); /* null is as good as absent */
	release(target);
}

static void test_target_wins(void **state)
{
	(void)state;
	Pwemu__V1__Target *target =
		must_load(CONFIG("\"gdb\": [\"g\"], \"qemu\": {\"executable\": \"e\"},"
				 "\"targets\": {\"t\": {\"gdb\": [\"mine\"], \"qemu\": {\"executable\": \"own\", \"machine\": \"m\"}}}"),
			  "t");
	assert_string_equal(target->qemu->executable, "own");
	assert_int_equal(target->n_gdb, 1);
	assert_string_equal(target->gdb[0], "mine");
	release(target);
}

/* Types of the channels a, b, c, d with what the emulator and the target say. */
static void assert_types(const char *emulator, const char *of_target, const char *a, const char *b)
{
	char json[1000];
	snprintf(json, sizeof(json),
		 CONFIG("\"qemu\": {\"executable\": \"e\", \"channels\": {%s}}, \"targets\": {\"t\": {\"qemu\": {\"machine\": \"m\", "
			"\"channels\": "
			"{%s\"chardevs\": {\"a\": {\"id\": \"serial0\", \"type\": \"pty\"}, \"b\": {\"id\": \"serial1\"}}}}}}"),
		 emulator, of_target);
	Pwemu__V1__Target *target = must_load(json, "t");
	assert_int_equal(target->n_channels, 2);
	assert_string_equal(target->channels[0]->name, "a");
	assert_string_equal(target->channels[0]->type, a);
	assert_string_equal(target->channels[1]->type, b);
	release(target);
}

static void test_precedence_of_types(void **state)
{
	(void)state;
	assert_types("", "", "pty", "tcp");
	assert_types("\"type\": \"none\"", "", "pty", "none");
	assert_types("\"type\": \"none\", \"b\": {\"type\": \"pty\"}", "", "pty", "pty");
	assert_types("\"type\": \"none\", \"b\": {\"type\": \"pty\"}", "\"type\": \"tcp\", ", "pty", "tcp");
	assert_types("\"a\": {\"type\": \"none\"}", "", "pty", "tcp");
}

static void test_not_there(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	assert_null(load(CONFIG("\"targets\": {\"tt\": 5}"), "t", &err)); /* other targets are not looked at */
	assert_string_equal(err.reason, "invalid-target");
	assert_non_null(strstr(err.msg, "x.json: targets: t: not found (did you mean \"tt\"?)"));
	assert_null(load(CONFIG(""), "t", &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void test_unknown_keys_are_told(void **state)
{
	(void)state;
	Pwemu__V1__Target *target =
		must_load(CONFIG("\"emulators\": {\"fvp\": {}, \"qemu\": {}}, \"gbd\": 1,\n\"qemu\": {\"executable\": \"e\", \"argz\": []},"
				 "\"targets\": {\"t\": {\n\"post-start-cmd\": {}, \"qemu\": {\"machine\": \"m\", \"new\": 1}}}"),
			  "t");
	release(target);
	static const char *const told[] = {
		":2: pw.pw_emu.emulators.fvp: its Python classes cannot be used, and the daemon has no driver \"fvp\"",
		":2: pw.pw_emu.emulators.qemu: its Python classes are not used, but the daemon's driver \"qemu\"",
		":2: pw.pw_emu.gbd: unknown key (did you mean \"gdb\"",
		":3: pw.pw_emu.qemu.argz: unknown key (did you mean \"args\"",
		":4: pw.pw_emu.targets.t.post-start-cmd: unknown key (did you mean \"post-start-cmds\"",
		":4: pw.pw_emu.targets.t.qemu.new: unknown key"
	};
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		if (strstr(unknown, told[i]) == NULL)
			fail_msg("no \"%s\" in: %s", told[i], unknown);
}

#define ONE(body) CONFIG("\"targets\": {\"t\": {\n" body "}}")

static void test_mistakes(void **state)
{
	(void)state;
	unsetenv("PWEMU_TEST_UNSET");
	static const struct {
		const char *json, *want;
	} rows[] = {
		{ "{}", " missing `pw_emu` configuration" },
		{ "{\"pw\": {}}", " missing `pw_emu` configuration" },
		{ "{\"pw\": {\"pw_emu\": null}}", " missing `pw_emu` configuration" },
		{ "{\"pw\": []}", " missing `pw_emu` configuration" },
		{ CONFIG("\"targets\": []"), "2: pw.pw_emu.targets: must be an object" },
		{ ONE(""), "2: pw.pw_emu.targets.t: could not determine emulator: it has neither" },
		{ ONE("\"qemu\": {\"executable\": \"e\"}"), "2: pw.pw_emu.targets.t: qemu: \"machine\" is missing" },
		{ ONE("\"qemu\": {\"machine\": \"m\"}"), "2: pw.pw_emu.targets.t: qemu: \"executable\" is missing" },
		{ ONE("\"qemu\": {\"executable\": \"$pw_env{PWEMU_TEST_UNSET}\"}"),
		  "3: pw.pw_emu.targets.t.qemu.executable: environment variable PWEMU_TEST_UNSET is not set" },
		{ ONE("\"qemu\": {\n\"machine\": \"$pw_emu_wdir{x}\"}"),
		  "4: pw.pw_emu.targets.t.qemu.machine: $pw_emu_wdir{} can stand in arguments of the emulator and in" },
		{ ONE("\"qemu\": {\"args\": [\n\"$pw_emu_wdri{x}\"]}"),
		  "4: pw.pw_emu.targets.t.qemu.args[0]: $pw_emu_wdri{} is no expression (did you mean \"$pw_emu_wdir\"?)" },
		{ ONE("\"qemu\": {\"executable\": \"e\", \"machine\": \"m\", \"channels\": {\"chardevs\": {\"c\": {\"id\": "
		      "\"serial16\"}}}}"),
		  "2: pw.pw_emu.targets.t: channel \"c\": id \"serial16\" must be serial0 to serial15 for a serial port" },
		{ ONE("\"qemu\": {\"executable\": \"e\", \"machine\": \"m\", \"channels\": {\"chardevs\": {\"c\": {\"id\": \"serial0\", "
		      "\"type\": "
		      "\"tpc\"}}}}"),
		  "3: pw.pw_emu.targets.t.qemu.channels.chardevs.c.type: 'tpc' is not one of tcp, pty, none (did you mean \"tcp\"" },
		{ ONE("\"qemu\": {\"executable\": \"e\", \"machine\": \"m\", \"channels\": {\"chardevs\": {\"c\": {}}}}"),
		  "3: pw.pw_emu.targets.t.qemu.channels.chardevs.c: \"id\" is missing" },
		{ ONE("\"restart\": \"alway\", \"qemu\": {}"),
		  "3: pw.pw_emu.targets.t.restart: 'alway' is not one of no, on-failure, always" },
		{ ONE("\"hang\": {\"silence\": \"1s\", \"channel\": \"x\"}, \"qemu\": {\"executable\": \"e\", \"machine\": \"m\"}"),
		  "2: pw.pw_emu.targets.t: hang: channel: the target has no channel \"x\"" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = ERR_INIT;
		if (load(rows[i].json, "t", &err) != NULL)
			fail_msg("taken: %s", rows[i].json);
		assert_names_file(err.msg, rows[i].want);
	}
}

static int on_expression(void *ctx, enum subst_kind kind, const char *argument, struct err *err)
{
	(void)ctx;
	return kind == SUBST_WDIR && strcmp(argument, "bad") == 0 ? err_set(err, ERR_INVALID_ARGUMENT, "bad") : 0;
}

static void test_subst(void **state)
{
	(void)state;
	setenv("PWEMU_TEST_VALUE", "v$pw_env{X}", 1); /* what was put in is not looked at again */
	static const struct {
		const char *text, *want; /* NULL: an error */
	} rows[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "$", "$" },
		{ "$HOME $$ ${x} $pw", "$HOME $$ ${x} $pw" },
		{ "$pw_env{PWEMU_TEST_VALUE}", "v$pw_env{X}" },
		{ "a$pw_env{PWEMU_TEST_VALUE}b$", "av$pw_env{X}b$" },
		{ "$$pw_env{PWEMU_TEST_VALUE}", "$v$pw_env{X}" },
		{ "$pw_env{open", "$pw_env{open" },
		{ "$pw_env{}", NULL },
		{ "$pw_env{PWEMU_TEST_UNSET}", NULL },
		{ "$pw_other{x}", NULL },
		{ "$pw_emu_wdir{bad}", NULL },
		{ "x=$pw_emu_wdir{a},$pw_emu_channel_port{b}", "x=$pw_emu_wdir{a},$pw_emu_channel_port{b}" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = ERR_INIT;
		char *made = subst_env(rows[i].text, on_expression, NULL, &err);
		if (rows[i].want == NULL) {
			assert_null(made);
			assert_true(err_is_set(&err));
		} else {
			assert_non_null(made);
			assert_string_equal(made, rows[i].want);
		}
		free(made);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_defaults, file_setup, file_teardown),
		cmocka_unit_test_setup_teardown(test_target_wins, file_setup, file_teardown),
		cmocka_unit_test_setup_teardown(test_precedence_of_types, file_setup, file_teardown),
		cmocka_unit_test_setup_teardown(test_not_there, file_setup, file_teardown),
		cmocka_unit_test_setup_teardown(test_unknown_keys_are_told, file_setup, file_teardown),
		cmocka_unit_test_setup_teardown(test_mistakes, file_setup, file_teardown),
		cmocka_unit_test(test_subst),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
