/* SPDX-License-Identifier: Apache-2.0 */
/* Descendants from a /proc made by hand, since not every kernel has the children files. */
#include "proc_fixture.h"

#include "shim/text.c"
#include "shim/tree.c"

static char proc_dir[64];

static void make(const char *path, const char *text)
{
	char full[256];
	snprintf(full, sizeof(full), "%s/%s", proc_dir, path);
	for (char *at = full + strlen(proc_dir) + 1; (at = strchr(at, '/')) != NULL; at++) {
		*at = '\0';
		mkdir(full, 0700);
		*at = '/';
	}
	FILE *file = fopen(full, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void make_process(int pid, int parent, const char *command, const char *children)
{
	char path[64], stat_line[256];
	snprintf(path, sizeof(path), "%d/stat", pid);
	snprintf(stat_line, sizeof(stat_line), "%d (%s) S %d 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 %d 100 200\n", pid, command, parent,
		 pid * 10);
	make(path, stat_line);
	snprintf(path, sizeof(path), "%d/task/%d/children", pid, pid);
	if (children != NULL)
		make(path, children);
}

static int setup(void **state)
{
	(void)state;
	snprintf(proc_dir, sizeof(proc_dir), "/tmp/pwemu-tree-XXXXXX");
	return mkdtemp(proc_dir) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	char command[128];
	snprintf(command, sizeof(command), "rm -rf %s", proc_dir);
	return system(command);
}

static bool contains(const struct tree *tree, pid_t pid)
{
	for (size_t i = 0; i < tree->count; i++)
		if (tree->entries[i].pid == pid && tree->entries[i].inside)
			return tree->entries[i].start == (uint64_t)pid * 10;
	return false;
}

static size_t count_inside(const struct tree *tree)
{
	size_t count = 0;
	for (size_t i = 0; i < tree->count; i++)
		count += tree->entries[i].inside;
	return count;
}

static void reads_stat(void **state)
{
	(void)state;
	pid_t parent = 0;
	uint64_t start = 0;
	make_process(7, 3, "a) S 9 (b", NULL);
	assert_true(tree_read_stat(proc_dir, 7, &parent, &start));
	assert_int_equal(parent, 3);
	assert_int_equal(start, 70);
	make("8/stat", "8 (x) S 1 2");
	assert_false(tree_read_stat(proc_dir, 8, &parent, &start));
	make("9/stat", "");
	assert_false(tree_read_stat(proc_dir, 9, &parent, &start));
	assert_false(tree_read_stat(proc_dir, 10, &parent, &start));
	/* a real one */
	assert_true(tree_read_stat("/proc", getpid(), &parent, &start));
	assert_int_equal(parent, getppid());
	assert_true(proc_is_same(getpid(), start));
}

static void walks(void **state)
{
	(void)state;
	struct tree tree = { 0 };
	assert_false(tree_walk(proc_dir, 100, &tree)); /* no such kernel */
	make_process(100, 1, "shim", "101 ");
	make_process(101, 100, "main", "102 103 ");
	make("101/task/150/children", "104 "); /* of another thread */
	make_process(102, 101, "a", "");
	make_process(103, 101, "b", "105");
	make_process(104, 101, "c", "");
	make_process(105, 103, "d", "");
	make_process(200, 1, "stranger", "");
	assert_true(tree_walk(proc_dir, 100, &tree));
	assert_int_equal(count_inside(&tree), 5);
	for (pid_t pid = 101; pid <= 105; pid++)
		assert_true(contains(&tree, pid));
	tree_free(&tree);
	assert_int_equal(tree.count, 0);
}

static void walks_far(void **state)
{
	(void)state;
	struct tree tree = { 0 };
	/* longer than one read, than one mapping */
	char *children = calloc(1, 400 * 8), *at = children;
	for (int i = 0; i < 400; i++) {
		at += snprintf(at, 8, "%d ", 10000 + i);
		make_process(10000 + i, 100, "x", "");
	}
	make_process(100, 1, "shim", children);
	assert_true(tree_walk(proc_dir, 100, &tree));
	assert_int_equal(count_inside(&tree), 400);
	for (int i = 0; i < 400; i++)
		assert_true(contains(&tree, 10000 + i));
	tree_free(&tree);
	free(children);
}

static void scans(void **state)
{
	(void)state;
	struct tree tree = { 0 };
	make_process(100, 1, "shim", NULL);
	make_process(50, 60, "deepest first", NULL);
	make_process(60, 70, "b", NULL);
	make_process(70, 100, "c", NULL);
	make_process(80, 1, "stranger", NULL);
	make_process(90, 80, "stranger's", NULL);
	make("self/stat", "100 (x) S 100");
	tree_scan(proc_dir, 100, &tree);
	assert_int_equal(count_inside(&tree), 3);
	assert_true(contains(&tree, 50) && contains(&tree, 60) && contains(&tree, 70));
	tree_free(&tree);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(reads_stat), TEST(walks), TEST(walks_far), TEST(scans) };
	return cmocka_run_group_tests_name("shim_tree", tests, NULL, NULL);
}
