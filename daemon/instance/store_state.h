/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a record that changes often, beside it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "pwemu/v1/record.pb-c.h"

/* Of all that record.state does not have and the logs do not know themselves: the same as before means that it is enough. */
uint64_t store_hash_of_rest(const Pwemu__V1__Record *record);

/* Of the record that has this hash. -1: write a whole one. */
int store_state_put(int dir, uint64_t record_hash, const Pwemu__V1__Record *record) __attribute__((warn_unused_result));

/* To the record that was just read and has this hash, where there is something newer of it. */
void store_state_apply(const char *record_path, uint64_t record_hash, Pwemu__V1__Record *record);
