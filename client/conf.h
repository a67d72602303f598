/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The project we are in and its configuration: -c FILE, else pigweed.json or pwemu.json in $PW_PROJECT_ROOT, else in the current
 * directory or the nearest one above it that has one; pwemu.json wins where both are in one directory.
 */
#pragma once

#include <stdbool.h>

#include "config/origin.h"
#include "config/project.h"
#include "pwemu/v1/targets.pb-c.h"
#include "wire/err.h"

struct cli;

/* The directory that names of instances belong to: $PW_PROJECT_ROOT, else the one in which the file was found; "" if none. Owned by the
 * caller. -c changes nothing about it. */
char *conf_project_dir(void);

enum conf_talk {
	CONF_QUIET,  /* what is ignored is not told */
	CONF_WARN,   /* notes on stderr tell it */
	CONF_REPORT, /* errors, too: reading goes on after them */
};

struct conf {
	struct cli *cli;
	char *path;              /* as the user named it, or absolute; NULL: there is none */
	struct project *project; /* NULL: no configuration, so there are presets only */
	unsigned errors;         /* that were told */
	char **told;
	size_t told_count;
};

/* `path`: this file; NULL: the one that is to be found. Names that a target is based on are looked up in the daemon, which cli is
 * connected to then. To be released also after a failure. */
int conf_open(struct conf *conf, struct cli *cli, const char *path, enum conf_talk talk, struct err *err)
	__attribute__((warn_unused_result));
void conf_fini(struct conf *conf);

/* The project's target of that name, else the preset. *out is freed with pwemu__v1__target__free_unpacked. */
int conf_target(struct conf *conf, const char *name, struct origins *origins, Pwemu__V1__Target **out, struct err *err)
	__attribute__((warn_unused_result));
bool conf_has(const struct conf *conf, const char *name);
