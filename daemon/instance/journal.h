/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened, in order: events, numbered from 1 without gaps, kept in files of the state directory over restarts of the daemon.
 */
#pragma once

#include <stdint.h>

#include "pwemu/v1/instances.pb-c.h"

struct event_base;
struct journal;

/* Opens or creates <state_dir>/events.log. It never fails: what is damaged is cut off or set aside, a disk that cannot be written costs
 * the persistence of events, no more; both are events of their own. */
struct journal *journal_open(struct event_base *base, const char *state_dir);
void journal_free(struct journal *journal); /* takes NULL */

/* Gives the event its number and time, puts it down, and tells those who follow, soon, from the loop. NULL for a journal: nothing. */
void journal_add(struct journal *journal, Pwemu__V1__Event *event);

/* Number of the newest event; 0: none yet. */
uint64_t journal_last(const struct journal *journal);
