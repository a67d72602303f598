/* SPDX-License-Identifier: Apache-2.0 */
/* How the last boots of an instance ended. */
#pragma once

#include <stddef.h>

#include "pwemu/v1/instances.pb-c.h"

#define ENDS_MAX 16

/* Oldest first; the rows are owned. */
struct ends {
	Pwemu__V1__End *rows[ENDS_MAX];
	size_t count;
};

/* Takes a copy; the oldest one goes when there are too many. */
void ends_add(struct ends *ends, const Pwemu__V1__End *end);
void ends_clear(struct ends *ends);
/* NULL: there is none. */
Pwemu__V1__End *ends_last(const struct ends *ends);
