/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue is no list of its own: it is the instances in the state QUEUED, put in order when somebody asks. So there is nothing that
 * could disagree with their states, and the next daemon finds it in the records.
 */
#include "instance/queue.h"

#include <stdlib.h>

#include "config/settings.h"
#include "instance/instance.h"
#include "instance/registry.h"
#include "loop/timer.h"
#include "wire/mem.h"

#define QUEUE_TURN 8 /* starts in one turn of the loop */

struct queue {
	struct queue_config config;
	struct timer *timer;
	uint64_t last_ticket;
	uid_t last_uid; /* whose turn it was */
	struct queue_row *order;
	size_t order_count;
	bool is_stale; /* the order was made before the last change */
};

/* ---------------------------------------------------------------- the order */

static int queue_by_user(const void *a, const void *b)
{
	const struct queue_row *one = a, *two = b;
	if (one->uid != two->uid)
		return one->uid < two->uid ? -1 : 1;
	return one->ticket < two->ticket ? -1 : one->ticket > two->ticket;
}

/* Round by round; in each the users by number, those behind the last one first. */
static int queue_by_turn(const void *a, const void *b, void *arg)
{
	const struct queue_row *one = a, *two = b;
	const uid_t *last = arg;
	bool is_late = one->uid <= *last, other_is_late = two->uid <= *last;
	if (one->turn != two->turn)
		return one->turn < two->turn ? -1 : 1;
	if (is_late != other_is_late)
		return is_late ? 1 : -1;
	return one->uid < two->uid ? -1 : one->uid > two->uid;
}

void queue_sort(struct queue_row *rows, size_t count, uid_t last)
{
	if (count == 0)
		return;
	qsort(rows, count, sizeof(*rows), queue_by_user);
	for (size_t i = 0; i < count; i++)
		rows[i].turn = i > 0 && rows[i - 1].uid == rows[i].uid ? rows[i - 1].turn + 1 : 0;
	qsort_r(rows, count, sizeof(*rows), queue_by_turn, &last);
}

static void queue_fill(struct queue *queue)
{
	if (!queue->is_stale)
		return;
	queue->is_stale = false;
	queue->order_count = 0;
	for (size_t i = 0; i < registry_live(queue->config.registry); i++) {
		struct instance *inst = registry_row(queue->config.registry, i);
		if (instance_state(inst) != INST_QUEUED)
			continue;
		queue->order = xrealloc(queue->order, queue->order_count + 1, sizeof(*queue->order));
		queue->order[queue->order_count++] =
			(struct queue_row){ .uid = instance_uid(inst), .ticket = instance_ticket(inst), .inst = inst };
	}
	queue_sort(queue->order, queue->order_count, queue->last_uid);
}

uint32_t queue_position(struct queue *queue, const struct instance *inst)
{
	if (instance_state(inst) != INST_QUEUED)
		return 0;
	queue_fill(queue);
	for (size_t i = 0; i < queue->order_count; i++)
		if (queue->order[i].inst == inst)
			return (uint32_t)i + 1;
	return 0;
}

/* ---------------------------------------------------------------- places */

static uint64_t queue_limit(const struct queue *queue)
{
	return queue->config.settings != NULL ? queue->config.settings->max_running : 0;
}

/* Places that are taken, and who waits. */
static void queue_count(const struct queue *queue, const struct instance *except, size_t *taken, size_t *waiting)
{
	*taken = *waiting = 0;
	for (size_t i = 0; i < registry_live(queue->config.registry); i++) {
		const struct instance *inst = registry_row(queue->config.registry, i);
		bool waits = instance_state(inst) == INST_QUEUED;
		if (inst == except || instance_is_over(inst))
			continue;
		*waiting += waits;
		*taken += !waits;
	}
}

/* Tickets of an earlier daemon are found with their instances. */
static uint64_t queue_next_ticket(struct queue *queue)
{
	for (size_t i = 0; i < registry_live(queue->config.registry); i++) {
		uint64_t ticket = instance_ticket(registry_row(queue->config.registry, i));
		if (ticket > queue->last_ticket)
			queue->last_ticket = ticket;
	}
	return ++queue->last_ticket;
}

bool queue_admits(struct queue *queue, const struct instance *inst, uint64_t *ticket)
{
	size_t taken, waiting;
	uint64_t limit = queue_limit(queue);
	if (limit > 0) {
		queue_count(queue, inst, &taken, &waiting);
		if (taken >= limit || waiting > 0) {
			*ticket = queue_next_ticket(queue);
			queue_look(queue);
			return false;
		}
	}
	queue->last_uid = instance_uid(inst);
	return true;
}

static bool queue_start_next(struct queue *queue)
{
	size_t taken, waiting;
	uint64_t limit = queue_limit(queue);
	queue_count(queue, NULL, &taken, &waiting);
	if (waiting == 0 || (limit > 0 && taken >= limit))
		return false;
	queue->is_stale = true;
	queue_fill(queue);
	struct instance *inst = queue->order[0].inst;
	queue->last_uid = instance_uid(inst);
	queue->is_stale = true;
	instance_leave_queue(inst);
	return true;
}

static void queue_on_timer(void *ctx)
{
	struct queue *queue = ctx;
	for (int i = 0; i < QUEUE_TURN; i++)
		if (!queue_start_next(queue))
			return;
	timer_arm(queue->timer, 0);
}

void queue_look(struct queue *queue)
{
	queue->is_stale = true;
	if (!timer_is_armed(queue->timer))
		timer_arm(queue->timer, 0);
}

struct queue *queue_new(const struct queue_config *config)
{
	struct queue *queue = xcalloc(1, sizeof(*queue));
	queue->config = *config;
	queue->is_stale = true;
	queue->timer = timer_new(config->base, queue_on_timer, queue);
	return queue;
}

void queue_free(struct queue *queue)
{
	if (queue == NULL)
		return;
	timer_free(queue->timer);
	free(queue->order);
	free(queue);
}
