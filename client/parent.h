/* SPDX-License-Identifier: Apache-2.0 */
/* The process that has started us: who depends on it is to end with it, however it ends. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct parent {
	pid_t pid; /* 0: there is none (init, or a process outside of our pid namespace) */
	int fd;    /* readable once it has ended; -1: none, or it cannot be watched */
	bool is_dead;
};

/* Takes hold of it. Early: one that ends before is not told from init. */
void parent_open(struct parent *parent);
void parent_close(struct parent *parent);
