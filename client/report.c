/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests are looked for in what the session shows, as it comes, so that a lost daemon loses no more than it does there. What the session
 * did not wait for (a reader of stdout that does not read, an interrupt) is read in the end, from where the session stopped.
 */
#include "client/report.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/atomic.h"
#include "client/cli.h"
#include "client/drain.h"
#include "client/junit.h"
#include "client/junit_xml.h"
#include "client/log_dir.h"
#include "client/quote.h"
#include "client/say.h"
#include "client/session.h"
#include "client/tojson.h"
#include "wire/mem.h"

#define COMMAND_MAX (128 << 10)
#define CHANNELS    64 /* more than a session shows */

struct source {
	char *name;
	bool is_placed;
	uint64_t offset; /* of the next byte */
};

struct report {
	const struct session_config *config;
	struct junit *junit;     /* NULL: not wanted, or cannot be written */
	struct log_dir *log_dir; /* the same */
	struct source sources[CHANNELS];
	size_t source_count;
	char *command_text; /* pwemu's own command line: its words, one after the other */
	const char **command;
	uint64_t began_ns;
};

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t now_us(void)
{
	return clock_ns(CLOCK_MONOTONIC) / 1000;
}

/* ---------------------------------------------------------------- before */

static void read_command(struct report *report)
{
	FILE *from = fopen("/proc/self/cmdline", "re");
	report->command_text = xcalloc(COMMAND_MAX + 1, 1);
	size_t len = from != NULL ? fread(report->command_text, 1, COMMAND_MAX, from) : 0, count = 0;
	if (from != NULL)
		fclose(from);
	for (size_t i = 0; i < len; i++)
		count += report->command_text[i] == '\0';
	report->command = xcalloc(count + 2, sizeof(*report->command));
	count = 0;
	for (size_t i = 0; i < len; i += strlen(report->command_text + i) + 1)
		report->command[count++] = report->command_text + i;
}

int report_open(const struct session_config *config, struct report **out, struct err *err)
{
	struct err other = ERR_INIT;
	*out = NULL;
	if (config->junit_file == NULL && config->log_dir == NULL)
		return 0;
	struct report *report = xcalloc(1, sizeof(*report));
	*out = report;
	report->config = config;
	report->began_ns = clock_ns(CLOCK_REALTIME);
	read_command(report);
	if (config->junit_file != NULL && atomic_prepare(config->junit_file, err) == 0)
		report->junit = junit_new();
	if (config->log_dir != NULL)
		(void)!log_dir_open(config->log_dir, config->images, config->image_count, &report->log_dir, &other);
	if (!err_is_set(err) && err_is_set(&other))
		*err = other;
	return err_is_set(err) ? err_prefix(err, config->junit_file != NULL && report->junit == NULL ? "--junit" : "--log-dir") : 0;
}

void report_free(struct report *report)
{
	if (report == NULL)
		return;
	for (size_t i = 0; i < report->source_count; i++)
		free(report->sources[i].name);
	junit_free(report->junit);
	log_dir_free(report->log_dir);
	free(report->command_text);
	free(report->command);
	free(report);
}

/* ---------------------------------------------------------------- meanwhile */

size_t report_add_channel(struct report *report, const char *name)
{
	if (report == NULL || report->junit == NULL || report->source_count == CHANNELS)
		return CHANNELS;
	size_t channel = report->source_count++;
	report->sources[channel] = (struct source){ .name = xstrdup(name) };
	junit_add_channel(report->junit, name);
	return channel;
}

void report_take(struct report *report, size_t channel, const Pwemu__V1__Data *data)
{
	if (report == NULL || channel >= report->source_count)
		return;
	report->sources[channel].is_placed = true;
	report->sources[channel].offset = data->offset + data->bytes.len;
	junit_feed(report->junit, channel, (const char *)data->bytes.data, data->bytes.len, now_us());
}

/* ---------------------------------------------------------------- afterwards */

struct rest {
	struct report *report;
	size_t channel;
};

static void on_rest(void *ctx, const Pwemu__V1__Data *data)
{
	struct rest *rest = ctx;
	report_take(rest->report, rest->channel, data);
}

static int read_rest(struct report *report, struct conn *conn, const char *instance_id, struct err *err)
{
	for (size_t i = 0; i < report->source_count; i++) {
		const struct source *source = &report->sources[i];
		struct rest rest = { report, i };
		struct feed_config config = { .instance_id = instance_id, .channel = source->name };
		config.from = (Pwemu__V1__Position)PWEMU__V1__POSITION__INIT;
		config.from.at_case = source->is_placed ? PWEMU__V1__POSITION__AT_OFFSET : PWEMU__V1__POSITION__AT_START;
		if (source->is_placed)
			config.from.offset = source->offset;
		else
			config.from.start = 1;
		if (drain_feed(conn, &config, on_rest, &rest, err) < 0)
			return err_prefix(err, "--junit: read the rest of channel %s", source->name);
	}
	return 0;
}

static const char *image_name(const struct session_config *config)
{
	const char *slash = config->image_count > 0 ? strrchr(config->images[0], '/') : NULL;
	if (config->image_count == 0)
		return NULL;
	return slash != NULL && slash[1] != '\0' ? slash + 1 : config->images[0];
}

static char *join(const char *const *words, size_t count)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);
	for (size_t i = 0; i < count; i++) {
		fputs(i > 0 ? " " : "", to);
		quote_for_shell(to, words[i]);
	}
	fclose(to);
	return text;
}

static size_t count_words(const char *const *words)
{
	size_t count = 0;
	while (words[count] != NULL)
		count++;
	return count;
}

