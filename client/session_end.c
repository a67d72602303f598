/* SPDX-License-Identifier: Apache-2.0 */
#include "client/session_int.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/call.h"
#include "client/cli.h"
#include "client/drain.h"
#include "client/expect.h"
#include "client/parent.h"
#include "client/report.h"
#include "client/say.h"
#include "client/values.h"
#include "client/verdict.h"

/* The next daemon ends what it finds without its client. We came back too late. */
static void check_lost(struct session *s)
{
	bool by_us = s->stopping || s->inst == NULL || s->inst->end == NULL;
	if (s->cli->conn.losses > 0 && !by_us && s->inst->end->cause == PWEMU__V1__END_CAUSE__END_CAUSE_STOPPED &&
	    s->trouble.code == ERR_OK)
		err_set(&s->trouble, ERR_UNAVAILABLE, "the daemon was lost; the next one stopped the instance");
}

static void judge(struct session *s, struct outcome *outcome)
{
	struct outcome_events events = {
		.trouble = s->trouble.code != ERR_OK ? &s->trouble : NULL,
		.signal = s->signal,
		.parent = s->parent_ended ? s->config->parent->pid : 0,
		.timeout_ms = s->timed_out ? s->config->timeout_ms : 0,
		.quit = s->quit ? value_key_name(SESSION_QUIT_KEY) : NULL,
	};
	const struct expect *expect = s->config->expect;
	if (expect != NULL && expect_result(expect) == EXPECT_MET)
		events.met = expect_pattern(expect);
	else if (expect != NULL && expect_result(expect) == EXPECT_FAILED)
		events.failed = expect_pattern(expect);
	else if (expect != NULL)
		events.missing = expect_pattern(expect);
	outcome_judge(outcome, s->inst, &events);
}

static void show_emulator_text(struct session *s, enum verdict verdict)
{
	bool wanted = verdict == VERDICT_GUEST_FAULT || verdict == VERDICT_EMULATOR_ERROR || verdict == VERDICT_EMULATOR_CRASH;
	const char *channel = s->inst != NULL ? session_channel_of_kind(s, "emulator") : NULL;
	if (wanted && channel != NULL && !s->config->foreground)
		drain_channel(&s->cli->conn, s->inst->id, channel, STDERR_FILENO);
}

static void say_verdict(const struct session *s, const struct outcome *outcome)
{
	const char *name = s->inst != NULL ? s->inst->name : NULL;
	const char *verdict = verdict_name(outcome->verdict);
	bool is_talk = outcome->verdict == VERDICT_PASSED || outcome->verdict == VERDICT_FAILED || outcome->verdict == VERDICT_INTERRUPTED;
	if (name == NULL)
		say_error("%s: %s", verdict, outcome->message);
	else if (is_talk)
		say_note("%s: %s: %s", name, verdict, outcome->message);
	else
		say_error("%s: %s: %s", name, verdict, outcome->message);
}

static void remove_instance(struct session *s)
{
	Pwemu__V1__InstanceRef ref = PWEMU__V1__INSTANCE_REF__INIT;
	Pwemu__V1__RemoveRequest request = PWEMU__V1__REMOVE_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;
	struct err err = ERR_INIT;
	ref.id = s->inst->id;
	request.instance = &ref;
	request.force = 1;
	if (call_unary(&s->cli->conn, CALL_INSTANCES_REMOVE, &request.base, 0, &reply, &err) < 0)
		say_note("remove %s: %s", s->inst->name, err.msg);
	else
		protobuf_c_message_free_unpacked(reply, NULL);
}

static bool is_json_name(const char *file)
{
	size_t len = strlen(file);
	return len >= 5 && strcmp(file + len - 5, ".json") == 0;
}

static int write_result(const struct session *s, FILE *to, const struct outcome *outcome)
{
	outcome_write(to, outcome, s->inst, is_json_name(s->config->result_file));
	if (fclose(to) == 0)
		return outcome->exit_code;
	say_error("write \"%s\": %s", s->config->result_file, strerror(errno));
	return outcome->exit_code != 0 ? outcome->exit_code : EXIT_TROUBLE;
}

int session_conclude(struct session *s, FILE *result)
{
	struct outcome outcome;
	bool left_in_haste = s->signal_count >= SESSION_MANY_SIGNALS;
	check_lost(s);
	judge(s, &outcome);
	bool is_calm = !left_in_haste && s->trouble.code == ERR_OK;
	if (is_calm)
		show_emulator_text(s, outcome.verdict);
	report_finish(s->report, left_in_haste || s->lost || s->cli->conn.client == NULL ? NULL : &s->cli->conn, s->inst, &outcome);
	if (is_calm && s->config->remove && s->inst != NULL)
		remove_instance(s);
	int code = result != NULL ? write_result(s, result, &outcome) : outcome.exit_code;
	say_verdict(s, &outcome);
	return code;
}

int session_open_result(const struct session_config *config, FILE **out)
{
	*out = NULL;
	if (config->result_file == NULL || (*out = fopen(config->result_file, "we")) != NULL)
		return 0;
	say_error("open \"%s\": %s", config->result_file, strerror(errno));
	return -1;
}

int session_refused(struct cli *cli, const struct session_config *config, const struct err *err)
{
	struct session s = { .cli = cli, .config = config, .trouble = *err };
	struct err report_err = ERR_INIT;
	FILE *result;
	if (session_open_result(config, &result) < 0)
		return EXIT_TROUBLE;
	if (report_open(config, &s.report, &report_err) < 0)
		say_err(&report_err);
	int code = session_conclude(&s, result);
	report_free(s.report);
	return code;
}
