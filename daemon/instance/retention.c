/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each look sorts the ended instances, newest first, and adds up what they have on disk: where the sum passes the limit, the rest goes.
 * What a look may do in one turn of the loop is bounded: directories measured (once for each boot, the instance remembers) and instances
 * removed; the next turn goes on.
 */
#include "instance/retention.h"

#include <inttypes.h>
#include <stdlib.h>

#include "config/settings.h"
#include "instance/priv.h"
#include "instance/registry.h"
#include "wire/mem.h"

#define RETENTION_FRESH_MS   (UINT64_C(24) * 3600 * 1000)
#define RETENTION_SOON_MS    1000  /* after an end: others may end with it */
#define RETENTION_BUSY_MS    60000 /* when one that is due is being read */
#define RETENTION_TURN_MS    10    /* for removals in one turn … */
#define RETENTION_TURN_MAX   64    /* … and this many at most */
#define RETENTION_MEASURES   256   /* directories in one turn */
#define RETENTION_NEVER      UINT64_MAX
#define RETENTION_REASON_MAX 128

struct retention {
	struct retention_config config;
	struct registry_observer observer;
	struct timer *timer;
	bool is_soon; /* the timer is armed for an end */
};

struct retention_row {
	struct instance *inst;
	uint64_t bytes;
	uint64_t due_ns; /* RETENTION_NEVER: not by time */
	bool is_surplus; /* the newer ones of its user already fill the limit */
};

/* ---------------------------------------------------------------- what there is */

static bool retention_cares_for(const struct instance *inst)
{
	return instance_is_over(inst) && instance_boot(inst) > 0; /* the others are the registry's */
}

static uint64_t retention_keep_ms(const struct retention *retention, const struct instance *inst)
{
	uint64_t keep_ms = retention->config.settings->keep_ms > 0 ? retention->config.settings->keep_ms : RETENTION_NEVER;
	return instance_is_fresh(inst) && keep_ms > RETENTION_FRESH_MS ? RETENTION_FRESH_MS : keep_ms;
}

static uint64_t retention_due_ns(const struct retention *retention, const struct instance *inst)
{
	uint64_t keep_ms = retention_keep_ms(retention, inst), ended_ns = instance_ended_ns(inst);
	if (ended_ns == 0 || keep_ms >= (RETENTION_NEVER - ended_ns) / 1000000)
		return RETENTION_NEVER;
	return ended_ns + keep_ms * 1000000;
}

/* False: some are still to be measured. */
static bool retention_measure(const struct retention *retention)
{
	size_t measures = 0;
	if (retention->config.settings->keep_bytes == 0)
		return true;
	for (size_t i = 0; i < registry_count(retention->config.registry); i++) {
		struct instance *inst = registry_row(retention->config.registry, i);
		if (!retention_cares_for(inst) || instance_has_disk_bytes(inst))
			continue;
		if (measures++ == RETENTION_MEASURES)
			return false;
		(void)instance_disk_bytes(inst);
	}
	return true;
}

/* By user, newest end first. */
static int retention_compare(const void *a, const void *b)
{
	const struct instance *one = ((const struct retention_row *)a)->inst, *two = ((const struct retention_row *)b)->inst;
	if (instance_uid(one) != instance_uid(two))
		return instance_uid(one) < instance_uid(two) ? -1 : 1;
	uint64_t ended[] = { instance_ended_ns(one), instance_ended_ns(two) };
	return ended[0] > ended[1] ? -1 : ended[0] < ended[1];
}

static void retention_add_up(const struct retention *retention, struct retention_row *rows, size_t count)
{
	uint64_t limit = retention->config.settings->keep_bytes, total = 0;
	for (size_t i = 0; i < count; i++) {
		bool is_newest = i == 0 || instance_uid(rows[i].inst) != instance_uid(rows[i - 1].inst);
		total = is_newest ? rows[i].bytes : total + rows[i].bytes;
		rows[i].is_surplus = limit > 0 && total > limit && !is_newest;
	}
}

static struct retention_row *retention_collect(const struct retention *retention, size_t *out_count)
{
	size_t all = registry_count(retention->config.registry), count = 0;
	struct retention_row *rows = xcalloc(all, sizeof(*rows));
	for (size_t i = 0; i < all; i++) {
		struct instance *inst = registry_row(retention->config.registry, i);
		if (!retention_cares_for(inst))
			continue;
		rows[count].inst = inst;
		rows[count].bytes = instance_has_disk_bytes(inst) ? instance_disk_bytes(inst) : 0;
		rows[count++].due_ns = retention_due_ns(retention, inst);
	}
	qsort(rows, count, sizeof(*rows), retention_compare);
	retention_add_up(retention, rows, count);
	*out_count = count;
	return rows;
}

