/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a Renode ended: rules from the most certain to the least, the first that fits decides. Its exit code says little: 0 also for an
 * option that it does not know, and its runtime ends by a signal when it fails inside.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "driver/renode_int.h"

static bool rule_exec(const struct driver_death *d)
{
	return d->end->exec_errno != 0;
}
static bool rule_exec_again(const struct driver_death *d)
{
	return d->is_restart && rule_exec(d);
}
static bool rule_stopped(const struct driver_death *d)
{
	return d->stop_requested;
}
static bool rule_user_quit(const struct driver_death *d)
{
	return strcmp(d->shutdown_reason, RENODE_USER_QUIT) == 0;
}
static bool rule_shim(const struct driver_death *d)
{
	return d->end->shim_died;
}

/* A shell that was the launcher tells its child's signal as a code. */
static int death_signal(const struct driver_death *d)
{
	return d->end->signal != 0 ? d->end->signal : d->end->code > 128 && d->end->code < 128 + 65 ? d->end->code - 128 : 0;
}

static bool rule_killed(const struct driver_death *d)
{
	int sig = death_signal(d);
	return sig == SIGKILL || sig == SIGTERM || sig == SIGINT || sig == SIGHUP;
}
static bool rule_refused(const struct driver_death *d)
{
	return !d->was_ready && !d->is_restart && death_signal(d) == 0;
}
static bool rule_crashed(const struct driver_death *d)
{
	return death_signal(d) != 0 || d->end->code != 0;
}
static bool rule_quit(const struct driver_death *d)
{
	return d->end->code == 0;
}

static void describe_exec(const struct driver_death *death, char *out, size_t size)
{
	snprintf(out, size, "the emulator could not be executed: %s: %s", death->end->exec_what, strerror(death->end->exec_errno));
}

static void describe_stopped(const struct driver_death *death, char *out, size_t size)
{
	snprintf(out, size, "%s", death->stop_requested ? "stopped" : "stopped through the emulator's monitor");
}

static void describe_killed(const struct driver_death *death, char *out, size_t size)
{
	int sig = death_signal(death);
	snprintf(out, size, "emulator killed from outside%s%s%s", sig != 0 ? " (" : "", sig != 0 ? strsignal(sig) : "",
		 sig != 0 ? ")" : "");
}

static void describe_refused(const struct driver_death *death, char *out, size_t size)
{
	char line[160];
	text_first_line(death->text, line, sizeof(line));
	snprintf(out, size, "the emulator refused to start (exit code %d): %s", death->end->code,
		 line[0] != '\0' ? line : "it printed no reason");
}

static void describe_crash(const struct driver_death *death, char *out, size_t size)
{
	int sig = death_signal(death);
	if (sig != 0)
		snprintf(out, size, "emulator crashed (%s)", strsignal(sig));
	else
		snprintf(out, size, "emulator ended by itself with code %d", death->end->code);
}

static void describe_quit(const struct driver_death *death, char *out, size_t size)
{
	(void)death;
	snprintf(out, size, "emulator quit by itself: a script or a command of its monitor told it to");
}

#define CAUSE(name) PWEMU__V1__END_CAUSE__END_CAUSE_##name

static const struct {
	bool (*matches)(const struct driver_death *death);
	Pwemu__V1__EndCause cause;
	void (*describe)(const struct driver_death *death, char *out, size_t size);
	bool has_details; /* what it printed is worth keeping */
} rules[] = {
	{ rule_exec_again, CAUSE(CRASHED), describe_exec, false },   { rule_exec, CAUSE(BAD_CONFIG), describe_exec, false },
	{ rule_stopped, CAUSE(STOPPED), describe_stopped, false },   { rule_user_quit, CAUSE(STOPPED), describe_stopped, false },
	{ rule_shim, CAUSE(KILLED), describe_killed, false },        { rule_killed, CAUSE(KILLED), describe_killed, false },
	{ rule_refused, CAUSE(BAD_CONFIG), describe_refused, true }, { rule_crashed, CAUSE(CRASHED), describe_crash, true },
	{ rule_quit, CAUSE(STOPPED), describe_quit, false },
};

static void copy_tail(const char *text, char *out, size_t size)
{
	size_t len = strlen(text);
	snprintf(out, size, "%s", text + (len >= size ? len - (size - 1) : 0));
}

void renode_classify(const struct driver_death *death, struct driver_verdict *out)
{
	static const char *const clean[] = { RENODE_QUIT, RENODE_USER_QUIT, RENODE_NEVER_RAN };
	bool is_clean = false;
	for (size_t i = 0; i < sizeof(clean) / sizeof(clean[0]); i++)
		is_clean = is_clean || strcmp(death->shutdown_reason, clean[i]) == 0;
	out->tail_unknown = death->end->exec_errno == 0 && !is_clean;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (!rules[i].matches(death))
			continue;
		out->cause = rules[i].cause;
		rules[i].describe(death, out->message, sizeof(out->message));
		if (rules[i].has_details)
			copy_tail(death->text, out->details, sizeof(out->details));
		return;
	}
	out->cause = CAUSE(UNKNOWN);
	snprintf(out->message, sizeof(out->message), "nobody knows how the emulator ended");
}
