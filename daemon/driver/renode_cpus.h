/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of peripherals that Renode prints. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct monitor;

struct renode_peripheral {
	const char *path; /* "sysbus.cluster.cpu0"; valid during the call */
	const char *name; /* "cpu0" */
	const char *type; /* "CortexM" */
};

/* Calls back for each line of what `peripherals` has printed. */
void renode_peripherals(const char *tree, void (*each)(void *ctx, const struct renode_peripheral *peripheral), void *ctx);
bool renode_is_cpu(const struct renode_peripheral *peripheral);
/* Path of the first processor in it, to be freed; NULL: there is none. */
char *renode_first_cpu(const char *tree, bool *is_cortex_m);
/* Queues "PATH WORD" for each processor in it. */
void renode_cpus_tell(struct monitor *monitor, const char *tree, const char *word);
