/* SPDX-License-Identifier: Apache-2.0 */
/* What the files share that make a boot: boot.c (its files and process), boot_argv.c (its command line). */
#pragma once

#include "instance/expand.h"
#include "instance/fifo.h"
#include "instance/priv.h"

#define BOOT_FDS_MAX (7 * PLAN_CHANNELS_MAX + PLAN_SOCKETS_MAX)

/* What a channel gets that had no endpoint before. */
struct boot_endpoint {
	char name[PLAN_NAME_MAX]; /* of the channel */
	enum endpoint_kind kind;
	uint16_t port;
	char path[ENDPOINT_PATH_MAX];
	struct endpoint_fds fds;
};

/* The fds of a boot while it is being made; the process has its own copies, the hubs and channels take theirs. */
struct boot {
	struct instance *inst;
	struct plan plan;
	struct fifo_ends ends[PLAN_CHANNELS_MAX]; /* of plan.channels */
	struct boot_endpoint endpoints[PLAN_CHANNELS_MAX + PLAN_SOCKETS_MAX];
	size_t endpoint_count;
	struct expand_channel scope_rows[PLAN_CHANNELS_MAX + PLAN_SOCKETS_MAX];
	struct expand_scope scope; /* once it is laid out */
	char *run_path;
	int run_dir;
	struct proc_fd fds[BOOT_FDS_MAX];
	size_t fd_count;
	struct proc_held held[BOOT_FDS_MAX];
	char held_names[BOOT_FDS_MAX][PLAN_NAME_MAX + 8];
	size_t held_count;
	int owned[BOOT_FDS_MAX];
	size_t owned_count;
};

/* ---- boot_argv.c */
/* Channels and sockets do not depend on the images, so that a plan can be made before these are known: prepared is NULL then. */
int boot_make_plan(struct boot *b, const struct prepare_result *prepared, struct err *err) __attribute__((warn_unused_result));
/* The command line of this boot and what makes its board: of an explicit start those of the plan, of a restart those of the boot before,
 * whose images were checked; ports in them may be others. */
int boot_choose_argv(struct boot *b, struct err *err) __attribute__((warn_unused_result));
/* An expression that means nothing is told before anything is begun. */
int boot_check_arguments(struct boot *b, struct err *err) __attribute__((warn_unused_result));
