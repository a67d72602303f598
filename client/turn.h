/* SPDX-License-Identifier: Apache-2.0 */
/* Starts that have to wait in the daemon's queue. */
#pragma once

#include <stdbool.h>

#include "pwemu/v1/instances.pb-c.h"
#include "wire/err.h"

struct cli;

/* Says that it waits, and where. */
void turn_note(const Pwemu__V1__Instance *inst);
/* It has come so far that its channels are those of this start, or is over. */
bool turn_has_come(const Pwemu__V1__Instance *inst);
/* Whether it was refused before it ran; then err says why. */
bool turn_was_refused(const Pwemu__V1__Instance *inst, struct err *err);
/* Waits until an instance that was queued has started, or is over, also with another daemon; *inst becomes what it is then. */
int turn_await(struct cli *cli, Pwemu__V1__Instance **inst, struct err *err) __attribute__((warn_unused_result));
