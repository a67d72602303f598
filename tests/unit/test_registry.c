/* SPDX-License-Identifier: Apache-2.0 */
/* Which instance a request means, and which one a start gets. Nothing runs here: instances are made by claims, states are set. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <event2/event.h>

#include "base/log.h"
#include "base/pb.h"
#include "instance/priv.h"
#include "instance/registry.h"
#include "loop/loop.h"
#include "wire/mem.h"

static const struct user me = { .uid = 1000, .gid = 1000, .name = (char[]){ "me" }, .is_named = true };
static const struct caller mine = { &me, true };

struct box {
	char dir[64], run[80];
	struct event_base *base;
	struct registry_config config;
	struct registry *registry;
	struct err err;
};

static int box_setup(void **state)
{
	struct box *b = xcalloc(1, sizeof(*b));
	snprintf(b->dir, sizeof(b->dir), "/tmp/pwemu-registry-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	b->base = loop_new();
	snprintf(b->run, sizeof(b->run), "%s/run", b->dir);
	b->config = (struct registry_config){ .base = b->base, .shim = "/none", .state_dir = b->dir, .run_dir = b->run, .own_name = "me" };
	b->registry = registry_new(&b->config);
	*state = b;
	return 0;
}

static int box_teardown(void **state)
{
	struct box *b = *state;
	char command[96];
	registry_free(b->registry);
	loop_free(b->base);
	snprintf(command, sizeof(command), "rm -rf %s", b->dir);
	int rc = system(command);
	free(b);
	return rc;
}

/* ---------------------------------------------------------------- shorthands */

static struct instance *claim(struct box *b, const char *name, const char *project, const char *dir, bool fresh)
{
	Pwemu__V1__StartRequest request = PWEMU__V1__START_REQUEST__INIT;
	request.name = (char *)(uintptr_t)name;
	request.project = (char *)(uintptr_t)project;
	request.working_dir = (char *)(uintptr_t)dir;
	request.fresh = fresh;
	b->err = (struct err)ERR_INIT;
	return registry_claim(b->registry, &request, &me, &b->err);
}

static struct instance *make(struct box *b, const char *name, const char *project, const char *dir)
{
	struct instance *inst = claim(b, name, project, dir, false);
	if (inst == NULL)
		fail_msg("%s", b->err.msg);
	return inst;
}

/* As make; it counts as running. */
static struct instance *make_running(struct box *b, const char *name, const char *project, const char *dir)
{
	struct instance *inst = make(b, name, project, dir);
	inst->state = INST_RUNNING;
	inst->env->on_change(inst->env->ctx, inst);
	return inst;
}

static struct instance *find_ref(struct box *b, const char *id, const char *dir, const char *name, const char *project)
{
	Pwemu__V1__InstanceRef ref = PWEMU__V1__INSTANCE_REF__INIT;
	ref.id = (char *)(uintptr_t)id;
	ref.working_dir = (char *)(uintptr_t)dir;
	ref.name = (char *)(uintptr_t)name;
	ref.project = (char *)(uintptr_t)project;
	b->err = (struct err)ERR_INIT;
	return registry_find(b->registry, &ref, &mine, RIGHT_CONTROL, &b->err);
}

static struct instance *find(struct box *b, const char *name, const char *project)
{
	return find_ref(b, "", "", name, project);
}

static void assert_error(struct box *b, enum err_code code, const char *reason, const char *text)
{
	assert_int_equal(b->err.code, code);
	assert_string_equal(b->err.reason, reason);
	if (strstr(b->err.msg, text) == NULL)
		fail_msg("no \"%s\" in: %s", text, b->err.msg);
}

/* ---------------------------------------------------------------- nothing named */

static void test_empty(void **state)
{
	struct box *b = *state;
	assert_null(find(b, "", ""));
	assert_error(b, ERR_NOT_FOUND, "no-instance", "pwemu start TARGET");
	assert_null(registry_find(b->registry, NULL, &mine, RIGHT_CONTROL, &b->err));
	assert_null(find(b, "x", ""));
	assert_error(b, ERR_NOT_FOUND, "no-instance", "no instance \"x\"; `pwemu ls -a`");
	assert_int_equal(registry_count(b->registry), 0);
	size_t count = 9;
	free(registry_list(b->registry, &count));
	assert_int_equal(count, 0);
}

