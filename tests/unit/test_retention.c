/* SPDX-License-Identifier: Apache-2.0 */
/* Which ended instances are removed, when, and which are not. Nothing runs here: instances are claimed and said to have ended. */
#include <dirent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/dirs.h"
#include "base/pb.h"
#include "config/settings.h"
#include "instance/journal.h"
#include "instance/priv.h"
#include "instance/registry.h"
#include "instance/retention.h"
#include "loop/loop.h"
#include "wire/mem.h"

#define DEADLINE_MS 20000
#define DAY_MS      (UINT64_C(24) * 3600 * 1000)
#define MIB         (UINT64_C(1) << 20)

static const struct user me = { .uid = 1000, .gid = 1000, .name = (char[]){ "me" }, .is_named = true };

struct box {
	char dir[64];
	struct event_base *base;
	struct event *tick;
	struct settings settings;
	struct journal *journal;
	struct registry *registry;
	struct retention *retention;
	unsigned made;
};

/* ---------------------------------------------------------------- the clock */

static uint64_t wall_ms;

static uint64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint64_t fake_wall_ns(void)
{
	return wall_ms * 1000000;
}

/* ---------------------------------------------------------------- set-up */

static struct registry *make_registry(struct box *b, const struct settings *settings)
{
	struct registry_config config = { .base = b->base,
					  .shim = "/none",
					  .state_dir = b->dir,
					  .run_dir = b->dir,
					  .own_name = "me",
					  .settings = settings,
					  .journal = b->journal };
	return registry_new(&config);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what, (void)ctx;
}

