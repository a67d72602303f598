/* SPDX-License-Identifier: Apache-2.0 */
/* Rights of users on instances, and how instances of others are named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/settings.h"
#include "instance/priv.h"
#include "instance/registry.h"
#include "loop/loop.h"
#include "wire/mem.h"

static const struct user alice = { .uid = 1001, .gid = 1001, .name = (char[]){ "alice" }, .is_named = true };
static const struct user bob = {
	.uid = 1002, .gid = 1002, .groups = (gid_t[]){ 50, 60 }, .group_count = 2, .name = (char[]){ "bob" }, .is_named = true
};

struct box {
	char dir[64], run[80];
	struct event_base *base;
	struct settings settings;
	struct registry *registry;
	struct err err;
};

static int box_setup(void **state)
{
	struct box *b = xcalloc(1, sizeof(*b));
	snprintf(b->dir, sizeof(b->dir), "/tmp/pwemu-access-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	snprintf(b->run, sizeof(b->run), "%s/run", b->dir);
	b->base = loop_new();
	settings_init(&b->settings);
	struct registry_config config = {
		.base = b->base, .shim = "/none", .state_dir = b->dir, .run_dir = b->run, .is_system = true, .settings = &b->settings
	};
	b->registry = registry_new(&config);
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

static struct instance *claim(struct box *b, const struct user *user, const char *name, const char *dir)
{
	Pwemu__V1__StartRequest request = PWEMU__V1__START_REQUEST__INIT;
	request.name = (char *)(uintptr_t)name;
	request.working_dir = (char *)(uintptr_t)dir;
	b->err = (struct err)ERR_INIT;
	struct instance *inst = registry_claim(b->registry, &request, user, &b->err);
	if (inst != NULL)
		inst->state = INST_RUNNING;
	return inst;
}

static struct instance *find(struct box *b, const struct user *user, const char *name, enum right right)
{
	Pwemu__V1__InstanceRef ref = PWEMU__V1__INSTANCE_REF__INIT;
	struct caller caller = { user, user->uid == 0 };
	ref.name = (char *)(uintptr_t)name;
	b->err = (struct err)ERR_INIT;
	return registry_find(b->registry, &ref, &caller, right, &b->err);
}

static void share(struct instance *inst, bool is_group, uint32_t id, enum right right)
{
	struct share row = { .is_group = is_group, .id = id, .name = (char[]){ "x" }, .right = right };
	assert_true(shares_put(&inst->shares, &row));
}

static void test_rights_contain_one_another(void **state)
{
	struct box *b = *state;
	struct instance *inst = claim(b, &alice, "board", "/d");
	const struct caller owner = { &alice, false }, other = { &bob, false }, admin = { &bob, true };
	assert_int_equal(instance_right(inst, &owner), RIGHT_CONTROL);
	assert_int_equal(instance_right(inst, &admin), RIGHT_CONTROL);
	assert_int_equal(instance_right(inst, &other), RIGHT_NONE);
	share(inst, true, 60, RIGHT_VIEW);
	share(inst, true, 70, RIGHT_CONTROL); /* a group that he is not in */
	assert_int_equal(instance_right(inst, &other), RIGHT_VIEW);
	share(inst, false, 1002, RIGHT_WRITE); /* the best of them counts */
	assert_int_equal(instance_right(inst, &other), RIGHT_WRITE);
	assert_true(shares_remove(&inst->shares, false, 1002));
	assert_false(shares_remove(&inst->shares, false, 1002));
	assert_int_equal(instance_right(inst, &other), RIGHT_VIEW);
	share(inst, true, 60, RIGHT_CONTROL); /* replaces */
	assert_int_equal(inst->shares.count, 2);
	assert_int_equal(instance_right(inst, &other), RIGHT_CONTROL);
}

static void test_a_group_is_no_user(void **state)
{
	struct instance *inst = claim(*state, &alice, "board", "/d");
	const struct caller other = { &bob, false };
	share(inst, true, 1002, RIGHT_VIEW); /* his first group */
	assert_int_equal(instance_right(inst, &other), RIGHT_VIEW);
	shares_fini(&inst->shares);
	share(inst, false, 60, RIGHT_VIEW); /* the user 60 */
	assert_int_equal(instance_right(inst, &other), RIGHT_NONE);
	assert_int_equal(shares_right_of_uid(&inst->shares, 60), RIGHT_VIEW);
}