/* "default" wins, also when it is over and others run. */
static void test_default(void **state)
{
	struct box *b = *state;
	struct instance *inst = make(b, "", "", "/d");
	assert_string_equal(instance_name(inst), "default");
	make_running(b, "other", "", "/o");
	assert_ptr_equal(find(b, "", ""), inst);
	assert_ptr_equal(registry_find(b->registry, NULL, &mine, RIGHT_CONTROL, &b->err), inst);
	assert_null(find(b, "", "/p")); /* of another project */
}

static void test_only_running(void **state)
{
	struct box *b = *state;
	make(b, "old", "", "/1");
	struct instance *one = make_running(b, "one", "", "/2");
	make_running(b, "elsewhere", "/p", "/3");
	assert_ptr_equal(find(b, "", ""), one);
	make_running(b, "two", "", "/4");
	assert_null(find(b, "", ""));
	assert_error(b, ERR_INVALID_ARGUMENT, "ambiguous-instance", "name one with -i");
	assert_non_null(strstr(b->err.msg, "one"));
	assert_non_null(strstr(b->err.msg, "two"));
}

/* The names that could be meant are those of the project. */
static void test_ambiguity_names_the_project(void **state)
{
	struct box *b = *state;
	make_running(b, "here1", "/p", "/1");
	make_running(b, "here2", "/p", "/2");
	make_running(b, "elsewhere", "/q", "/3");
	assert_null(find(b, "", "/p"));
	assert_non_null(strstr(b->err.msg, "here1, here2"));
	assert_null(strstr(b->err.msg, "elsewhere"));
}

static void test_none_runs_here(void **state)
{
	struct box *b = *state;
	make(b, "old", "", "/1");
	make_running(b, "there", "/p", "/2");
	assert_null(find(b, "", ""));
	assert_error(b, ERR_NOT_FOUND, "no-instance", "elsewhere: there");
	assert_null(strstr(b->err.msg, "old"));
}

/* ---------------------------------------------------------------- names and ids */

static void test_name_and_id(void **state)
{
	struct box *b = *state;
	struct instance *one = make(b, "one", "", "/1"), *two = make(b, "two", "", "/2");
	assert_ptr_equal(find(b, "one", ""), one);
	assert_ptr_equal(find(b, "two", ""), two);
	assert_ptr_equal(find(b, instance_id(two), ""), two);
	assert_ptr_equal(find_ref(b, instance_id(one), "", "", ""), one);
	assert_ptr_equal(find_ref(b, instance_id(one), "/2", "two", ""), one); /* the id decides */
	assert_ptr_equal(find_ref(b, "", "/2", "one", ""), two);               /* then the directory */
	assert_null(find_ref(b, "", "/3", "one", ""));
	assert_error(b, ERR_NOT_FOUND, "no-instance", "\"/3\"");
	assert_null(find_ref(b, "000000", "", "one", ""));
	assert_error(b, ERR_NOT_FOUND, "no-instance", "\"000000\"");
	assert_null(find_ref(b, "one", "", "", "")); /* a name is no id */
}

static void test_ids(void **state)
{
	struct box *b = *state;
	for (int i = 0; i < 200; i++) {
		char dir[32];
		snprintf(dir, sizeof(dir), "/%d", i);
		const char *id = instance_id(make(b, "n", "", dir));
		assert_int_equal(strlen(id), INSTANCE_ID_LEN);
		assert_int_equal(strspn(id, "0123456789abcdef"), INSTANCE_ID_LEN);
		assert_true(id[0] >= 'a');
		assert_ptr_equal(registry_by_id(b->registry, id), find_ref(b, "", dir, "", ""));
	}
	assert_null(registry_by_id(b->registry, ""));
}

static void test_project(void **state)
{
	struct box *b = *state;
	struct instance *p = make(b, "x", "/p", "/1"), *q = make(b, "x", "/q", "/2"), *alone = make(b, "y", "/q", "/3");
	assert_ptr_equal(find(b, "x", "/p"), p);
	assert_ptr_equal(find(b, "x", "/q"), q);
	assert_ptr_equal(find(b, "y", "/p"), alone); /* unique elsewhere */
	assert_null(find(b, "x", "/r"));
	assert_error(b, ERR_INVALID_ARGUMENT, "ambiguous-instance", "several instances are named \"x\"");
	assert_non_null(strstr(b->err.msg, instance_id(p)));
	assert_non_null(strstr(b->err.msg, instance_id(q)));
	assert_null(strstr(b->err.msg, instance_id(alone)));
	q->state = INST_RUNNING;
	assert_ptr_equal(find(b, "x", "/r"), q); /* the one that runs */
	p->state = INST_PAUSED;
	assert_null(find(b, "x", "/r"));
}

