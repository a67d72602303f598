/* SPDX-License-Identifier: Apache-2.0 */
/* NAME.run and NAME.end, as the shim writes them into the run directory and tells them on its socket. See shim/protocol.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "loop/proc.h"

#define PROC_BOOT_ID_MAX 40

struct proc_run {
	pid_t pid;      /* 0: could not be forked */
	uint64_t start; /* field 22 of /proc/PID/stat */
	char boot_id[PROC_BOOT_ID_MAX];
	pid_t shim_pid;
	uint64_t shim_start;
	uid_t uid;                    /* the program's */
	char mark[PROC_MARK_MAX + 1]; /* value of PWEMU_INSTANCE, "" if none */
};

/* DATA_LOSS unless the text is exactly such a record. */
int proc_run_parse(const char *text, size_t len, struct proc_run *out, struct err *err) __attribute__((warn_unused_result));
int proc_end_parse(const char *text, size_t len, struct proc_run *run, struct proc_end *out, struct err *err)
	__attribute__((warn_unused_result)); /* sets pids, starts and boot_id of *run */

/* NOT_FOUND when there is no such file. */
int proc_run_read(int run_dir, const char *name, struct proc_run *out, struct err *err) __attribute__((warn_unused_result));
int proc_end_read(int run_dir, const char *name, struct proc_run *run, struct proc_end *out, struct err *err)
	__attribute__((warn_unused_result));

bool proc_boot_is_current(const struct proc_run *run);
/* A process that is there: field 22 of /proc/PID/stat, and whether it has ended and waits for its parent. */
bool proc_started_at(pid_t pid, uint64_t *start, bool *is_zombie);
/* Whether that very process (not one that got its number later) is there; a zombie is. */
bool proc_is_same(pid_t pid, uint64_t start);