/* ---------------------------------------------------------------- what goes */

/* "7 days": in the largest unit that it is whole in. */
static void retention_say_time(uint64_t ms, char *out, size_t size)
{
	static const struct {
		uint64_t ms;
		const char *name;
	} units[] = { { 86400000, "day" }, { 3600000, "hour" }, { 60000, "minute" }, { 1000, "second" }, { 1, "millisecond" } };
	size_t i = 0;
	while (ms % units[i].ms != 0)
		i++;
	uint64_t number = ms / units[i].ms;
	snprintf(out, size, "%" PRIu64 " %s%s", number, units[i].name, number != 1 ? "s" : "");
}

static void retention_say_why(const struct retention *retention, const struct retention_row *row, char *out, size_t size)
{
	char kept[32];
	if (row->is_surplus) {
		snprintf(out, size, "ended instances together took more than %" PRIu64 " MiB on disk and it was the oldest",
			 retention->config.settings->keep_bytes >> 20);
		return;
	}
	retention_say_time(retention_keep_ms(retention, row->inst), kept, sizeof(kept));
	snprintf(out, size, "it had ended %s ago", kept);
}

static void retention_remove(struct retention *retention, const struct retention_row *row)
{
	char why[RETENTION_REASON_MAX];
	retention_say_why(retention, row, why, sizeof(why));
	log_info(&row->inst->scope, "removed with its logs: %s", why);
	registry_remove(retention->config.registry, row->inst, why);
}

/* Returns in how many milliseconds the next look is due. */
static uint64_t retention_sweep(struct retention *retention, const struct retention_row *rows, size_t count)
{
	uint64_t now_ns = clock_wall_ns(), begin_ms = clock_monotonic_ms(), next_ms = RETENTION_NEVER;
	unsigned removed = 0;
	for (size_t i = count; i > 0; i--) { /* oldest first */
		const struct retention_row *row = &rows[i - 1];
		uint64_t wait_ms = RETENTION_NEVER;
		if (!row->is_surplus && row->due_ns > now_ns) {
			wait_ms = row->due_ns != RETENTION_NEVER ? (row->due_ns - now_ns) / 1000000 + 1 : RETENTION_NEVER;
		} else if (instance_is_read(row->inst)) {
			wait_ms = RETENTION_BUSY_MS;
		} else if (removed == RETENTION_TURN_MAX || clock_monotonic_ms() - begin_ms > RETENTION_TURN_MS) {
			return 0;
		} else {
			retention_remove(retention, row);
			removed++;
		}
		next_ms = wait_ms < next_ms ? wait_ms : next_ms;
	}
	return next_ms;
}

/* ---------------------------------------------------------------- when */

static void retention_on_timer(void *ctx)
{
	struct retention *retention = ctx;
	size_t count;
	retention->is_soon = false;
	if (!retention_measure(retention)) {
		timer_arm(retention->timer, 0);
		return;
	}
	struct retention_row *rows = retention_collect(retention, &count);
	uint64_t next_ms = retention_sweep(retention, rows, count);
	free(rows);
	if (next_ms != RETENTION_NEVER)
		timer_arm(retention->timer, next_ms);
	else
		timer_disarm(retention->timer);
}

static void retention_on_change(void *ctx, struct instance *inst)
{
	struct retention *retention = ctx;
	if (!retention_cares_for(inst) || retention->is_soon)
		return;
	retention->is_soon = true;
	timer_arm(retention->timer, RETENTION_SOON_MS);
}

void retention_look(struct retention *retention)
{
	if (retention != NULL)
		timer_arm(retention->timer, 0);
}

struct retention *retention_new(const struct retention_config *config)
{
	struct retention *retention = xcalloc(1, sizeof(*retention));
	retention->config = *config;
	retention->timer = timer_new(config->base, retention_on_timer, retention);
	retention->observer = (struct registry_observer){ .on_change = retention_on_change, .ctx = retention };
	registry_observe(config->registry, &retention->observer);
	return retention;
}

void retention_free(struct retention *retention)
{
	if (retention == NULL)
		return;
	timer_free(retention->timer);
	free(retention);
}