/* Of two with one name in one project the one that runs is meant; of two that are over neither. */
static void test_same_name(void **state)
{
	struct box *b = *state;
	struct instance *one = make(b, "x", "", "/1"), *two = make(b, "x", "", "/2");
	assert_null(find(b, "x", ""));
	assert_error(b, ERR_INVALID_ARGUMENT, "ambiguous-instance", "use an id instead");
	two->state = INST_RUNNING;
	assert_ptr_equal(find(b, "x", ""), two);
	two->state = INST_ENDED;
	one->state = INST_RUNNING;
	assert_ptr_equal(find(b, "x", ""), one);
}

/* The same for "default", which nobody has to name. */
static void test_two_defaults(void **state)
{
	struct box *b = *state;
	struct instance *one = make(b, "default", "", "/1"), *two = make(b, "default", "", "/2");
	two->state = INST_RUNNING;
	assert_ptr_equal(find(b, "", ""), two);
	one->state = INST_RUNNING;
	assert_null(find(b, "", ""));
	assert_error(b, ERR_INVALID_ARGUMENT, "ambiguous-instance", instance_id(one));
}

static void test_nearest(void **state)
{
	struct box *b = *state;
	make(b, "board1", "", "/1");
	make(b, "gateway", "/p", "/2");
	assert_null(find(b, "baord1", ""));
	assert_error(b, ERR_NOT_FOUND, "no-instance", "did you mean \"board1\"?");
	assert_null(strstr(b->err.msg, "gateway"));
	assert_null(find(b, "gatewya", ""));
	assert_error(b, ERR_NOT_FOUND, "no-instance", "did you mean \"gateway\"?");
	assert_null(find(b, "zzz", ""));
	assert_null(strstr(b->err.msg, "did you mean"));
}

/* ---------------------------------------------------------------- claims */

static void test_claim(void **state)
{
	struct box *b = *state;
	char want[128];
	struct instance *inst = make(b, "x", "/p", "");
	assert_string_equal(instance_project(inst), "/p");
	assert_int_equal(instance_uid(inst), 1000);
	assert_true(instance_is_over(inst));
	assert_int_equal(instance_boot(inst), 0);
	snprintf(want, sizeof(want), "%s/instances/x", b->dir);
	assert_string_equal(instance_working_dir(inst), want);
	assert_ptr_equal(make(b, "x", "/p", ""), inst); /* over: it may be started again */
	assert_int_equal(registry_count(b->registry), 1);
}

/* The directory is what an instance is known by. */
static void test_claim_running(void **state)
{
	struct box *b = *state;
	struct instance *inst = make_running(b, "x", "", "/d");
	assert_null(claim(b, "x", "", "/d", false));
	assert_error(b, ERR_ALREADY_EXISTS, "already-running", "instance \"x\" is already running in \"/d\"");
	assert_null(claim(b, "y", "", "/d", false));
	assert_error(b, ERR_ALREADY_EXISTS, "already-running", "stop it with: pwemu stop -i x");
	assert_ptr_not_equal(make(b, "x", "", "/e"), inst);
	for (int s = 0; s < INST_STATE_COUNT; s++) {
		inst->state = (enum inst_state)s;
		assert_int_equal(claim(b, "x", "", "/d", false) == inst, instance_is_over(inst));
	}
}

static void test_claim_fresh(void **state)
{
	struct box *b = *state;
	char want[128];
	make(b, "run-2", "/elsewhere", "/x");
	struct instance *one = claim(b, "", "/p", "/p/.pw_emu", true), *three = claim(b, "", "/p", "", true);
	assert_string_equal(instance_name(one), "run-1");
	assert_string_equal(instance_working_dir(one), "/p/.pw_emu/run-1");
	assert_string_equal(instance_name(three), "run-3");
	snprintf(want, sizeof(want), "%s/instances/run-3", b->dir);
	assert_string_equal(instance_working_dir(three), want);
}