static int box_setup(void **state)
{
	static const struct clock_source clock = { now_ms, fake_wall_ns };
	struct box *b = xcalloc(1, sizeof(*b));
	snprintf(b->dir, sizeof(b->dir), "/tmp/pwemu-retention-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	wall_ms = 1000 * DAY_MS;
	clock_override(&clock);
	b->base = loop_new();
	b->tick = event_new(b->base, -1, EV_TIMEOUT, on_tick, NULL);
	b->journal = journal_open(b->base, b->dir);
	settings_init(&b->settings);
	b->registry = make_registry(b, NULL);
	struct retention_config config = { b->base, b->registry, &b->settings };
	b->retention = retention_new(&config);
	*state = b;
	return 0;
}

static int box_teardown(void **state)
{
	struct box *b = *state;
	char command[96];
	retention_free(b->retention);
	registry_free(b->registry);
	journal_free(b->journal);
	event_free(b->tick);
	loop_free(b->base);
	clock_override(NULL);
	snprintf(command, sizeof(command), "rm -rf %s", b->dir);
	int rc = system(command);
	free(b);
	return rc;
}

/* An instance that ended so long ago and has this much on disk. */
static struct instance *make(struct box *b, bool fresh, uint64_t ago_ms, size_t disk_bytes)
{
	Pwemu__V1__StartRequest request = PWEMU__V1__START_REQUEST__INIT;
	struct err err = ERR_INIT;
	char name[32], *dir = xasprintf("%s/work%u", b->dir, ++b->made);
	snprintf(name, sizeof(name), "i%u", b->made);
	request.name = name;
	request.working_dir = dir;
	request.fresh = fresh;
	struct instance *inst = registry_claim(b->registry, &request, &me, &err);
	assert_non_null(inst);
	inst->request = PB_COPY(Pwemu__V1__StartRequest, &request);
	free(dir);
	inst->boot = 1;
	inst->ended_ns = (wall_ms - ago_ms) * 1000000;
	assert_int_equal(channels_open_dir(inst, &err), 0);
	int fd = openat(inst->log_dir, "serial0.log", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(posix_fallocate(fd, 0, disk_bytes > 0 ? (off_t)disk_bytes : 1), 0);
	close(fd);
	return inst;
}

/* ---------------------------------------------------------------- running */

static void turn(struct box *b)
{
	static const struct timeval most = { 0, 5000 };
	event_add(b->tick, &most);
	event_base_loop(b->base, EVLOOP_ONCE);
	event_del(b->tick);
}

#define LOOP_UNTIL(b, condition)                                                                                                           \
	do {                                                                                                                               \
		uint64_t until_ms = now_ms() + DEADLINE_MS;                                                                                \
		while (!(condition)) {                                                                                                     \
			if (now_ms() > until_ms)                                                                                           \
				fail_msg("not in time: %s", #condition);                                                                   \
			turn(b);                                                                                                           \
		}                                                                                                                          \
	} while (0)

static int longest_timer(const struct event_base *base, const struct event *event, void *ctx)
{
	(void)base;
	struct timeval at, now;
	int64_t *longest_ms = ctx;
	if (!event_pending(event, EV_TIMEOUT, &at))
		return 0;
	gettimeofday(&now, NULL);
	int64_t ms = (int64_t)(at.tv_sec - now.tv_sec) * 1000 + (at.tv_usec - now.tv_usec) / 1000;
	ms = ms > 0 ? ms : 0; /* overdue */
	*longest_ms = ms > *longest_ms ? ms : *longest_ms;
	return 0;
}

/* In how many milliseconds it looks again, as no other timer is armed; -1: never. */
static int64_t next_look_ms(struct box *b)
{
	int64_t longest_ms = -1;
	event_base_foreach_event(b->base, longest_timer, &longest_ms);
	return longest_ms;
}

/* Looks, turn by turn, until no turn is due at once. */
static void look(struct box *b)
{
	retention_look(b->retention);
	for (int64_t next_ms = 0; next_ms == 0; next_ms = next_look_ms(b))
		turn(b);
}

static bool exists(struct box *b, const char *id)
{
	char *path = xasprintf("%s/data/%s", b->dir, id);
	bool is_there = access(path, F_OK) == 0;
	free(path);
	return is_there;
}

/* The ids, since what they name may be gone. */
static const char *id_of(const struct instance *inst, char id[INSTANCE_ID_LEN + 1])
{
	memcpy(id, instance_id(inst), INSTANCE_ID_LEN + 1);
	return id;
}

static bool is_known(struct box *b, const char *id)
{
	bool is_known = registry_by_id(b->registry, id) != NULL;
	assert_int_equal(is_known, exists(b, id)); /* it goes with its logs */
	return is_known;
}

/* ---------------------------------------------------------------- time */

static void test_by_time(void **state)
{
	struct box *b = *state;
	char old[8], young[8];
	id_of(make(b, false, 7 * DAY_MS, 0), old);
	id_of(make(b, false, 7 * DAY_MS - 500, 0), young);
	uint64_t events = journal_last(b->journal);
	look(b);
	assert_false(is_known(b, old));
	assert_true(is_known(b, young));
	assert_int_equal(journal_last(b->journal), events + 1);
	assert_in_range(next_look_ms(b), 1, 501); /* when the other one is due */
	wall_ms += 500;
	LOOP_UNTIL(b, registry_count(b->registry) == 0); /* by its own timer */
	assert_false(is_known(b, young));
	LOOP_UNTIL(b, next_look_ms(b) == -1);
}

static void test_fresh_ones_go_after_a_day(void **state)
{
	struct box *b = *state;
	char old[8], young[8], named[8];
	id_of(make(b, true, DAY_MS, 0), old);
	id_of(make(b, true, DAY_MS / 2, 0), young);
	id_of(make(b, false, 2 * DAY_MS, 0), named);
	look(b);
	assert_false(is_known(b, old));
	assert_true(is_known(b, young) && is_known(b, named));
	assert_in_range(next_look_ms(b), DAY_MS / 2 - 60000, DAY_MS / 2 + 1);
	b->settings.keep_ms = DAY_MS / 4; /* a shorter time holds for them too */
	look(b);
	assert_int_equal(registry_count(b->registry), 0);
}

static void test_no_limit(void **state)
{
	struct box *b = *state;
	char named[8], fresh[8];
	b->settings.keep_ms = b->settings.keep_bytes = 0;
	id_of(make(b, false, 900 * DAY_MS, MIB), named);
	id_of(make(b, true, 2 * DAY_MS, MIB), fresh);
	look(b);
	assert_true(is_known(b, named));
	assert_false(is_known(b, fresh));
	assert_int_equal(next_look_ms(b), -1);
}

static void test_not_what_lives(void **state)
{
	struct box *b = *state;
	struct instance *running = make(b, false, 100 * DAY_MS, 3 * MIB), *unborn = make(b, false, 100 * DAY_MS, 0);
	b->settings.keep_bytes = MIB;
	running->state = INST_RUNNING;
	unborn->boot = 0;
	look(b);
	assert_int_equal(registry_count(b->registry), 2);
	assert_int_equal(next_look_ms(b), -1);
	running->state = INST_ENDED;
	running->ended_ns = wall_ms * 1000000;
	make(b, false, 1000, 0); /* of what is over the limit now the one that ended first goes */
	look(b);
	assert_int_equal(registry_count(b->registry), 2);
}

/* ---------------------------------------------------------------- size */

static void test_by_size(void **state)
{
	struct box *b = *state;
	char ids[6][8];
	b->settings.keep_bytes = 4 * MIB;
	static const unsigned ago_s[] = { 30, 10, 50, 20, 60, 40 };
	for (size_t i = 0; i < 6; i++)
		id_of(make(b, false, ago_s[i] * 1000, MIB - 4096), ids[i]);
	look(b);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(is_known(b, ids[i]), ago_s[i] < 50);
	/* A boot later its size is another. */
	struct instance *again = registry_by_id(b->registry, ids[1]);
	again->boot = 2;
	again->ended_ns = wall_ms * 1000000;
	int fd = openat(again->log_dir, "serial0.log", O_WRONLY | O_CLOEXEC);
	assert_int_equal(posix_fallocate(fd, 0, 3 * MIB), 0);
	close(fd);
	look(b);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(is_known(b, ids[i]), i == 1 || i == 3);
}

/* Too large by itself: what has just ended can be looked at all the same. */
static void test_newest_stays(void **state)
{
	struct box *b = *state;
	char old[8], last[8];
	b->settings.keep_bytes = MIB;
	id_of(make(b, false, 2000, 4096), old);
	id_of(make(b, false, 1000, 2 * MIB), last);
	look(b);
	assert_false(is_known(b, old));
	assert_true(is_known(b, last));
}

static void test_each_user_alone(void **state)
{
	struct box *b = *state;
	char mine[8], other[8], other_old[8];
	b->settings.keep_bytes = 2 * MIB;
	id_of(make(b, false, 2000, 3 * MIB / 2), mine);
	struct instance *inst = make(b, false, 1000, 3 * MIB / 2);
	inst->user.uid = 1001;
	id_of(inst, other);
	inst = make(b, false, 3000, 3 * MIB / 2);
	inst->user.uid = 1001;
	id_of(inst, other_old);
	look(b);
	assert_true(is_known(b, mine) && is_known(b, other));
	assert_false(is_known(b, other_old));
}

/* More than one turn measures or removes. */
static void test_many(void **state)
{
	enum { COUNT = 700, LEFT = 100 };
	struct box *b = *state;
	char first[8], last[8];
	for (uint64_t i = 0; i < COUNT; i++) {
		struct instance *inst = make(b, false, (COUNT - i) * 1000, 4096);
		close(inst->log_dir); /* as instance_trim() does */
		inst->log_dir = -1;
		if (i == COUNT - LEFT - 1)
			id_of(inst, first);
		if (i == COUNT - LEFT)
			id_of(inst, last);
	}
	b->settings.keep_bytes = LEFT * 4096;
	uint64_t events = journal_last(b->journal);
	retention_look(b->retention);
	LOOP_UNTIL(b, registry_count(b->registry) <= LEFT);
	look(b);
	assert_int_equal(registry_count(b->registry), LEFT);
	assert_int_equal(journal_last(b->journal), events + COUNT - LEFT);
	assert_false(is_known(b, first));
	assert_true(is_known(b, last));
}

/* ---------------------------------------------------------------- readers */

static void ignore_readable(void *ctx)
{
	(void)ctx;
}

static struct cursor *read_log(struct instance *inst)
{
	static const struct cursor_ops ops = { .on_readable = ignore_readable };
	struct err err = ERR_INIT;
	struct cursor *cursor;
	struct instance_channel *channel = xcalloc(1, sizeof(*channel));
	snprintf(channel->name, sizeof(channel->name), "serial0");
	channel->inst = inst;
	inst->channels = xcalloc(1, sizeof(struct instance_channel *));
	inst->channels[inst->channel_count++] = channel;
	assert_int_equal(channels_open(inst, channel, &err), 0);
	assert_int_equal(cursor_open(channel->hub, 0, UINT64_MAX, false, &ops, NULL, &cursor, &err), 0);
	return cursor;
}

static void test_reader_spares(void **state)
{
	struct box *b = *state;
	char old[8], older[8];
	struct instance *inst = make(b, false, 8 * DAY_MS, 0);
	id_of(inst, old);
	id_of(make(b, false, 9 * DAY_MS, 0), older);
	struct cursor *cursor = read_log(inst);
	look(b);
	assert_true(is_known(b, old));
	assert_false(is_known(b, older));
	assert_in_range(next_look_ms(b), 1, 60000); /* not for ever */
	cursor_close(cursor);
	instance_trim(inst);
	look(b);
	assert_false(is_known(b, old));
}

/* ---------------------------------------------------------------- when it looks */

static void test_looks_after_an_end(void **state)
{
	struct box *b = *state;
	char old[8];
	id_of(make(b, false, 8 * DAY_MS, 0), old);
	assert_int_equal(next_look_ms(b), -1);
	struct instance *inst = make(b, false, 0, 0);
	inst->state = INST_RUNNING;
	instance_changed(inst);
	assert_int_equal(next_look_ms(b), -1);
	inst->state = INST_ENDED;
	instance_changed(inst);
	LOOP_UNTIL(b, registry_count(b->registry) == 1);
	assert_false(is_known(b, old));
}

/* What a daemon left is looked at by the next one when it starts. */
static void test_looks_at_start(void **state)
{
	struct box *b = *state;
	char old[8], young[8];
	Pwemu__V1__Target target = PWEMU__V1__TARGET__INIT;
	struct instance *made[] = { make(b, true, 2 * DAY_MS, 0), make(b, false, 2 * DAY_MS, 0) };
	for (size_t i = 0; i < 2; i++) {
		made[i]->target = PB_COPY(Pwemu__V1__Target, &target);
		store_save(made[i]);
	}
	id_of(made[0], old);
	id_of(made[1], young);
	retention_free(b->retention);
	b->retention = NULL;
	registry_free(b->registry);
	b->registry = make_registry(b, &b->settings);
	registry_adopt(b->registry);
	assert_int_equal(registry_count(b->registry), 2);
	LOOP_UNTIL(b, registry_count(b->registry) == 1);
	assert_false(is_known(b, old));
	assert_true(is_known(b, young));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_by_time),         TEST(test_fresh_ones_go_after_a_day),
		TEST(test_no_limit),        TEST(test_not_what_lives),
		TEST(test_by_size),         TEST(test_newest_stays),
		TEST(test_each_user_alone), TEST(test_many),
		TEST(test_reader_spares),   TEST(test_looks_after_an_end),
		TEST(test_looks_at_start),
	};
	struct err err = ERR_INIT;
	if (log_setup(NULL, LOG_LEVEL_ERROR, &err) < 0) /* hundreds of lines */
		return 1;
	return cmocka_run_group_tests_name("instance: retention", tests, NULL, NULL);
}
