/* SPDX-License-Identifier: Apache-2.0 */
/* pwemud's command line. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/strv.h"

struct options {
	bool foreground, is_auto, is_system;
	int ready_fd;
	int lock_fd; /* the lock of the state directory, from the daemon that was this process before; -1: this is the first */
	char *socket, *state_dir, *run_dir, *targets_dir, *settings; /* NULL: the default */
	struct strv listen;
	enum log_level level;
	int64_t idle_ms; /* -1: as the settings say */
};

/* Ends the program where there is a mistake, or where all that was asked for is to be told something. Paths are absolute afterwards. */
void options_parse(struct options *o, int argc, char **argv);
/* Those that are in force, for the program that replaces this one and gets its lock. */
void options_argv(const struct options *o, struct strv *argv, const char *name, int lock_fd);
