/* SPDX-License-Identifier: Apache-2.0 */
#include "config/policy.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/field.h"
#include "wire/mem.h"

/* ---------------------------------------------------------------- restart */

static const char *const restart_modes[] = { "", "no", "on-failure", "always", NULL };

#define RESTART(member, ...) FIELD(Pwemu__V1__RestartPolicy, member, __VA_ARGS__)
#define RESTART_CASE(member) .case_offset = offsetof(Pwemu__V1__RestartPolicy, member##_case)

static const struct field restart_rows[] = {
	RESTART(mode, "mode", FIELD_WORD, .words = restart_modes),
	RESTART(delay_ms, "delay", FIELD_DURATION, .max = UINT32_MAX, .initial = "100ms", RESTART_CASE(delay),
		.case_value = PWEMU__V1__RESTART_POLICY__DELAY_DELAY_MS),
	RESTART(factor_percent, "factor", FIELD_FACTOR, .min = 100, .max = 10000, .initial = "2"),
	RESTART(max_delay_ms, "max-delay", FIELD_DURATION, .min = 1, .max = UINT32_MAX, .initial = "30s"),
	RESTART(jitter_percent, "jitter", FIELD_PERCENT, .max = 100, .initial = "20%", RESTART_CASE(jitter),
		.case_value = PWEMU__V1__RESTART_POLICY__JITTER_JITTER_PERCENT),
	RESTART(max_deaths, "deaths", FIELD_COUNT, .min = 1, .max = 1000, .initial = "5"),
	RESTART(window_ms, "within", FIELD_DURATION, .min = 1, .max = UINT32_MAX, .initial = "10m"),
	RESTART(stable_ms, "stable", FIELD_DURATION, .min = 1, .max = UINT32_MAX, .initial = "10s"),
};
static const struct fields restart_fields = FIELDS(restart_rows);
#define RESTART_MODE      (&restart_rows[0])
#define RESTART_MAX_DELAY 30000

/* What is true of one alone may be wrong together. */
static int restart_finish(Pwemu__V1__RestartPolicy *policy, struct err *err)
{
	if (policy->mode == PWEMU__V1__RESTART_MODE__RESTART_MODE_UNSPECIFIED)
		return err_set(err, ERR_INVALID_ARGUMENT, "\"mode\" is missing: no, on-failure or always");
	if (policy->max_delay_ms == 0 && policy->delay_ms > RESTART_MAX_DELAY)
		policy->max_delay_ms = policy->delay_ms; /* who wants a minute means it */
	if (policy->max_delay_ms != 0 && policy->delay_ms > policy->max_delay_ms)
		return err_set(err, ERR_INVALID_ARGUMENT, "max-delay is less than delay");
	return 0;
}

/* "key=value" */
static int restart_set(Pwemu__V1__RestartPolicy *policy, const char *item, struct err *err)
{
	size_t len = strcspn(item, "=");
	const struct field *field = field_find(&restart_fields, item, len, err);
	if (field == NULL)
		return -1;
	if (item[len] == '\0')
		return err_set(err, ERR_INVALID_ARGUMENT, "'%s' wants a value: %s=%s", item, item,
			       field->initial != NULL ? field->initial : "...");
	return field_set(field, policy, item + len + 1, err) < 0 ? err_prefix(err, "%s", field->key) : 0;
}

static int restart_set_all(Pwemu__V1__RestartPolicy *policy, char *text, struct err *err)
{
	char *rest = text, *item = strsep(&rest, ",");
	if (field_set(RESTART_MODE, policy, item, err) < 0)
		return -1;
	while ((item = strsep(&rest, ",")) != NULL)
		if (restart_set(policy, item, err) < 0)
			return -1;
	return restart_finish(policy, err);
}

int policy_restart_parse(const char *text, Pwemu__V1__RestartPolicy *out, struct err *err)
{
	Pwemu__V1__RestartPolicy policy = PWEMU__V1__RESTART_POLICY__INIT;
	char *copy = xstrdup(text);
	int rc = restart_set_all(&policy, copy, err);
	free(copy);
	if (rc == 0)
		*out = policy;
	return rc;
}

