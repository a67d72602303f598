/* SPDX-License-Identifier: Apache-2.0 */
/* One run of the program: its command, its options, its connection. What the cmd_*.c files get. */
#pragma once

#include <stdbool.h>

#include "client/conn.h"
#include "client/opt.h"

/* Exit codes; the man page has the whole table. */
enum {
	EXIT_DONE = 0,
	EXIT_REFUSED = 1,
	EXIT_USAGE = 2,
	EXIT_NOT_RUNNING = 3,
	EXIT_TIMED_OUT = 124,
	EXIT_TROUBLE = 125,
	EXIT_NOT_EXECUTABLE = 126,
	EXIT_NOT_FOUND = 127,
	EXIT_SIGNAL = 128, /* + its number */
};

struct command;

struct cli {
	const struct command *command;
	struct opts opts;
	struct conn conn;
};

/* The whole program. Returns its exit code. */
int cli_main(int argc, char **argv);

/* Connects, where it is not connected yet. */
int cli_open(struct cli *cli, enum conn_mode mode, struct err *err) __attribute__((warn_unused_result));
/* The same; on failure the reason has been said. */
int cli_connect(struct cli *cli, enum conn_mode mode) __attribute__((warn_unused_result));

/* Says "pwemu: COMMAND: …" and returns EXIT_USAGE. */
int cli_usage(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Says the error and returns EXIT_REFUSED. */
int cli_refused(const struct err *err);

/* stdout could not be written: a closed pipe is silent (128 + SIGPIPE), any other error is said. */
int cli_output_failed(int error);

/* Flushes stdout. On failure as cli_output_failed. */
int cli_finish_output(int code);
