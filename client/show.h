/* SPDX-License-Identifier: Apache-2.0 */
/* Instances for people. */
#pragma once

#include "client/out.h"
#include "pwemu/v1/instances.pb-c.h"

/* "running"; static storage. */
const char *show_state(const Pwemu__V1__Instance *inst);
enum out_colour show_state_colour(const Pwemu__V1__Instance *inst);
/* The emulator is there (or on its way). */
bool show_is_running(const Pwemu__V1__Instance *inst);
/* Why it is in its state: `reason`, else how the latest boot ended; "" if there is nothing to say. */
const char *show_reason(const Pwemu__V1__Instance *inst);
/* "in 1.2 s": when it is started again; "" when that is not planned. Returns buf. */
const char *show_restart(const Pwemu__V1__Instance *inst, char *buf, size_t size);
