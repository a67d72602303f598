/* SPDX-License-Identifier: Apache-2.0 */
#include "client/verdict.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include "client/cli.h"
#include "client/tojson.h"

static const char *const names[] = {
	[VERDICT_PASSED] = "passed",
	[VERDICT_FAILED] = "failed",
	[VERDICT_GUEST_FAULT] = "guest-fault",
	[VERDICT_TIMEOUT] = "timeout",
	[VERDICT_EMULATOR_CRASH] = "emulator-crash",
	[VERDICT_EMULATOR_ERROR] = "emulator-error",
	[VERDICT_PWEMU_ERROR] = "pwemu-error",
	[VERDICT_INTERRUPTED] = "interrupted",
};
_Static_assert(sizeof(names) / sizeof(names[0]) == VERDICT_COUNT, "a name for every verdict");

const char *verdict_name(enum verdict verdict)
{
	return names[verdict];
}

static void set(struct outcome *out, enum verdict verdict, int code, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static void set(struct outcome *out, enum verdict verdict, int code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	out->reason[0] = '\0';
	out->verdict = verdict;
	out->exit_code = code;
	vsnprintf(out->message, sizeof(out->message), fmt, ap);
	va_end(ap);
}

static const char *end_message(const Pwemu__V1__Instance *inst, const char *fallback)
{
	return inst->end->message[0] != '\0' ? inst->end->message : inst->reason[0] != '\0' ? inst->reason : fallback;
}

/* The emulator that could not be executed, or refused to work. */
static void judge_bad_config(struct outcome *out, const Pwemu__V1__Instance *inst)
{
	int code = EXIT_TROUBLE;
	if (inst->end->exec_errno == ENOENT)
		code = EXIT_NOT_FOUND;
	else if (inst->end->exec_errno != 0)
		code = EXIT_NOT_EXECUTABLE;
	set(out, VERDICT_EMULATOR_ERROR, code, "%s", end_message(inst, "the emulator refused to start"));
}

static int signal_code(const Pwemu__V1__End *end, int fallback)
{
	return EXIT_SIGNAL + (end->signal > 0 ? end->signal : fallback);
}

static void judge_end(struct outcome *out, const Pwemu__V1__Instance *inst)
{
	const Pwemu__V1__End *end = inst->end;
	switch (end->cause) {
	case PWEMU__V1__END_CAUSE__END_CAUSE_FINISHED:
	case PWEMU__V1__END_CAUSE__END_CAUSE_GUEST_RESET:
		set(out, end->code == 0 ? VERDICT_PASSED : VERDICT_FAILED, end->code & 0xff, "%s", end_message(inst, "the guest finished"));
		break;
	case PWEMU__V1__END_CAUSE__END_CAUSE_GUEST_FAULT:
		set(out, VERDICT_GUEST_FAULT, signal_code(end, SIGABRT), "%s", end_message(inst, "the guest locked up"));
		break;
	case PWEMU__V1__END_CAUSE__END_CAUSE_BAD_CONFIG:
		judge_bad_config(out, inst);
		break;
	case PWEMU__V1__END_CAUSE__END_CAUSE_CRASHED:
		set(out, VERDICT_EMULATOR_CRASH, signal_code(end, SIGABRT), "%s", end_message(inst, "the emulator crashed"));
		break;
	case PWEMU__V1__END_CAUSE__END_CAUSE_KILLED:
		set(out, end->signal > 0 ? VERDICT_EMULATOR_CRASH : VERDICT_INTERRUPTED, signal_code(end, SIGTERM), "%s",
		    end_message(inst, "somebody killed the emulator"));
		break;
	case PWEMU__V1__END_CAUSE__END_CAUSE_STOPPED:
		set(out, VERDICT_INTERRUPTED, EXIT_SIGNAL + SIGTERM, "%s", end_message(inst, "somebody stopped it"));
		break;
	case PWEMU__V1__END_CAUSE__END_CAUSE_GDB:
		set(out, VERDICT_INTERRUPTED, EXIT_SIGNAL + SIGKILL, "%s", end_message(inst, "a debugger ended it"));
		break;
	default:
		set(out, VERDICT_EMULATOR_ERROR, EXIT_TROUBLE, "%s", end_message(inst, "the emulator ended, nobody knows why"));
	}
}

/* Did it end before we asked it to? Then its own end counts. */
static int ended_by_itself(const Pwemu__V1__Instance *inst)
{
	return inst != NULL && inst->end != NULL && inst->end->cause != PWEMU__V1__END_CAUSE__END_CAUSE_STOPPED &&
	       inst->end->cause != PWEMU__V1__END_CAUSE__END_CAUSE_UNSPECIFIED;
}

/* A guest that finished well has failed nevertheless when it did not say what was expected. */
static void judge_own_end(struct outcome *out, const Pwemu__V1__Instance *inst, const char *missing)
{
	judge_end(out, inst);
	if (missing != NULL && (out->verdict == VERDICT_PASSED || out->verdict == VERDICT_FAILED))
		set(out, VERDICT_FAILED, out->exit_code != 0 ? out->exit_code : EXIT_REFUSED, "ended without '%s'", missing);
}

/* What the daemon says of a start that was refused; everything else is trouble of ours. */
static void judge_trouble(struct outcome *out, const struct err *trouble)
{
	static const struct {
		const char *reason;
		int exit_code;
	} emulator[] = {
		{ "emulator-not-found", EXIT_NOT_FOUND },
		{ "emulator-not-executable", EXIT_NOT_EXECUTABLE },
		{ "emulator-refused", EXIT_TROUBLE },
	};
	set(out, VERDICT_PWEMU_ERROR, EXIT_TROUBLE, "%s", trouble->msg);
	snprintf(out->reason, sizeof(out->reason), "%s", trouble->reason);
	for (size_t i = 0; i < sizeof(emulator) / sizeof(emulator[0]); i++) {
		if (strcmp(trouble->reason, emulator[i].reason) == 0) {
			out->verdict = VERDICT_EMULATOR_ERROR;
			out->exit_code = emulator[i].exit_code;
		}
	}
}

void outcome_judge(struct outcome *out, const Pwemu__V1__Instance *inst, const struct outcome_events *events)
{
	if (events->trouble != NULL)
		judge_trouble(out, events->trouble);
	else if (events->signal == SIGPIPE)
		set(out, VERDICT_INTERRUPTED, EXIT_SIGNAL + SIGPIPE, "stdout was closed");
	else if (events->signal > 0)
		set(out, VERDICT_INTERRUPTED, EXIT_SIGNAL + events->signal, "signal %d (%s)", events->signal, strsignal(events->signal));
	else if (events->parent > 0)
		set(out, VERDICT_INTERRUPTED, EXIT_SIGNAL + SIGHUP, "process %d, which has started it, has ended", (int)events->parent);
	else if (events->failed != NULL)
		set(out, VERDICT_FAILED, EXIT_REFUSED, "saw '%s'", events->failed);
	else if (events->met != NULL)
		set(out, VERDICT_PASSED, EXIT_DONE, "saw '%s'", events->met);
	else if (events->timeout_ms > 0 && !ended_by_itself(inst))
		set(out, VERDICT_TIMEOUT, EXIT_TIMED_OUT, "still running after %g s", (double)events->timeout_ms / 1000);
	else if (events->quit != NULL)
		set(out, VERDICT_INTERRUPTED, EXIT_DONE, "ended with %s", events->quit);
	else if (inst != NULL && inst->end != NULL)
		judge_own_end(out, inst, events->missing);
	else if (inst != NULL && inst->state == PWEMU__V1__STATE__STATE_ENDED) /* while it waited in the queue */
		set(out, VERDICT_INTERRUPTED, EXIT_SIGNAL + SIGTERM, "%s", inst->reason);
	else
		set(out, VERDICT_PWEMU_ERROR, EXIT_TROUBLE, "%s",
		    inst != NULL && inst->reason[0] != '\0' ? inst->reason : "it did not start");
}

static void write_pair(FILE *to, const char *key, const char *text)
{
	fprintf(to, "  \"%s\": ", key);
	tojson_string(to, text, strlen(text));
	fputs(",\n", to);
}

void outcome_write(FILE *to, const struct outcome *outcome, const Pwemu__V1__Instance *inst, int as_json)
{
	if (!as_json) {
		fprintf(to, "%s\n", verdict_name(outcome->verdict));
		return;
	}
	fputs("{\n", to);
	write_pair(to, "verdict", verdict_name(outcome->verdict));
	write_pair(to, "message", outcome->message);
	write_pair(to, "reason", outcome->reason);
	write_pair(to, "instance", inst != NULL ? inst->name : "");
	write_pair(to, "id", inst != NULL ? inst->id : "");
	write_pair(to, "target", inst != NULL ? inst->target : "");
	fprintf(to, "  \"exit_code\": %d\n}\n", outcome->exit_code);
}