int policy_restart_read(const struct json_at *at, Pwemu__V1__RestartPolicy *out, struct err *err)
{
	struct err bad = ERR_INIT;
	bool is_text = json_object_is_type(at->value, json_type_string);
	if (!is_text && fields_read(&restart_fields, at, out, err) < 0)
		return -1;
	int rc = is_text ? policy_restart_parse(json_object_get_string(at->value), out, &bad) : restart_finish(out, &bad);
	return rc < 0 ? json_fail(at, err, "%s", bad.msg) : 0;
}

int policy_restart_check(const Pwemu__V1__RestartPolicy *policy, struct err *err)
{
	Pwemu__V1__RestartPolicy copy = *policy;
	return fields_check(&restart_fields, policy, err) < 0 || restart_finish(&copy, err) < 0 ? err_prefix(err, "restart") : 0;
}

const char *policy_restart_text(const Pwemu__V1__RestartPolicy *policy, char *buf, size_t size)
{
	char mode[32], rest[POLICY_TEXT_MAX];
	fields_text(&restart_fields, 1, policy, rest, sizeof(rest));
	snprintf(buf, size, "%s%s%s", field_text(RESTART_MODE, policy, mode, sizeof(mode)), rest[0] != '\0' ? "," : "", rest);
	return buf;
}

/* ---------------------------------------------------------------- hang */

static const char *const hang_actions[] = { "", "event", "restart", "stop", NULL };

#define HANG(member, ...) FIELD(Pwemu__V1__HangPolicy, member, __VA_ARGS__)

static const struct field hang_rows[] = {
	HANG(answer_ms, "answer", FIELD_DURATION, .min = 100, .max = UINT32_MAX),
	HANG(silence_ms, "silence", FIELD_DURATION, .min = 100, .max = UINT32_MAX),
	HANG(channel, "channel", FIELD_NAME, .min = 1, .max = 64),
	HANG(action, "action", FIELD_WORD, .words = hang_actions, .initial = "event"),
};
static const struct fields hang_fields = FIELDS(hang_rows);

static int hang_finish(const Pwemu__V1__HangPolicy *policy, struct err *err)
{
	if (policy->answer_ms == 0 && policy->silence_ms == 0)
		return err_set(err, ERR_INVALID_ARGUMENT, "says neither \"answer\" nor \"silence\"");
	if (policy->channel[0] != '\0' && policy->silence_ms == 0)
		return err_set(err, ERR_INVALID_ARGUMENT, "says which \"channel\", but not how long its \"silence\" may be");
	return 0;
}

int policy_hang_read(const struct json_at *at, Pwemu__V1__HangPolicy *out, struct err *err)
{
	struct err bad = ERR_INIT;
	if (fields_read(&hang_fields, at, out, err) < 0)
		return -1;
	return hang_finish(out, &bad) < 0 ? json_fail(at, err, "%s", bad.msg) : 0;
}

int policy_hang_check(const Pwemu__V1__HangPolicy *policy, struct err *err)
{
	return fields_check(&hang_fields, policy, err) < 0 || hang_finish(policy, err) < 0 ? err_prefix(err, "hang") : 0;
}

const char *policy_hang_text(const Pwemu__V1__HangPolicy *policy, char *buf, size_t size)
{
	return fields_text(&hang_fields, 0, policy, buf, size);
}

/* ---------------------------------------------------------------- log */

static const char *const log_full[] = { "", "wait", "drop-oldest", NULL };

#define LOG(member, ...) FIELD(Pwemu__V1__LogPolicy, member, __VA_ARGS__)

static const struct field log_rows[] = {
	LOG(limit_bytes, "limit", FIELD_SIZE, .min = 4096, .max = UINT64_C(1) << 50),
	LOG(full, "full", FIELD_WORD, .words = log_full),
};
static const struct fields log_fields = FIELDS(log_rows);

int policy_log_read(const struct json_at *at, Pwemu__V1__LogPolicy *out, struct err *err)
{
	return fields_read(&log_fields, at, out, err);
}

int policy_log_check(const Pwemu__V1__LogPolicy *policy, struct err *err)
{
	return fields_check(&log_fields, policy, err) < 0 ? err_prefix(err, "log") : 0;
}

const char *policy_log_text(const Pwemu__V1__LogPolicy *policy, char *buf, size_t size)
{
	return fields_text(&log_fields, 0, policy, buf, size);
}
