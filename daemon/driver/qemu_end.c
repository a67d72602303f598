/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a QEMU ended: rules from the most certain to the least, the first that fits decides. A rule looks at the exit status, the
 * reason of QMP's SHUTDOWN event and what QEMU printed.
 */
#include "driver/qemu.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "driver/qemu_args.h"

static bool text_has(const struct driver_death *death, const char *needle)
{
	return strstr(death->text, needle) != NULL;
}

static bool rule_exec(const struct driver_death *d)
{
	return d->end->exec_errno != 0;
}
/* QEMU answers SIGTERM with code 0: with another code and no such event it was quicker than the wish. */
static bool rule_stopped(const struct driver_death *d)
{
	return d->stop_requested && (d->end->code <= 0 || d->shutdown_reason[0] != '\0');
}
static bool rule_lockup(const struct driver_death *d)
{
	return d->end->signal == SIGABRT && text_has(d, "Lockup");
}
static bool rule_gdb(const struct driver_death *d)
{
	return d->end->signal == 0 && text_has(d, "Terminated via GDBstub");
}
static bool rule_shim(const struct driver_death *d)
{
	return d->end->shim_died;
}

/* QEMU leaves with code 0 on a signal. Its words tell when nobody was there to hear its event. */
static bool rule_killed(const struct driver_death *d)
{
	int sig = d->end->signal;
	return sig == SIGKILL || sig == SIGTERM || sig == SIGINT || sig == SIGHUP || strcmp(d->shutdown_reason, "host-signal") == 0 ||
	       (sig == 0 && text_has(d, ": terminating on signal "));
}

static bool rule_quit(const struct driver_death *d)
{
	return strcmp(d->shutdown_reason, "host-qmp-quit") == 0;
}
static bool rule_crashed(const struct driver_death *d)
{
	return d->end->signal != 0;
}

/* The line in which QEMU says what it does not like: "qemu-system-arm: …" that is no mere warning; "" if there is none. */
static void error_line(const struct driver_death *death, char *out, size_t size)
{
	out[0] = '\0';
	for (const char *line = death->text; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n') {
		text_first_line(line, out, size);
		bool is_ours = strncmp(out, "qemu-", 5) == 0 || strstr(out, "error while loading shared libraries") != NULL;
		if (is_ours && strstr(out, ": warning: ") == NULL && strstr(out, ": info: ") == NULL)
			return;
	}
	out[0] = '\0';
}

/* Asked for by us, or by an argument of the user's own. */
static bool has_semihosting(const struct driver_death *d)
{
	bool is_found = d->semihosting;
	for (size_t i = 0; d->argv != NULL && i < d->argv->count && !is_found; i++)
		is_found = strncmp(d->argv->items[i] + (strncmp(d->argv->items[i], "--", 2) == 0), "-semihosting", 12) == 0;
	return is_found;
}

/* Whether the guest has a way to end the emulator with a code: semihosting, or the test finisher of the RISC-V boards. */
static bool guest_has_exit(const struct driver_death *d)
{
	if (has_semihosting(d) || d->target == NULL || d->target->qemu == NULL)
		return has_semihosting(d);
	return strncmp(d->target->architecture, "riscv", 5) == 0 || strstr(d->target->qemu->executable, "riscv") != NULL;
}

static bool has_argument(const struct driver_death *d, const char *wanted)
{
	for (size_t i = 0; i < d->argv->count; i++)
		if (strcmp(d->argv->items[i], wanted) == 0)
			return true;
	return false;
}

/* It did what its sandbox denies; the kernel then ends it, and it has no say. */
static bool rule_denied(const struct driver_death *d)
{
	return d->end->signal == SIGSYS && d->argv != NULL && has_argument(d, QEMU_SANDBOX);
}
/* An argument for which it starts a process, as it does before it answers. */
static bool rule_denied_argument(const struct driver_death *d)
{
	return rule_denied(d) && !d->was_ready && qemu_args_start_process(d->argv->items, d->argv->count) != NULL;
}
/* The guest is who can: SYS_SYSTEM. */
static bool rule_denied_guest(const struct driver_death *d)
{
	return rule_denied(d) && has_semihosting(d);
}

