/* SPDX-License-Identifier: Apache-2.0 */
/* What --log-dir keeps of a run: NAME.log of every channel, byte by byte, and result.json, written last. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "client/verdict.h"
#include "wire/err.h"

struct conn;
struct log_dir;

/* What result.json says besides what the instance and the outcome do. */
struct log_dir_run {
	const char *target;          /* as the command line has it; NULL: unknown */
	const char *const *command;  /* pwemu's own, ended by NULL; NULL: unknown */
	const char *daemon_version;  /* NULL: unknown */
	uint64_t began_ns, ended_ns; /* since the Unix epoch */
	const struct outcome *outcome;
	const Pwemu__V1__Instance *inst; /* NULL: never started */
};

/* Makes it where it is missing, parents too, and looks whether files can be made in it; the images are looked at now, since they may
 * change while the run lasts. An old result.json is removed. */
int log_dir_open(const char *path, const char *const *images, size_t image_count, struct log_dir **out, struct err *err)
	__attribute__((warn_unused_result));
void log_dir_free(struct log_dir *dir); /* takes NULL */

/* A channel's log, of all that this start has printed, read from the daemon. conn NULL: there is none any more. What could not be had
 * is noted in result.json, and returned. */
int log_dir_add_channel(struct log_dir *dir, struct conn *conn, const char *instance_id, const Pwemu__V1__Channel *channel, struct err *err)
	__attribute__((warn_unused_result));

int log_dir_write_result(struct log_dir *dir, const struct log_dir_run *run, struct err *err) __attribute__((warn_unused_result));
