/* SPDX-License-Identifier: Apache-2.0 */
/* Targets of one JSON file. Internal to config/: use target.h. */
#pragma once

#include <stddef.h>

#include "pwemu/v1/targets.pb-c.h"
#include "wire/err.h"

struct target_list {
	Pwemu__V1__Target **targets; /* each to be freed with pwemu__v1__target__free_unpacked, the array with free */
	size_t count;
};

/* On failure the list may hold some targets, which are to be freed all the same. Each was checked with target_validate(). */
int target_json_load(const char *path, struct target_list *list, struct err *err) __attribute__((warn_unused_result));