/* A guest that resets before QEMU has answered is not told of: but where it has no other way to end, it is what has happened. */
static bool rule_reset(const struct driver_death *d)
{
	bool is_silent = d->shutdown_reason[0] == '\0' && d->end->code == 0 && !guest_has_exit(d);
	return strcmp(d->shutdown_reason, "guest-reset") == 0 || (is_silent && has_argument(d, "-no-reboot"));
}

/* With a code and before QEMU ever answered. A guest that is quick may have ended by then, but QEMU does not refuse without a word. */
static bool rule_refused(const struct driver_death *d)
{
	char line[160];
	error_line(d, line, sizeof(line));
	return !d->was_ready && d->end->code > 0 && (line[0] != '\0' || !guest_has_exit(d));
}
/* What was good before is not bad now: the host is in trouble, and it may pass. */
static bool rule_refused_again(const struct driver_death *d)
{
	return d->is_restart && (rule_refused(d) || rule_exec(d));
}

static bool rule_finished(const struct driver_death *d)
{
	return d->end->code >= 0;
}

/* A register of a lockup's dump ("R15=000000a4"); false when there is none. */
static bool lockup_register(const char *text, const char *name, uint32_t *value)
{
	const char *at = strstr(text, name);
	if (at == NULL)
		return false;
	char *end;
	at += strlen(name);
	*value = (uint32_t)strtoul(at, &end, 16);
	return end != at;
}

/*
 * Whether the fault was a semihosting call that nobody served. The dump is taken when the HardFault handler fails, so the program
 * counter seldom is at the `bkpt 0xab` any more; but r0 still has the operation, and the firmware has such calls.
 */
static bool is_semihosting_call(const struct driver_death *death)
{
	uint32_t pc, operation;
	if (has_semihosting(death) || death->semihosting_call_count == 0)
		return false;
	if (lockup_register(death->text, "R15=", &pc))
		for (size_t i = 0; i < death->semihosting_call_count; i++)
			if (death->semihosting_calls[i] == pc)
				return true;
	return lockup_register(death->text, "R00=", &operation) &&
	       ((operation >= 0x01 && operation <= 0x20) || operation == 0x30 || operation == 0x31);
}

static void describe_fault(const struct driver_death *death, char *out, size_t size)
{
	char line[128];
	text_line_with(death->text, "Lockup", line, sizeof(line));
	if (is_semihosting_call(death))
		snprintf(out, size, "guest fault at `bkpt 0xab`: the firmware uses semihosting, add --semihosting");
	else
		snprintf(out, size, "guest fault: %s", line);
}

static void describe_config(const struct driver_death *death, char *out, size_t size)
{
	char line[160];
	if (death->end->exec_errno != 0) {
		snprintf(out, size, "the emulator could not be executed: %s: %s", death->end->exec_what, strerror(death->end->exec_errno));
		return;
	}
	error_line(death, line, sizeof(line));
	bool is_sandbox = strstr(line, QEMU_SANDBOX) != NULL; /* built without, in a way that was not seen before the start */
	snprintf(out, size, "the emulator refused to start (exit code %d): %s%s", death->end->code,
		 line[0] != '\0' ? line : "it printed no reason",
		 is_sandbox ? "; \"sandbox\": \"off\" in the target starts it without" : "");
}

static void describe_finished(const struct driver_death *death, char *out, size_t size)
{
	snprintf(out, size, "guest finished with code %d", death->end->code);
}

static void describe_killed(const struct driver_death *death, char *out, size_t size)
{
	int sig = death->end->signal;
	snprintf(out, size, "emulator killed from outside%s%s%s", sig != 0 ? " (" : "", sig != 0 ? strsignal(sig) : "",
		 sig != 0 ? ")" : "");
}

#define TRUSTED "; \"sandbox\": \"off\" in the target allows it"

