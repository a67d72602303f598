/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gdb for an instance: found, given the firmware the instance was started with, and connected through `pwemu pipe gdb`, so that no
 * port is needed. It takes this process's place: signals, output and exit code are gdb's own.
 */
#pragma once

#include "pwemu/v1/instances.pb-c.h"

struct cli;

struct gdb {
	const char **argv; /* ended by NULL */
	size_t count;
	const char *program; /* absolute path or a word for the PATH; set by gdb_find */
	char *image;         /* ELF file with symbols; NULL: none */
	char *connect;       /* the command "target remote | …" */
};

/* Finds the program and the image; the arguments so far are the target's gdb command. Returns 0, or what the program ends with, and has
 * said why; gdb_fini in either case. */
int gdb_init(struct gdb *gdb, struct cli *cli, const Pwemu__V1__Instance *inst) __attribute__((warn_unused_result));
void gdb_fini(struct gdb *gdb);
void gdb_add(struct gdb *gdb, const char *argument); /* not copied */
/* Becomes gdb, with the image as last argument. Returns the exit code only when that fails, which it has said. */
int gdb_exec(struct gdb *gdb);

/* One word of the shell; to be freed. */
char *gdb_quote(const char *text);

/* The instance of the command line, which must run and have no debugger; connects. NULL: refused, said. To be freed with free_unpacked. */
Pwemu__V1__Instance *gdb_instance(struct cli *cli);
