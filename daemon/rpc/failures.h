/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attempts to get in that failed, by network address (of IPv6 by its /64). 256 random bits are not guessed, so what is bounded here is the
 * load and the log; whoever has a token is let in from every address, also from one that others misuse.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct failures;

struct failures *failures_new(void);
void failures_free(struct failures *failures);

/* Counts one from "192.0.2.1:80" or "[2001:db8::1]:80". True: it is within what is normal, and worth a line in the log, in which
 * *unsaid tells how many had none before. */
bool failures_count(struct failures *failures, const char *address, uint64_t now_ms, uint64_t *unsaid);
