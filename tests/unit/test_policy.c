/* SPDX-License-Identifier: Apache-2.0 */
/* Restart, hang and log policies: from texts and JSON, checked, and back to text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/field.h"
#include "config/policy.h"
#include "config/value.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void assert_has(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("no \"%s\" in: %s", part, text);
}

/* ---------------------------------------------------------------- values */

static void test_values_and_back(void **state)
{
	(void)state;
	static const struct {
		uint64_t value;
		const char *duration, *size;
	} rows[] = { { 0, "0s", "0" },           { 1, "1ms", "1" },
		     { 1000, "1s", "1000" },     { 1024, "1024ms", "1K" },
		     { 1500, "1500ms", "1500" }, { 60000, "1m", "60000" },
		     { 90000, "90s", "90000" },  { 3600000, "1h", "3600000" },
		     { 604800000, "7d", NULL },  { 1 << 20, NULL, "1M" },
		     { 3 << 20, NULL, "3M" },    { UINT64_C(2) << 30, NULL, "2G" },
		     { 1025, "1025ms", "1025" }, { UINT64_C(5) << 40, NULL, "5120G" } };
	for (size_t i = 0; i < COUNT(rows); i++) {
		char buf[64];
		uint64_t back = 77;
		if (rows[i].duration != NULL) {
			assert_string_equal(value_duration_text(rows[i].value, buf, sizeof(buf)), rows[i].duration);
			assert_int_equal(value_duration(buf, &back, NULL), 0);
			assert_true(back == rows[i].value);
		}
		if (rows[i].size != NULL) {
			assert_string_equal(value_size_text(rows[i].value, buf, sizeof(buf)), rows[i].size);
			assert_int_equal(value_size(buf, &back, NULL), 0);
			assert_true(back == rows[i].value);
		}
	}
	uint64_t value;
	assert_int_equal(value_duration("50d", &value, NULL), -1);
	assert_int_equal(value_long_duration("50d", &value, NULL), 0);
	assert_true(value == UINT64_C(50) * 86400000);
	assert_int_equal(value_long_duration("999999999999999999d", &value, NULL), -1);
	assert_int_equal(value_factor("1.25", &value, NULL), 0);
	assert_int_equal(value, 125);
	static const char *const bad[] = { "", "x", "-1", "1.", "1,5", "2x", ".5" };
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(value_factor(bad[i], &value, NULL), -1);
}

/* ---------------------------------------------------------------- restart, as on the command line */

static void test_restart_text(void **state)
{
	(void)state;
	static const struct {
		const char *text, *back;
	} rows[] = {
		{ "no", "no" },
		{ "always", "always" },
		{ "on-failure,delay=100ms,factor=2,max-delay=30s,jitter=20%,deaths=5,within=10m,stable=10s", "on-failure" },
		{ "always,deaths=3,delay=0s", "always,delay=0s,deaths=3" },
		{ "always,jitter=0%,factor=1.5", "always,factor=1.5,jitter=0%" },
		{ "always,delay=1m", "always,delay=1m,max-delay=1m" }, /* the default limit does not shorten what was asked for */
		{ "always,within=1h,stable=500ms,max-delay=2s", "always,max-delay=2s,within=1h,stable=500ms" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		Pwemu__V1__RestartPolicy policy, again;
		struct err err = ERR_INIT;
		char text[POLICY_TEXT_MAX], twice[POLICY_TEXT_MAX];
		if (policy_restart_parse(rows[i].text, &policy, &err) < 0)
			fail_msg("%s: %s", rows[i].text, err.msg);
		assert_int_equal(policy_restart_check(&policy, &err), 0);
		assert_string_equal(policy_restart_text(&policy, text, sizeof(text)), rows[i].back);
		assert_int_equal(policy_restart_parse(text, &again, &err), 0);
		assert_string_equal(policy_restart_text(&again, twice, sizeof(twice)), text);
	}
}

static void test_restart_members(void **state)
{
	(void)state;
	Pwemu__V1__RestartPolicy p;
	assert_int_equal(
		policy_restart_parse("on-failure,delay=250ms,factor=1.5,max-delay=5s,jitter=7%,deaths=9,within=2m,stable=3s", &p, NULL), 0);
	assert_int_equal(p.mode, PWEMU__V1__RESTART_MODE__RESTART_MODE_ON_FAILURE);
	assert_int_equal(p.delay_case, PWEMU__V1__RESTART_POLICY__DELAY_DELAY_MS);
	assert_int_equal(p.delay_ms, 250);
	assert_int_equal(p.factor_percent, 150);
	assert_int_equal(p.max_delay_ms, 5000);
	assert_int_equal(p.jitter_case, PWEMU__V1__RESTART_POLICY__JITTER_JITTER_PERCENT);
	assert_int_equal(p.jitter_percent, 7);
	assert_int_equal(p.max_deaths, 9);
	assert_int_equal(p.window_ms, 120000);
	assert_int_equal(p.stable_ms, 3000);
	assert_int_equal(policy_restart_parse("no", &p, NULL), 0);
	assert_int_equal(p.delay_case, PWEMU__V1__RESTART_POLICY__DELAY__NOT_SET);
	assert_int_equal(p.jitter_case, PWEMU__V1__RESTART_POLICY__JITTER__NOT_SET);
	assert_int_equal(p.max_deaths, 0);
}

static void test_restart_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "", "'' is not one of no, on-failure, always" },
		{ "alway", "did you mean \"always\"?" },
		{ "delay=1s", "is not one of" },
		{ "always,", "unknown key ''" },
		{ "always,dealy=1s", "unknown key 'dealy' (did you mean \"delay\"" },
		{ "always,delay", "'delay' wants a value: delay=100ms" },
		{ "always,delay=5", "delay: '5' has no unit" },
		{ "always,delay=50d", "delay: 50d is out of range: 0s to " },
		{ "always,factor=0.5", "factor: 0.5 is out of range: 1 to 100" },
		{ "always,factor=x", "factor: 'x' is not a factor" },
		{ "always,jitter=101%", "jitter: 101% is out of range: 0% to 100%" },
		{ "always,jitter=20", "jitter: '20' is not a percentage" },
		{ "always,deaths=0", "deaths: 0 is out of range: 1 to 1000" },
		{ "always,stable=0s", "stable: 0s is out of range" },
		{ "always,delay=10s,max-delay=1s", "max-delay is less than delay" },
		{ "always,mode=x", "mode: 'x' is not one of" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		Pwemu__V1__RestartPolicy policy = { .max_deaths = 77 };
		struct err err = ERR_INIT;
		if (policy_restart_parse(rows[i].text, &policy, &err) == 0)
			fail_msg("'%s' was taken", rows[i].text);
		assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
		assert_has(err.msg, rows[i].want);
		assert_int_equal(policy.max_deaths, 77);
	}
}

