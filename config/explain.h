/* SPDX-License-Identifier: Apache-2.0 */
/* A target as a list of values by name, the names that config/origin.h has: "qemu.machine", "channels.serial0.type". */
#pragma once

#include <stdbool.h>

#include "pwemu/v1/targets.pb-c.h"

/* `text` lives during the call. is_set is false where the target says nothing and this is the default. */
typedef void (*explain_fn)(void *ctx, const char *name, const char *text, bool is_set);

void explain_walk(const Pwemu__V1__Target *target, explain_fn on_value, void *ctx);