static void test_names(void **state)
{
	struct box *b = *state;
	char longest[66];
	memset(longest, 'n', sizeof(longest));
	longest[65] = '\0';
	const char *const bad[] = { "-x", ".x", "..", "a/b", "a b", "a\n", "caf\xc3\xa9", "a,b", "$x", longest };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(claim(b, bad[i], "", "/d", false));
		assert_error(b, ERR_INVALID_ARGUMENT, "invalid-name", "is no name for an instance");
	}
	longest[64] = '\0';
	const char *const good[] = { "x", "run-1", "a.b_c+d-e", "_", "0", longest };
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		make(b, good[i], "", "");
	assert_null(claim(b, "x2", "", "relative", false));
	assert_error(b, ERR_INVALID_ARGUMENT, "", "absolute path");
	static char dir[4000];
	memset(dir, '/', sizeof(dir) - 1);
	assert_null(claim(b, "x3", "", dir, false));
}

/* ---------------------------------------------------------------- lists */

static void test_list(void **state)
{
	struct box *b = *state;
	make_running(b, "b10", "/p", "/1");
	make(b, "b9", "/p", "/2");
	make_running(b, "z", "", "/3");
	size_t count;
	struct instance **rows = registry_list(b->registry, &count);
	assert_int_equal(count, 3);
	assert_string_equal(instance_name(rows[0]), "z");
	assert_string_equal(instance_name(rows[1]), "b9"); /* numbers as numbers */
	assert_string_equal(instance_name(rows[2]), "b10");
	free(rows);
	assert_int_equal(registry_running(b->registry), 2);
}

static void test_remove(void **state)
{
	struct box *b = *state;
	char path[128];
	struct instance *one = make(b, "one", "", "/1"), *two = make(b, "two", "", "/2");
	snprintf(path, sizeof(path), "%s/data", b->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/data/%s", b->dir, instance_id(one));
	assert_int_equal(mkdir(path, 0700), 0);
	registry_remove(b->registry, one, NULL);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(registry_count(b->registry), 1);
	assert_null(find(b, "one", ""));
	assert_ptr_equal(find(b, "two", ""), two);
}

struct watcher {
	struct registry_observer observer;
	int count;
	struct instance *last;
};

static void watcher_on_change(void *ctx, struct instance *inst)
{
	struct watcher *w = ctx;
	w->count++;
	w->last = inst;
}

static void test_observers(void **state)
{
	struct box *b = *state;
	struct watcher w[2] = { 0 };
	for (int i = 0; i < 2; i++) {
		w[i].observer = (struct registry_observer){ .on_change = watcher_on_change, .ctx = &w[i] };
		registry_observe(b->registry, &w[i].observer);
	}
	struct instance *inst = make(b, "x", "", "/1");
	instance_changed(inst);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(w[i].count, 1);
		assert_ptr_equal(w[i].last, inst);
	}
}

/* ---------------------------------------------------------------- start-up */

static Pwemu__V1__Target *make_target(const char *emulator)
{
	Pwemu__V1__Target target = PWEMU__V1__TARGET__INIT;
	target.name = (char *)"board";
	target.emulator = (char *)(uintptr_t)emulator;
	return PB_COPY(Pwemu__V1__Target, &target);
}

/* An instance with a record, as it stands on disk when a daemon ended. */
static char *save(struct box *b, const char *name, const char *dir, const char *emulator, enum inst_state state)
{
	struct instance *inst = make(b, name, "/p", dir);
	Pwemu__V1__StartRequest request = PWEMU__V1__START_REQUEST__INIT;
	char path[128];
	snprintf(path, sizeof(path), "%s/data", b->dir);
	(void)mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/data/%s", b->dir, instance_id(inst));
	assert_int_equal(mkdir(path, 0700), 0);
	inst->log_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	inst->target = make_target(emulator);
	inst->request = PB_COPY(Pwemu__V1__StartRequest, &request);
	inst->state = state;
	inst->restart_at_ns = state == INST_BACKOFF ? clock_wall_ns() + UINT64_C(3600000000000) : 0;
	inst->boot = 3;
	inst->restart_at_ns = state == INST_BACKOFF ? clock_wall_ns() + UINT64_C(3600000000000) : 0;
	store_save(inst);
	inst->state = INST_ENDED;
	return xstrdup(instance_id(inst));
}

static void restart(struct box *b)
{
	registry_free(b->registry);
	b->registry = registry_new(&b->config);
	registry_adopt(b->registry);
}