static int write_junit(struct report *report, const Pwemu__V1__Instance *inst, const struct conn *conn, const struct junit_run *run,
		       struct err *err)
{
	struct atomic atomic;
	struct junit_run all = *run;
	char boots[16], code[16], *command = join(report->command, count_words(report->command));
	char *argv = inst != NULL ? join((const char *const *)inst->argv, inst->n_argv) : NULL;
	snprintf(boots, sizeof(boots), "%" PRIu32, inst != NULL ? inst->boot : 0);
	snprintf(code, sizeof(code), "%d", run->outcome->exit_code);
	const Pwemu__V1__End *end = inst != NULL ? inst->end : NULL;
	const struct junit_property properties[] = {
		{ "target", run->target },
		{ "instance", inst != NULL ? inst->name : NULL },
		{ "emulator", inst != NULL ? inst->emulator : NULL },
		{ "command-line", argv },
		{ "pwemu-command-line", command },
		{ "pwemu-version", PWEMU_VERSION },
		{ "pwemud-version", conn != NULL && conn->version[0] != '\0' ? conn->version : NULL },
		{ "boots", boots },
		{ "verdict", verdict_name(run->outcome->verdict) },
		{ "exit-code", code },
		{ "exit-reason", run->outcome->message },
		{ "exit-cause", end != NULL ? tojson_word(&pwemu__v1__end_cause__descriptor, (int)end->cause) : NULL },
	};
	all.properties = properties;
	all.property_count = sizeof(properties) / sizeof(properties[0]);
	int rc = atomic_open(&atomic, report->config->junit_file, err);
	if (rc == 0) {
		junit_xml_write(atomic.file, report->junit, &all);
		rc = atomic_commit(&atomic, err);
	}
	free(command);
	free(argv);
	return rc < 0 ? err_prefix(err, "--junit") : 0;
}

/* The guest's code is the run's, whatever its tests say. */
static void note_failures(const struct report *report, const struct outcome *outcome)
{
	size_t failed = junit_total(report->junit, JUNIT_FAILED), unfinished = junit_total(report->junit, JUNIT_UNFINISHED), all = 0;
	for (int i = 0; i < JUNIT_RESULT_COUNT; i++)
		all += junit_total(report->junit, (enum junit_result)i);
	if (outcome->exit_code == EXIT_DONE && failed + unfinished > 0)
		say_note("%zu of %zu test cases failed, see %s; the exit code is still that of the run: 0", failed + unfinished, all,
			 report->config->junit_file);
}

static int finish_junit(struct report *report, struct conn *conn, const Pwemu__V1__Instance *inst, const struct outcome *outcome,
			struct err *err)
{
	char host[256] = "";
	(void)!gethostname(host, sizeof(host) - 1);
	const char *channel = report->config->channel;
	if (inst != NULL && conn != NULL && read_rest(report, conn, inst->id, err) < 0)
		say_err(err);
	junit_finish(report->junit, now_us());
	*err = (struct err)ERR_INIT;
	struct junit_run run = {
		.target = inst != NULL ? inst->target : report->config->target,
		.image = image_name(report->config),
		.hostname = host[0] != '\0' ? host : NULL,
		.began_ns = report->began_ns,
		.ended_ns = clock_ns(CLOCK_REALTIME),
		.outcome = outcome,
		.names_channels = channel != NULL && strcmp(channel, "all") == 0,
	};
	if (write_junit(report, inst, conn, &run, err) < 0)
		return -1;
	note_failures(report, outcome);
	return 0;
}

/* A channel of a protocol (gdb, monitor, qmp) has no log. */
static int keep_channels(struct report *report, struct conn *conn, const Pwemu__V1__Instance *inst)
{
	int rc = 0;
	for (size_t i = 0; inst != NULL && i < inst->n_channels; i++) {
		struct err err = ERR_INIT;
		if (inst->channels[i]->log[0] == '\0' || log_dir_add_channel(report->log_dir, conn, inst->id, inst->channels[i], &err) == 0)
			continue;
		say_error("--log-dir: %s", err.msg);
		rc = -1;
	}
	return rc;
}

static int finish_log_dir(struct report *report, struct conn *conn, const Pwemu__V1__Instance *inst, const struct outcome *outcome,
			  struct err *err)
{
	struct log_dir_run run = {
		.target = report->config->target,
		.command = report->command,
		.daemon_version = conn != NULL && conn->version[0] != '\0' ? conn->version : NULL,
		.began_ns = report->began_ns,
		.ended_ns = clock_ns(CLOCK_REALTIME),
		.outcome = outcome,
		.inst = inst,
	};
	return log_dir_write_result(report->log_dir, &run, err) < 0 ? err_prefix(err, "--log-dir") : 0;
}

static void spoil(struct outcome *outcome)
{
	if (outcome->exit_code == EXIT_DONE)
		outcome->exit_code = EXIT_TROUBLE;
}

void report_finish(struct report *report, struct conn *conn, const Pwemu__V1__Instance *inst, struct outcome *outcome)
{
	struct err err = ERR_INIT;
	if (report == NULL)
		return;
	if (report->log_dir != NULL && keep_channels(report, conn, inst) < 0)
		spoil(outcome);
	if (report->junit != NULL && finish_junit(report, conn, inst, outcome, &err) < 0) {
		say_err(&err);
		spoil(outcome);
	}
	if (report->log_dir != NULL && finish_log_dir(report, conn, inst, outcome, &err) < 0) {
		say_err(&err);
		spoil(outcome);
	}
}
