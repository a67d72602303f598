/* SPDX-License-Identifier: Apache-2.0 */
/* Run directories that no instance has any more: an earlier daemon died after the end was recorded and before all of it was gone. */
#pragma once

struct event_base;

/* Ends what still lives there, a waiting shim as a rule, and removes <run>/<name>. Soon, from the loop; the name is free at once. */
void leftover_clear(struct event_base *base, const char *run, const char *name);
