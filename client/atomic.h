/* SPDX-License-Identifier: Apache-2.0 */
/* A file that is there whole or not at all: written beside its place, then renamed into it. */
#pragma once

#include <stdio.h>

#include "wire/err.h"

struct atomic {
	char *path; /* where it belongs; NULL: nothing is open */
	char *temp; /* where it is written; NULL: at its place, since that is no regular file (a pipe, /dev/stdout) */
	FILE *file;
};

/* On failure nothing is open. The messages name the path. */
int atomic_open(struct atomic *atomic, const char *path, struct err *err) __attribute__((warn_unused_result));
/* Puts it in its place, with the access of any new file. It is closed, also on failure; then what was there before is untouched. */
int atomic_commit(struct atomic *atomic, struct err *err) __attribute__((warn_unused_result));
/* Forgets what was written; after a commit nothing is left to do. */
void atomic_abort(struct atomic *atomic);

/* Whether it could be written; a regular file of that name is removed, so that an old one is never taken for the new one. */
int atomic_prepare(const char *path, struct err *err) __attribute__((warn_unused_result));