static void test_members_at_ports(void **state)
{
	struct instance *inst = claim(*state, &alice, "board", "/d");
	struct share row = { true, 60, (char[]){ "g" }, RIGHT_WRITE, 0, (uid_t[]){ 7, 1002 }, 2 };
	assert_true(shares_put(&inst->shares, &row));
	assert_int_equal(shares_right_of_uid(&inst->shares, 1002), RIGHT_WRITE);
	assert_int_equal(shares_right_of_uid(&inst->shares, 60), RIGHT_NONE);
}

static void test_shares_have_an_end(void **state)
{
	struct instance *inst = claim(*state, &alice, "board", "/d");
	for (uint32_t i = 0; i < SHARES_MAX; i++)
		share(inst, false, 2000 + i, RIGHT_VIEW);
	struct share more = { .id = 1, .name = (char[]){ "x" }, .right = RIGHT_VIEW };
	assert_false(shares_put(&inst->shares, &more));
	more.id = 2000;
	assert_true(shares_put(&inst->shares, &more));
}

static void test_names_of_others(void **state)
{
	struct box *b = *state;
	struct instance *hers = claim(b, &alice, "board", "/d"), *his = claim(b, &bob, "board", "/d");
	assert_ptr_not_equal(hers, his); /* the same directory, and name */
	assert_ptr_equal(find(b, &alice, "board", RIGHT_CONTROL), hers);
	assert_ptr_equal(find(b, &bob, "board", RIGHT_CONTROL), his);
	assert_ptr_equal(find(b, &bob, "bob/board", RIGHT_CONTROL), his);
	assert_null(find(b, &bob, "alice/board", RIGHT_VIEW));
	assert_int_equal(b->err.code, ERR_NOT_FOUND);
	assert_null(find(b, &bob, instance_id(hers), RIGHT_VIEW));
	assert_int_equal(b->err.code, ERR_NOT_FOUND);
	share(hers, false, 1002, RIGHT_VIEW);
	assert_ptr_equal(find(b, &bob, "alice/board", RIGHT_VIEW), hers);
	assert_ptr_equal(find(b, &bob, "1001/board", RIGHT_VIEW), hers);
	assert_ptr_equal(find(b, &bob, instance_id(hers), RIGHT_VIEW), hers);
	assert_null(find(b, &bob, "alice/board", RIGHT_WRITE));
	assert_int_equal(b->err.code, ERR_PERMISSION_DENIED);
	assert_non_null(strstr(b->err.msg, "pwemu share -i board --with bob write"));
	static const char *const nothing[] = { "alice/", "/board", "/", "alice/board/x", "eve/board", "alice/boar" };
	for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++)
		assert_null(find(b, &bob, nothing[i], RIGHT_VIEW));
}

/* One that is shared does not make one that is not visible. */
static void test_only_what_is_shared(void **state)
{
	struct box *b = *state;
	struct instance *shown = claim(b, &alice, "shown", "/1");
	claim(b, &alice, "hidden", "/2");
	share(shown, false, 1002, RIGHT_CONTROL);
	assert_ptr_equal(find(b, &bob, "alice/shown", RIGHT_CONTROL), shown);
	assert_null(find(b, &bob, "alice/hidden", RIGHT_VIEW));
	assert_int_equal(b->err.code, ERR_NOT_FOUND);
	assert_null(strstr(b->err.msg, "mean")); /* nor is it hinted at */
}

static void test_limits(void **state)
{
	struct box *b = *state;
	const struct user root = { .uid = 0, .name = (char[]){ "root" } };
	b->settings.user_instances = 2;
	b->settings.all_instances = 3;
	claim(b, &alice, "1", "/1");
	assert_non_null(claim(b, &alice, "2", "/2"));
	assert_null(claim(b, &alice, "3", "/3"));
	assert_int_equal(b->err.code, ERR_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(b->err.msg, "alice has 2 instances, and the limit is 2 (setting user-instances)"));
	struct instance *his = claim(b, &bob, "1", "/1");
	assert_null(claim(b, &bob, "2", "/2"));
	assert_non_null(strstr(b->err.msg, "all-instances"));
	assert_non_null(claim(b, &root, "1", "/r"));
	his->state = INST_ENDED;
	b->settings.all_instances = 0; /* none */
	assert_non_null(claim(b, &bob, "2", "/2"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_rights_contain_one_another),
		TEST(test_a_group_is_no_user),
		TEST(test_members_at_ports),
		TEST(test_shares_have_an_end),
		TEST(test_names_of_others),
		TEST(test_only_what_is_shared),
		TEST(test_limits),
	};
	return cmocka_run_group_tests_name("instance: access", tests, NULL, NULL);
}
