/* SPDX-License-Identifier: Apache-2.0 */
/* An image as it is named on the command line: FILE or FILE@ADDRESS. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pwemu/v1/instances.pb-c.h"
#include "wire/err.h"

/* Splits FILE@ADDR. A file whose own name is the whole text and which exists is taken whole. `path` gets a copy to be freed. */
int image_split(const char *text, char **path, bool *has_address, uint64_t *address, struct err *err) __attribute__((warn_unused_result));

/* Fills `image`: absolute path (to be freed), address, and what stat says about the file. What the file holds is the daemon's check. */
int image_from_argument(const char *text, Pwemu__V1__Image *image, struct err *err) __attribute__((warn_unused_result));

/* The absolute form of a path: the current directory before a relative one. Not resolved further: links keep their names. */
char *path_absolute(const char *path);
