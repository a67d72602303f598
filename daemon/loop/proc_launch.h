/* SPDX-License-Identifier: Apache-2.0 */
/* The start of a shim, and the names it lives under. The parts of proc.c that need no loop. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "loop/proc.h"

/* Starts the shim. *conn is connected to its control socket before it has even begun to run. */
int proc_launch(const char *shim_path, const struct proc_spec *spec, pid_t *shim, int *conn, struct err *err)
	__attribute__((warn_unused_result));

/* A new connection to the control socket, non-blocking; -1 with errno. */
int proc_connect(int run_dir, const char *name);

/* Whether a shim of that name is alive; true also when that cannot be found out. */
bool proc_lock_is_held(int run_dir, const char *name);

/* Removes what a shim that is gone has left. Does nothing while another holds the name. */
void proc_remove_files(int run_dir, const char *name);

bool proc_name_is_valid(const char *name);
