/* SPDX-License-Identifier: Apache-2.0 */
/* The StartRequest that `run` and `start` make of their command line, and everything it points to. */
#pragma once

#include <stdbool.h>

#include "client/words.h"
#include "pwemu/v1/instances.pb-c.h"
#include "wire/err.h"

struct cli;
struct endpoints;

struct machine {
	Pwemu__V1__StartRequest request;
	Pwemu__V1__Environment environment;
	Pwemu__V1__RestartPolicy restart;
	Pwemu__V1__LeaseRequest lease;
	Pwemu__V1__Target *target;                 /* the project's; NULL: the daemon is to look the name up */
	const Pwemu__V1__TargetDefaults *defaults; /* the target's, for what the command line does not say; NULL: none */
	struct words variables, args;
	Pwemu__V1__Image *images, **image_list;
	char *project, *working_dir, *cwd;
	char token[33];
	unsigned adaptations;
};

struct machine_files {
	const char *const *files; /* FILE[@ADDR] */
	size_t count;
	const char *const *firmware_args;
	size_t firmware_arg_count;
	const struct endpoints *endpoints; /* NULL: none */
};

/* is_run: an instance of its own, unless -i, -C or PW_EMU_WDIR names one, and no lease from PWEMU_LEASE. A target that is based on a preset
 * connects cli. */
int machine_init(struct machine *machine, struct cli *cli, const char *target, const struct machine_files *files, bool is_run,
		 struct err *err) __attribute__((warn_unused_result));
/* Once connected, before the request is sent: what a daemon elsewhere needs is uploaded, what means nothing there is left out. */
int machine_settle(struct machine *machine, struct cli *cli, struct err *err) __attribute__((warn_unused_result));
/* The start was refused for a reason that another request may not have (image-elsewhere, client-elsewhere), not too often yet: it is worth
 * machine_adapt() and another start. */
bool machine_can_adapt(const struct machine *machine, const struct err *refusal);
int machine_adapt(struct machine *machine, struct cli *cli, const struct err *refusal, struct err *err) __attribute__((warn_unused_result));
void machine_fini(struct machine *machine); /* also after a failed machine_init */

/* The environment of a process with `changes` ("NAME=value") made to it. */
void machine_environment(struct words *out, char *const *environment, const char *const *changes, size_t count);
