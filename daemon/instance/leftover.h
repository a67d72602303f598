/* SPDX-License-Identifier: Apache-2.0 */
/* Shims that no instance has any more: an earlier daemon died after the end was recorded and before all of it was gone. */
#pragma once

#include <stdbool.h>

struct event_base;

/* Whether an emulator lives in <run>/<name>, or may. It is named in the log, with what ends it: nobody supervises it. */
bool leftover_report(const char *run, const char *name);

/* A run directory without an instance. Ends what still lives there, waiting shims as a rule, and removes <run>/<name>. Soon, from the
 * loop; the name is free at once. */
void leftover_clear(struct event_base *base, const char *run, const char *name);

/* The run directory of an instance: releases every shim there that is not to be kept. What such a one still runs is ended. */
void leftover_release(struct event_base *base, int run_dir, bool (*is_kept)(const void *ctx, const char *name), const void *ctx);
