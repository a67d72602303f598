/* SPDX-License-Identifier: Apache-2.0 */
/* What became of a run: how an emulator's end is judged, and the exit code that goes with it. Pure. */
#pragma once

#include <sys/types.h>

#include <stdint.h>
#include <stdio.h>

#include "pwemu/v1/instances.pb-c.h"
#include "wire/err.h"

enum verdict {
	VERDICT_PASSED,
	VERDICT_FAILED,
	VERDICT_GUEST_FAULT,
	VERDICT_TIMEOUT,
	VERDICT_EMULATOR_CRASH,
	VERDICT_EMULATOR_ERROR,
	VERDICT_PWEMU_ERROR,
	VERDICT_INTERRUPTED,
	VERDICT_COUNT
};

struct outcome {
	enum verdict verdict;
	int exit_code;
	char message[ERR_MSG_MAX];
	char reason[ERR_REASON_MAX]; /* of a start that was refused: "queue-timeout"; "" otherwise */
};

/* What happened on our side; more than one may be set, the first in this order decides. */
struct outcome_events {
	const struct err *trouble; /* NULL: none; the daemon was lost, a channel could not be read, it did not start */
	int signal;                /* that ended us, 0: none */
	pid_t parent;              /* that has ended, and us with it; 0: it has not */
	const char *met, *failed;  /* the pattern that decided */
	const char *missing;       /* an expected pattern that was not seen */
	uint64_t timeout_ms;       /* the time that ran out, 0: it did not */
	const char *quit;          /* the key that quit, NULL: none */
};

/* `inst` is its last state; NULL when it never started. */
void outcome_judge(struct outcome *out, const Pwemu__V1__Instance *inst, const struct outcome_events *events);

/* "guest-fault" */
const char *verdict_name(enum verdict verdict);

/* For --result: one word and a line end, or JSON. */
void outcome_write(FILE *to, const struct outcome *outcome, const Pwemu__V1__Instance *inst, int as_json);
