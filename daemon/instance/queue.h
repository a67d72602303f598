/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts that wait because as many instances are there as the setting `max-running` allows: those of one user in the order in which they
 * came, users in turn. Whoever is neither over nor waiting has a place, a back-off between two boots and a stop under way included.
 *
 * A ticket is an instance's place in its user's line; it is kept with the record, so that the next daemon goes on in the same order.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct instance;
struct queue;
struct registry;
struct settings;

/* One that waits. */
struct queue_row {
	uid_t uid;
	uint64_t ticket;
	struct instance *inst; /* not looked at by queue_sort() */
	size_t turn;           /* filled in by it: how many of the same user come before */
};

/* Puts them in the order in which they will start. last: the user who started one last; the next one by number begins. */
void queue_sort(struct queue_row *rows, size_t count, uid_t last);

struct queue_config {
	struct event_base *base;
	struct registry *registry;       /* owns the queue */
	const struct settings *settings; /* outlives it; NULL: no limit */
};

struct queue *queue_new(const struct queue_config *config);
void queue_free(struct queue *queue); /* takes NULL */

/* Whether the instance may begin at once, past nobody. Else *ticket is the one it is to wait with. */
bool queue_admits(struct queue *queue, const struct instance *inst, uint64_t *ticket);
/* Something has changed that may let somebody in: looks soon, from the loop. */
void queue_look(struct queue *queue);
/* The instance's place, from 1; 0: it does not wait. */
uint32_t queue_position(struct queue *queue, const struct instance *inst);