static void describe_denied_argument(const struct driver_death *death, char *out, size_t size)
{
	snprintf(out, size, "the sandbox keeps the emulator from starting a process, as its argument \"%.60s\" wants" TRUSTED,
		 qemu_args_start_process(death->argv->items, death->argv->count));
}

static void describe_denied_guest(const struct driver_death *death, char *out, size_t size)
{
	(void)death;
	snprintf(out, size,
		 "semihosting SYS_SYSTEM denied: the firmware asked the host to run a command" TRUSTED " to one that is trusted");
}

static void describe_denied(const struct driver_death *death, char *out, size_t size)
{
	snprintf(out, size, "emulator crashed (%s): it did what its sandbox denies, perhaps for its monitor" TRUSTED,
		 strsignal(death->end->signal));
}

static void describe_crash(const struct driver_death *death, char *out, size_t size)
{
	snprintf(out, size, "emulator crashed (%s)", strsignal(death->end->signal));
}

static void describe_stopped(const struct driver_death *death, char *out, size_t size)
{
	snprintf(out, size, "%s", death->stop_requested ? "stopped" : "stopped through the emulator's monitor");
}

static void describe_reset(const struct driver_death *death, char *out, size_t size)
{
	(void)death;
	snprintf(out, size, "guest reset itself and the emulator was told not to reboot");
}

static void describe_gdb(const struct driver_death *death, char *out, size_t size)
{
	(void)death;
	snprintf(out, size, "ended by a debugger");
}

#define CAUSE(name) PWEMU__V1__END_CAUSE__END_CAUSE_##name

static const struct {
	bool (*matches)(const struct driver_death *death);
	Pwemu__V1__EndCause cause;
	void (*describe)(const struct driver_death *death, char *out, size_t size);
	const char *details; /* what the emulator printed from this on is worth keeping; NULL: nothing is */
} rules[] = {
	{ rule_refused_again, CAUSE(CRASHED), describe_config, "" },
	{ rule_exec, CAUSE(BAD_CONFIG), describe_config, NULL },
	{ rule_lockup, CAUSE(GUEST_FAULT), describe_fault, "qemu: fatal: " },
	{ rule_denied_argument, CAUSE(BAD_CONFIG), describe_denied_argument, NULL },
	{ rule_denied_guest, CAUSE(GUEST_FAULT), describe_denied_guest, NULL },
	{ rule_stopped, CAUSE(STOPPED), describe_stopped, NULL },
	{ rule_shim, CAUSE(KILLED), describe_killed, NULL },
	{ rule_gdb, CAUSE(GDB), describe_gdb, NULL },
	{ rule_killed, CAUSE(KILLED), describe_killed, NULL },
	{ rule_quit, CAUSE(STOPPED), describe_stopped, NULL },
	{ rule_denied, CAUSE(CRASHED), describe_denied, "" },
	{ rule_crashed, CAUSE(CRASHED), describe_crash, "" },
	{ rule_reset, CAUSE(GUEST_RESET), describe_reset, NULL },
	{ rule_refused, CAUSE(BAD_CONFIG), describe_config, "" },
	{ rule_finished, CAUSE(FINISHED), describe_finished, NULL },
};

/* The register dump of a lockup begins with the word that is looked for; otherwise the last words count. */
static void copy_details(const struct driver_death *death, const char *begins_with, char *out, size_t size)
{
	const char *from = strstr(death->text, begins_with);
	size_t len = from != NULL ? strlen(from) : 0;
	if (len >= size && begins_with[0] == '\0')
		from += len - (size - 1);
	snprintf(out, size, "%s", from != NULL ? from : "");
}

void qemu_classify(const struct driver_death *death, struct driver_verdict *out)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (!rules[i].matches(death))
			continue;
		out->cause = rules[i].cause;
		rules[i].describe(death, out->message, sizeof(out->message));
		if (rules[i].details != NULL)
			copy_details(death, rules[i].details, out->details, sizeof(out->details));
		return;
	}
	out->cause = CAUSE(UNKNOWN);
	snprintf(out->message, sizeof(out->message), "nobody knows how the emulator ended");
}
