/* SPDX-License-Identifier: Apache-2.0 */
/* The processes that helpers are done by. One whose job is bytes alone stays for a while and does the next job of its user. For helper.c.
 */
#pragma once

#include <signal.h>

#include "loop/helper.h"

struct helper_proc;

/* Gives the job to one that waits, or to a new one. reply_fd: the child's end of the reply, still the caller's. */
struct helper_proc *helper_proc_begin(struct event_base *base, const struct helper_spec *spec, struct helper *job, int reply_fd,
				      struct err *err);
/* It ends soon; helper_on_end tells when. Takes NULL. */
void helper_proc_kill(struct helper_proc *proc);
/* Nobody waits for it any more: it has a moment to say that it has done the job. */
void helper_proc_answered(struct helper_proc *proc);
/* Whether it will do other jobs: the end of this one is not its own. */
bool helper_proc_stays(const struct helper_proc *proc);

/* Of helper.c: its process has ended, or (NULL) has done the job and no longer is the job's. */
void helper_on_end(struct helper *job, const siginfo_t *how);
