/* SPDX-License-Identifier: Apache-2.0 */
/* JSON files with lines and paths, target sets, targets over the wire, and that every preset loads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/json.h"
#include "config/target.h"
#include "wire/mem.h"

/* ---------------------------------------------------------------- a directory of files */

static char dir[64];
static struct target_set *set;

static char *path_of(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

static void put_file(const char *name, const char *text)
{
	char *path = path_of(name);
	FILE *to = fopen(path, "w");

	assert_non_null(to);
	fputs(text, to);
	fclose(to);
	free(path);
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/pwemu-target-XXXXXX");
	set = target_set_new();
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[100];

	(void)state;
	target_set_free(set);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static void load(void)
{
	struct err err = ERR_INIT;

	assert_int_equal(target_set_load(set, dir, &err), 0);
}

/* The only file there must be refused with an error that has this text. */
static void assert_refused(const char *json, const char *text)
{
	target_set_free(set);
	set = target_set_new();
	put_file("x.json", json);
	load();
	assert_int_equal(target_set_count(set), 0);
	assert_int_equal(target_set_error_count(set), 1);
	if (!strstr(target_set_error(set, 0), text))
		fail_msg("no \"%s\" in: %s", text, target_set_error(set, 0));
}

#define QEMU      "\"qemu\": {\"executable\": \"e\", \"machine\": \"m\"}"
#define ONE(body) "{\"targets\": {\"a\": {\n" body "}}}"

/* ---------------------------------------------------------------- JSON */

static void assert_json_error(const char *text, const char *want)
{
	struct json_file file;
	struct err err = ERR_INIT;

	assert_int_equal(json_parse("f", text, strlen(text), &file, &err), -1);
	if (strncmp(err.msg, want, strlen(want)) != 0)
		fail_msg("\"%s\" gives: %s", text, err.msg);
}

static void append(char *buf, size_t size, const char *text)
{
	size_t len = strlen(buf);

	snprintf(buf + len, size - len, "%s", text);
}

static void test_json_syntax(void **state)
{
	char deep[200] = "";

	(void)state;
	assert_json_error("{\n\"a\": [1,\n}\n", "f:3: not JSON");
	assert_json_error("{\"a\": 1}\nx", "f:2: not JSON");
	assert_json_error("{\"a\": 1} {}", "f:1: not JSON");
	assert_json_error("{\"a\":\n 1", "f:2: not JSON: the file ends");
	assert_json_error("", "f:1: not JSON: the file ends");
	assert_json_error("[1]", "f:1: must be an object");
	assert_json_error("{'a': 1}", "f:1: not JSON");
	assert_json_error("{\"a\": 'x'}", "f:1: not JSON");
	assert_json_error("{\"a\": 1,}", "f:1: not JSON");
	assert_json_error("{\"a\": [1,]}", "f:1: not JSON");
	assert_json_error("{\"a\": TRUE}", "f:1: not JSON");
	assert_json_error("{\"a\": NaN}", "f:1: a: must be a number");
	assert_json_error("{\"a\": [-Infinity]}", "f:1: a[0]: must be a number");
	assert_json_error("{\"a\": +1}", "f:1: not JSON");
	assert_json_error("{\"a\": 1 /* no */}", "f:1: not JSON");
	assert_json_error("{\"a\": \"\xff\"}", "f:1: not JSON");
	append(deep, sizeof(deep), "{\"a\":");
	for (int i = 0; i < JSON_MAX_DEPTH; i++)
		append(deep, sizeof(deep), "[");
	assert_json_error(deep, "f:1: not JSON: nested too deeply");
}

static void test_json_nul_and_size(void **state)
{
	struct json_file file;
	struct err err = ERR_INIT;
	char *big = xmalloc(JSON_MAX_BYTES + 1);

	(void)state;
	assert_int_equal(json_parse("f", "{\n\0}", 4, &file, &err), -1);
	assert_string_equal(err.msg, "f:2: no text file (zero byte)");
	memset(big, ' ', JSON_MAX_BYTES + 1);
	assert_int_equal(json_parse("f", big, JSON_MAX_BYTES + 1, &file, &err), -1);
	assert_string_equal(err.msg, "f: larger than 4 MiB");
	free(big);
}

static void test_json_duplicates(void **state)
{
	(void)state;
	assert_json_error("{\"a\": 1,\n\"a\": 2}", "f:2: key \"a\" is there twice");
	assert_json_error("{\"a\": 1, \"b\": 2,\n\"a\": 3, \"c\": 4}", "f:2: key \"a\" is there twice");
	assert_json_error("{\"o\": {\"x\": [{\"k\": 1,\n\n\"\\u006b\": 2}]}}", "f:3: o.x[0]: key \"\\u006b\" is there twice");
}

static void test_json_lines_and_paths(void **state)
{
	static const char text[] = "{ \"\\u0061\\\"}\": [true, {\"x\": \"]},\\\\\"},\n  1.5, null,\n -3, [ ], { }, \"s\"] }\n\n";
	struct json_file file;
	struct err err = ERR_INIT;
	struct json_at list, at, root;

	(void)state;
	assert_int_equal(json_parse("f", text, strlen(text), &file, &err), 0);
	root = json_root(&file);
	assert_true(json_member(&root, "a\"}", &list));
	assert_int_equal(json_count(&list), 8);
	at = json_element(&list, 7);
	json_fail(&at, &err, "wrong %d", 5);
	assert_string_equal(err.msg, "f:3: a\"}[7]: wrong 5");
	at = json_element(&list, 3); /* null has no line of its own */
	json_fail(&at, &err, "wrong");
	assert_string_equal(err.msg, "f:1: a\"}[3]: wrong");
	json_fini(&file);
}

static void test_json_size_values(void **state)
{
	static const char text[] = "{\"v\": [\"0x08000000\", \"64K\", \"1M\", \"2G\", 7, \"\", \"-1\", \"K\", \"1KB\", \"0x\", 1.5, -1, "
				   "\"99999999999999999999\", \"17179869184G\", \" 1\"]}";
	static const uint64_t good[] = { 0x08000000, 65536, 1 << 20, 2ull << 30, 7 };
	struct json_file file;
	struct err err = ERR_INIT;
	struct json_at list, root;

	(void)state;
	assert_int_equal(json_parse("f", text, strlen(text), &file, &err), 0);
	root = json_root(&file);
	assert_true(json_member(&root, "v", &list));
	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at at = json_element(&list, i);
		uint64_t value = 99;
		int rc = json_get_size(&at, &value, &err);

		if (rc != (i < 5 ? 0 : -1))
			fail_msg("element %zu: %d", i, rc);
		assert_int_equal(value, i < 5 ? good[i] : 99);
	}
	json_fini(&file);
}

/* ---------------------------------------------------------------- sets */

static void test_load_find(void **state)
{
	struct err err = ERR_INIT;
	const Pwemu__V1__Target *target;

	(void)state;
	put_file("b.json",
		 "{\"targets\": {\"zz\": {" QEMU "}, \"mm\": {\"description\": \"d\", \"cpu\": \"cortex-m3\","
		 "\"memory\": [{\"name\": \"flash\", \"base\": \"0x08000000\", \"size\": \"1M\", \"boot\": true}],"
		 "\"gdb\": [\"g\", \"-q\"], \"eol\": \"lf\", \"qemu\": {\"executable\": \"e\", \"machine\": \"m\", \"args\": [\"-x\"],"
		 "\"load\": \"bios\", \"channels\": {\"chardevs\": {\"log\": {\"id\": \"serial1\"}, \"con\": {\"id\": \"serial0\"}}}}}}}");
	put_file("a.json", ONE(QEMU));
	put_file(".hidden.json", "not read");
	put_file("notes.txt", "not read");
	load();
	assert_int_equal(target_set_error_count(set), 0);
	assert_int_equal(target_set_count(set), 3);
	assert_string_equal(target_set_at(set, 0)->name, "a");
	assert_string_equal(target_set_at(set, 1)->name, "mm");
	assert_string_equal(target_set_at(set, 2)->name, "zz");
	assert_null(target_set_at(set, 3));
	assert_null(target_set_find(set, "m"));
	target = target_set_find(set, "mm");
	assert_non_null(target);
	assert_int_equal(target->memory[0]->address, 0x08000000);
	assert_int_equal(target->memory[0]->size, 1 << 20);
	assert_true(target->memory[0]->boot);
	assert_string_equal(target->channels[0]->name, "log"); /* the order of the file */
	assert_string_equal(target->channels[1]->id, "serial0");
	assert_string_equal(target->qemu->args[0], "-x");
	assert_string_equal(target->gdb[1], "-q");
	assert_string_equal(target->emulator, "qemu");
	assert_int_equal(target_set_load(set, "/nonexistent", &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void test_bad_files_stop_nothing(void **state)
{
	(void)state;
	put_file("a.json", "{");
	put_file("b.json", ONE(QEMU));
	put_file("c.json", ONE(QEMU));
	put_file("d.json", "{\"targets\": {\"good\": {" QEMU "}, \"bad\": {}}}");
	load();
	assert_int_equal(target_set_count(set), 1);
	assert_int_equal(target_set_error_count(set), 3);
	assert_non_null(strstr(target_set_error(set, 0), "a.json:1: not JSON"));
	assert_non_null(strstr(target_set_error(set, 1), "target \"a\" is in "));
	assert_non_null(strstr(target_set_error(set, 2), "targets.bad: \"qemu\" or \"renode\" is missing"));
}

static void test_file_errors(void **state)
{
	(void)state;
	assert_refused("{}", "x.json:1: \"targets\" is missing");
	assert_refused("{\"target\": {}}", "unknown key (did you mean \"targets\"?)");
	assert_refused(ONE("\"discription\": \"\", " QEMU), "x.json:2: targets.a.discription: unknown key (did you mean \"description\"?)");
	assert_refused(ONE("\"qemu\": {\"machin\": 1}"), "targets.a.qemu.machin: unknown key (did you mean \"machine\"?)");
	assert_refused(ONE("\"qemu\": []"), "targets.a.qemu: must be an object");
	assert_refused(ONE("\"qemu\": {\"executable\": 1}"), "targets.a.qemu.executable: must be a string");
	assert_refused(ONE("\"qemu\": {\"executable\": \"e\"}"), "targets.a: qemu: \"machine\" is missing");
	assert_refused(ONE("\"qemu\": {\"args\": [\"a\",\n\n 5]}"), "x.json:4: targets.a.qemu.args[1]: must be a string");
	assert_refused(ONE("\"memory\": [{\"name\": \"x\", \"base\": 0}], " QEMU), "targets.a.memory[0]: \"size\" is missing");
	assert_refused(ONE("\"memory\": [{\"name\": \"x\", \"base\": \"8M\", \"size\": \"big\"}], " QEMU),
		       "targets.a.memory[0].size: must be a number");
	assert_refused(ONE("\"memory\": [{\"boot\": 1, \"base\": 0, \"size\": 1}], " QEMU), "memory[0].boot: must be true or false");
	assert_refused(ONE("\"qemu\": {\"channels\": {\"chardevs\": {\"s\": {}}}}"), "chardevs.s: \"id\" is missing");
	assert_refused(ONE("\"qemu\": {\"executable\": \"e\", \"machine\": \"m\", \"load\": \"kernl\"}"), "(did you mean \"kernel\"?)");
	assert_refused("{\"targets\": {\"../x\": {" QEMU "}}}", "target name \"../x\" must be of letters");
}

static void test_not_found(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	put_file("b.json", "{\"targets\": {\"qemu-abc\": {" QEMU "}}}");
	load();
	assert_int_equal(target_not_found(set, "qemu-acb", &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_string_equal(err.reason, "invalid-target");
	assert_string_equal(err.msg, "no target \"qemu-acb\" (did you mean \"qemu-abc\"?); `pwemu targets` lists all");
}

/* ---------------------------------------------------------------- over the wire */

static Pwemu__V1__Target *fresh_target(void)
{
	static Pwemu__V1__Target target;
	static Pwemu__V1__QemuTarget qemu;
	static Pwemu__V1__Memory memory[65];
	static Pwemu__V1__Memory *memories[65];
	static Pwemu__V1__ChannelSpec channel[33];
	static Pwemu__V1__ChannelSpec *channels[33];

	pwemu__v1__target__init(&target);
	pwemu__v1__qemu_target__init(&qemu);
	qemu.executable = "e";
	qemu.machine = "m";
	for (size_t i = 0; i < 65; i++) {
		pwemu__v1__memory__init(&memory[i]);
		memory[i].size = 1;
		memories[i] = &memory[i];
	}
	for (size_t i = 0; i < 33; i++) {
		pwemu__v1__channel_spec__init(&channel[i]);
		channels[i] = &channel[i];
	}
	channel[0].name = "serial0";
	channel[0].id = "serial0";
	channel[1].name = "b";
	channel[1].id = "serial1";
	target.name = "t";
	target.emulator = "qemu";
	target.qemu = &qemu;
	target.memory = memories;
	target.n_memory = 1;
	target.channels = channels;
	target.n_channels = 2;
	return &target;
}

static void assert_invalid(const Pwemu__V1__Target *target, const char *text)
{
	struct err err = ERR_INIT;

	assert_int_equal(target_validate(target, &err), -1);
	assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
	assert_string_equal(err.reason, "invalid-target");
	if (!strstr(err.msg, text))
		fail_msg("no \"%s\" in: %s", text, err.msg);
}

static void test_validate_names(void **state)
{
	static const char *const bad[] = { "", "a/b", "..", "-x", "a b", "a\n", "\xc3\xa4" };
	struct err err = ERR_INIT;
	char longest[70];
	Pwemu__V1__Target *target = fresh_target();

	(void)state;
	assert_int_equal(target_validate(target, &err), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		target->name = (char *)bad[i];
		assert_invalid(target, "target name");
	}
	memset(longest, 'a', 65);
	longest[65] = '\0';
	target->name = longest;
	assert_invalid(target, "longer than 64");
	longest[64] = '\0';
	assert_int_equal(target_validate(target, &err), 0);
}

static void test_validate_channels(void **state)
{
	static const char *const bad_ids[] = { "serial16", "serial99", "serial007", "serial01", "serial4294967296" };
	struct err err = ERR_INIT;
	Pwemu__V1__Target *target = fresh_target();

	(void)state;
	for (size_t i = 0; i < sizeof(bad_ids) / sizeof(bad_ids[0]); i++) {
		target->channels[1]->id = (char *)bad_ids[i];
		assert_invalid(target, "must be serial0 to serial15");
	}
	target->channels[1]->id = "serial15";
	assert_int_equal(target_validate(target, &err), 0);
	target->channels[1]->id = "serial0";
	assert_invalid(target, "have the same id");
	target->channels[1]->name = "serial0";
	assert_invalid(target, "two channels are named");
	target->channels[1]->name = "gdb";
	assert_invalid(target, "reserved");
	target->channels[1]->name = "a,b";
	assert_invalid(target, "channel name \"a,b\"");
	target = fresh_target();
	target->n_channels = 33;
	assert_invalid(target, "more than 32 channels");
}

static void test_validate_rest(void **state)
{
	Pwemu__V1__Target *target = fresh_target();
	char *args[257];

	(void)state;
	target->memory[0]->size = 0;
	assert_invalid(target, "has no size");
	target->memory[0]->size = 2;
	target->memory[0]->address = UINT64_MAX;
	assert_invalid(target, "beyond the last address");
	target = fresh_target();
	target->n_memory = 65;
	assert_invalid(target, "more than 64 memory");
	target = fresh_target();
	target->architecture = "armv8";
	assert_invalid(target, "architecture \"armv8\" is unknown (did you mean \"arm\"");
	target = fresh_target();
	target->description = "a\x1b[0m";
	assert_invalid(target, "control character");
	target = fresh_target();
	target->emulator = "rneode";
	assert_invalid(target, "emulator \"rneode\" is unknown");
	target = fresh_target();
	target->qemu->machine = "";
	assert_invalid(target, "\"machine\" is missing");
	target = fresh_target();
	for (size_t i = 0; i < 257; i++)
		args[i] = "x";
	target->qemu->args = args;
	target->qemu->n_args = 257;
	assert_invalid(target, "qemu: args: more than 256");
	target = fresh_target();
	target->qemu = NULL;
	assert_invalid(target, "\"qemu\" is missing");
}

/* ---------------------------------------------------------------- the presets */

static void test_presets(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(target_set_load(set, "config/targets", &err), 0);
	for (size_t i = 0; i < target_set_error_count(set); i++)
		fail_msg("%s", target_set_error(set, i));
	assert_in_range(target_set_count(set), 28 + 12, 1000);
	for (size_t i = 0; i < target_set_count(set); i++) {
		const Pwemu__V1__Target *target = target_set_at(set, i);
		size_t boots = 0;

		for (size_t j = 0; j < target->n_memory; j++)
			boots += target->memory[j]->boot;
		assert_int_equal(boots, 1);
		assert_true(target->architecture[0] && target->cpu[0] && target->uart[0] && target->description[0] && target->n_gdb);
		assert_string_equal(target->channels[0]->name, "serial0");
		assert_non_null(strstr(target->source, target->name));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_syntax),
		cmocka_unit_test(test_json_nul_and_size),
		cmocka_unit_test(test_json_duplicates),
		cmocka_unit_test(test_json_lines_and_paths),
		cmocka_unit_test(test_json_size_values),
		cmocka_unit_test_setup_teardown(test_load_find, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_files_stop_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_found, setup, teardown),
		cmocka_unit_test(test_validate_names),
		cmocka_unit_test(test_validate_channels),
		cmocka_unit_test(test_validate_rest),
		cmocka_unit_test_setup_teardown(test_presets, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
