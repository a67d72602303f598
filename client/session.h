/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run from start to verdict: starts an instance that ends with us, shows its channels, waits for its end, says what became of it.
 * `run` and `start -F` are this with different channels.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <stdio.h>

#include "pwemu/v1/instances.pb-c.h"
#include "wire/err.h"

struct cli;
struct expect;
struct machine;
struct parent;

struct session_config {
	Pwemu__V1__StartRequest *request; /* no_wait, attended and, where there is none, the lease are set here */
	struct machine *machine;          /* what made it */
	const char *channel;              /* shown and written; NULL: the console; "all": every one, with names before the lines */
	bool foreground;                  /* show the emulator's messages instead of the console; no input */
	bool interactive;                 /* raw terminal */
	uint64_t timeout_ms;              /* from the guest's start; 0: none */
	const struct parent *parent;      /* ends us by its end; NULL: nobody does */
	struct expect *expect;            /* NULL: no --expect, no --fail */
	const char *result_file;          /* NULL: none */
	const char *junit_file, *log_dir; /* NULL: none */
	const char *target;               /* for these, as the command line has it */
	const char *const *images;        /* for these, image_count of them */
	size_t image_count;
	bool remove; /* forget the instance afterwards */
};

/* Returns the exit code. The connection is open. */
int session_run(struct cli *cli, const struct session_config *config);
/* The same end, verdict and result file included, for a run that could not even ask the daemon. Returns the exit code. */
int session_refused(struct cli *cli, const struct session_config *config, const struct err *err);
/* Opens the result file, so that a run whose result cannot be written is not begun. NULL in *out when none is wanted. */
int session_open_result(const struct session_config *config, FILE **out);
