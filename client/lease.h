/* SPDX-License-Identifier: Apache-2.0 */
/* Leases as people write and read them. */
#pragma once

#include "pwemu/v1/instances.pb-c.h"
#include "wire/err.h"

/* "client", "pid:N" or "ttl:TIME". */
int lease_parse(const char *text, Pwemu__V1__LeaseRequest *out, struct err *err) __attribute__((warn_unused_result));

/* "client of alice (process 12)", "10m"; "" without a lease. */
const char *lease_owner(const Pwemu__V1__Instance *inst);
/* How long it lasts if nothing happens: "2 min"; "" where that does not depend on the clock. Returns buf. */
const char *lease_remaining(const Pwemu__V1__Instance *inst, char *buf, size_t size);