/* ---------------------------------------------------------------- JSON */

struct place {
	struct json_file file;
	struct json_at root, at;
};

static struct json_at *parse(struct place *place, const char *json)
{
	struct err err = ERR_INIT;
	if (json_parse("f", json, strlen(json), &place->file, &err) < 0)
		fail_msg("%s", err.msg);
	place->root = json_root(&place->file);
	assert_true(json_member(&place->root, "x", &place->at));
	return &place->at;
}

static void assert_restart_json(const char *json, const char *want)
{
	struct place place;
	struct err err = ERR_INIT;
	char text[POLICY_TEXT_MAX];
	Pwemu__V1__RestartPolicy policy = PWEMU__V1__RESTART_POLICY__INIT;
	int rc = policy_restart_read(parse(&place, json), &policy, &err);
	if (rc < 0)
		assert_has(err.msg, want);
	else
		assert_string_equal(policy_restart_text(&policy, text, sizeof(text)), want);
	json_fini(&place.file);
}

static void test_restart_json(void **state)
{
	(void)state;
	assert_restart_json("{\"x\": \"on-failure,deaths=2\"}", "on-failure,deaths=2");
	assert_restart_json(
		"{\"x\": {\"mode\": \"always\", \"delay\": \"1s\", \"factor\": 1.5, \"jitter\": \"0%\", \"deaths\": 3, \"within\": \"1m\","
		"\"stable\": \"2s\", \"max-delay\": \"4s\"}}",
		"always,delay=1s,factor=1.5,max-delay=4s,jitter=0%,deaths=3,within=1m,stable=2s");
	assert_restart_json("{\"x\": {\"mode\": \"no\", \"delay\": null}}", "no");
	assert_restart_json("{\"x\":\n\"alway\"}", "f:2: x: 'alway' is not one of");
	assert_restart_json("{\"x\": {\n\"delay\": \"1s\"}}", "f:1: x: \"mode\" is missing");
	assert_restart_json("{\"x\": {\"mode\": \"no\",\n\"dely\": \"1s\"}}", "f:2: x.dely: unknown key 'dely' (did you mean \"delay\"");
	assert_restart_json("{\"x\": {\"mode\": \"no\",\n\"delay\": 5}}", "f:2: x.delay: '5' has no unit");
	assert_restart_json("{\"x\": {\"mode\": \"no\",\n\"delay\": []}}", "f:2: x.delay: must be a string or a number");
	assert_restart_json("{\"x\": 5}", "f:1: x: must be an object");
}