/* Whatever a record says that nobody runs any more: the next daemon knows it as over, or goes on to start it again. */
static void test_adopt_the_dead(void **state)
{
	struct box *b = *state;
	static const enum inst_state over[INST_STATE_COUNT] = {
		[INST_PREPARING] = INST_FAILED, [INST_BOOTING] = INST_FAILED,   [INST_RUNNING] = INST_ENDED, [INST_PAUSED] = INST_ENDED,
		[INST_STOPPING] = INST_ENDED,   [INST_DRAINING] = INST_ENDED,   [INST_ENDED] = INST_ENDED,   [INST_FAILED] = INST_FAILED,
		[INST_QUEUED] = INST_FAILED, /* its turn has come, and there is no emulator */
		[INST_BACKOFF] = INST_BACKOFF,  [INST_ASSISTING] = INST_FAILED, [INST_CLOSING] = INST_ENDED, [INST_FAILING] = INST_FAILED,
	};
	char *ids[INST_STATE_COUNT];
	for (int s = 0; s < INST_STATE_COUNT; s++) {
		char dir[16];
		snprintf(dir, sizeof(dir), "/%d", s);
		ids[s] = save(b, "x", dir, "qemu", (enum inst_state)s);
	}
	restart(b);
	assert_int_equal(registry_count(b->registry), INST_STATE_COUNT);
	/* That nothing of a running one is left is looked for first. */
	for (uint64_t until_ms = clock_monotonic_ms() + 20000; registry_running(b->registry) > 1 && clock_monotonic_ms() < until_ms;)
		event_base_loop(b->base, EVLOOP_ONCE);
	for (int s = 0; s < INST_STATE_COUNT; s++) {
		struct instance *inst = registry_by_id(b->registry, ids[s]);
		assert_non_null(inst);
		if (instance_state(inst) != over[s])
			fail_msg("%s became %s", inst_state_row((enum inst_state)s)->name, inst_state_row(instance_state(inst))->name);
		assert_string_equal(instance_project(inst), "/p");
		free(ids[s]);
	}
	assert_int_equal(registry_running(b->registry), 1);
}

/* One that cannot be used costs the others nothing. */
static void test_adopt_damaged(void **state)
{
	struct box *b = *state;
	char path[160];
	char *damaged = save(b, "damaged", "/1", "qemu", INST_ENDED), *good = save(b, "good", "/2", "qemu", INST_ENDED);
	char *strange = save(b, "strange", "/3", "bochs", INST_RUNNING);
	snprintf(path, sizeof(path), "%s/data/%s/record", b->dir, damaged);
	assert_int_equal(truncate(path, 100), 0);
	snprintf(path, sizeof(path), "%s/data/abcdef", b->dir); /* a start that came no further */
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/data/not-an-id", b->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "cp -r %s/data/%s %s/data/abcde0", b->dir, good, b->dir); /* somebody's copy */
	assert_int_equal(system(path), 0);
	restart(b);
	assert_int_equal(registry_count(b->registry), 1);
	assert_null(registry_by_id(b->registry, damaged));
	assert_non_null(registry_by_id(b->registry, good));
	snprintf(path, sizeof(path), "%s/data/abcdef", b->dir);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/data/abcde0.broken/record", b->dir);
	assert_int_equal(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "%s/data/%s/record", b->dir, strange); /* it may run, cared for by another daemon: left alone */
	assert_int_equal(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "%s/data/%s", b->dir, damaged);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/data/%s.broken/record", b->dir, damaged);
	assert_int_equal(access(path, F_OK), 0);
	restart(b); /* what was set aside stays there */
	assert_int_equal(registry_count(b->registry), 1);
	free(damaged);
	free(good);
	free(strange);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_empty),
		TEST(test_default),
		TEST(test_only_running),
		TEST(test_ambiguity_names_the_project),
		TEST(test_none_runs_here),
		TEST(test_name_and_id),
		TEST(test_ids),
		TEST(test_project),
		TEST(test_same_name),
		TEST(test_two_defaults),
		TEST(test_nearest),
		TEST(test_claim),
		TEST(test_claim_running),
		TEST(test_claim_fresh),
		TEST(test_names),
		TEST(test_list),
		TEST(test_remove),
		TEST(test_observers),
		TEST(test_adopt_the_dead),
		TEST(test_adopt_damaged),
	};
	struct err err = ERR_INIT;
	if (log_setup("/dev/null", LOG_LEVEL_ERROR, &err) < 0) /* damage is complained about, rightly */
		return 1;
	return cmocka_run_group_tests_name("instance: registry", tests, NULL, NULL);
}
