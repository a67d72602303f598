/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened, in order: events, numbered from 1 without gaps, kept in files of the state directory over restarts of the daemon.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pwemu/v1/instances.pb-c.h"

struct event_base;
struct journal;
struct journal_reader;

/* Opens or creates <state_dir>/events.log. It never fails: what is damaged is cut off or set aside, a disk that cannot be written costs
 * the persistence of events, no more; both are events of their own. */
struct journal *journal_open(struct event_base *base, const char *state_dir);
void journal_free(struct journal *journal); /* takes NULL; after its readers */

/* Gives the event its number and time, puts it down, and tells those who follow, soon, from the loop. NULL for a journal: nothing. */
void journal_add(struct journal *journal, Pwemu__V1__Event *event);
/* An event of the daemon itself. */
void journal_tell(struct journal *journal, Pwemu__V1__EventKind kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Number of the newest event; 0: none yet. */
uint64_t journal_last(const struct journal *journal);

/* Reads from number `from` on; one that does not read costs nothing. on_event comes from the loop: there may be something to read, now
 * or after journal_read has said false. It may free any reader. */
struct journal_reader *journal_reader_new(struct journal *journal, uint64_t from, void (*on_event)(void *ctx), void *ctx);
/* It is not told of events of other instances, which it reads only where it has come late. The id stays the caller's. */
void journal_reader_only(struct journal_reader *reader, const char *instance_id);
void journal_reader_free(struct journal_reader *reader); /* takes NULL */
/* The next event that is kept, to be freed; `gone` is the number of those before it that are not. false: none now. */
bool journal_read(struct journal_reader *reader, Pwemu__V1__Event **out);
/* Number that is to be read next. */
uint64_t journal_reader_next(const struct journal_reader *reader);
/* on_event comes once more: for who leaves off before the end. */
void journal_reader_again(struct journal_reader *reader);