static void assert_hang_json(const char *json, const char *want)
{
	struct place place;
	struct err err = ERR_INIT;
	char text[POLICY_TEXT_MAX];
	Pwemu__V1__HangPolicy *policy = calloc(1, sizeof(*policy));
	pwemu__v1__hang_policy__init(policy);
	int rc = policy_hang_read(parse(&place, json), policy, &err);
	if (rc < 0)
		assert_has(err.msg, want);
	else
		assert_string_equal(policy_hang_text(policy, text, sizeof(text)), want);
	json_fini(&place.file);
	pwemu__v1__hang_policy__free_unpacked(policy, NULL);
}

static void test_hang_json(void **state)
{
	(void)state;
	assert_hang_json("{\"x\": {\"answer\": \"10s\", \"silence\": \"30s\", \"channel\": \"serial0\", \"action\": \"restart\"}}",
			 "answer=10s,silence=30s,channel=serial0,action=restart");
	assert_hang_json("{\"x\": {\"answer\": \"10s\", \"action\": \"event\"}}", "answer=10s");
	assert_hang_json("{\"x\": {}}", "f:1: x: says neither \"answer\" nor \"silence\"");
	assert_hang_json("{\"x\": {\"answer\": \"1s\", \"channel\": \"a\"}}", "says which \"channel\"");
	assert_hang_json("{\"x\": {\"answer\": \"1s\", \"action\": \"stopp\"}}",
			 "x.action: 'stopp' is not one of event, restart, stop (did you mean \"stop\"");
	assert_hang_json("{\"x\": {\"anser\": \"1s\"}}", "did you mean \"answer\"");
	assert_hang_json("{\"x\": {\"silence\": \"1s\", \"channel\": \"\"}}", "x.channel: must have 1 to 64 bytes");
	assert_hang_json("{\"x\": {\"answer\": \"1ms\"}}", "x.answer: 1ms is out of range");
}

static void test_log_json(void **state)
{
	(void)state;
	static const struct {
		const char *json, *want;
	} rows[] = {
		{ "{\"x\": {\"limit\": \"64M\", \"full\": \"drop-oldest\"}}", "limit=64M,full=drop-oldest" },
		{ "{\"x\": {\"limit\": 65536}}", "limit=64K" },
		{ "{\"x\": {\"limit\": 100}}", "f:1: x.limit: 100 is out of range: 4K to " },
		{ "{\"x\": {\"full\": \"drop\"}}", "x.full: 'drop' is not one of wait, drop-oldest" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct place place;
		struct err err = ERR_INIT;
		char text[POLICY_TEXT_MAX];
		Pwemu__V1__LogPolicy policy = PWEMU__V1__LOG_POLICY__INIT;
		int rc = policy_log_read(parse(&place, rows[i].json), &policy, &err);
		assert_has(rc < 0 ? err.msg : policy_log_text(&policy, text, sizeof(text)), rows[i].want);
		json_fini(&place.file);
	}
}

/* ---------------------------------------------------------------- from the wire */

static void test_checks(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	Pwemu__V1__RestartPolicy restart = PWEMU__V1__RESTART_POLICY__INIT;
	assert_int_equal(policy_restart_check(&restart, &err), -1);
	assert_has(err.msg, "restart: \"mode\" is missing");
	restart.mode = PWEMU__V1__RESTART_MODE__RESTART_MODE_ALWAYS;
	assert_int_equal(policy_restart_check(&restart, &err), 0);
	restart.factor_percent = 99;
	assert_int_equal(policy_restart_check(&restart, &err), -1);
	assert_has(err.msg, "restart: factor: 0.99 is out of range");
	restart.factor_percent = 0;
	restart.mode = (Pwemu__V1__RestartMode)9;
	assert_int_equal(policy_restart_check(&restart, &err), -1);
	assert_has(err.msg, "restart: mode: 9 means nothing");
	Pwemu__V1__HangPolicy hang = PWEMU__V1__HANG_POLICY__INIT;
	assert_int_equal(policy_hang_check(&hang, &err), -1);
	hang.answer_ms = 100;
	assert_int_equal(policy_hang_check(&hang, &err), 0);
	Pwemu__V1__LogPolicy log = PWEMU__V1__LOG_POLICY__INIT;
	assert_int_equal(policy_log_check(&log, &err), 0);
	log.limit_bytes = 1;
	assert_int_equal(policy_log_check(&log, &err), -1);
	assert_has(err.msg, "log: limit: 1 is out of range");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_and_back), cmocka_unit_test(test_restart_text), cmocka_unit_test(test_restart_members),
		cmocka_unit_test(test_restart_refused), cmocka_unit_test(test_restart_json), cmocka_unit_test(test_hang_json),
		cmocka_unit_test(test_log_json),        cmocka_unit_test(test_checks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
