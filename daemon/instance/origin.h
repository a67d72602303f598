/* SPDX-License-Identifier: Apache-2.0 */
/* Where a client is: whether its paths mean anything here, and what tells its instances from those of other machines. */
#pragma once

#include <stdbool.h>

#include "pwemu/v1/common.pb-c.h"
#include "wire/err.h"

/* Another machine or another root, or it says so. NULL: not known, so it is here. */
bool origin_is_elsewhere(const Pwemu__V1__Origin *origin);
/* The machine that its instances belong to; "" when it is here. */
const char *origin_machine(const Pwemu__V1__Origin *origin);
/* Name of that machine, for people; "" when it is here. */
const char *origin_host(const Pwemu__V1__Origin *origin);
/* For a start: INVALID_ARGUMENT, or FAILED_PRECONDITION (client-elsewhere) when it is elsewhere and does not know it. */
int origin_check(const Pwemu__V1__Origin *origin, struct err *err) __attribute__((warn_unused_result));
