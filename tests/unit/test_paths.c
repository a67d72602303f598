/* SPDX-License-Identifier: Apache-2.0 */
/* Where sockets and state are, from the environment; and which directories are trusted. */
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

#include "config/paths.h"

struct box {
	char dir[64];
	struct paths paths;
	struct err err;
};

static int box_setup(void **state)
{
	struct box *b = calloc(1, sizeof(*b));
	assert_non_null(b);
	snprintf(b->dir, sizeof(b->dir), "/tmp/pwemu-paths-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	unsetenv("XDG_RUNTIME_DIR");
	unsetenv("XDG_STATE_HOME");
	unsetenv("HOME");
	umask(077);
	*state = b;
	return 0;
}

static int box_teardown(void **state)
{
	struct box *b = *state;
	char command[96];
	snprintf(command, sizeof(command), "rm -rf %s", b->dir);
	int rc = system(command);
	free(b);
	return rc;
}

/* A path below the box. */
static const char *in_box(const struct box *b, const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % 4];
	snprintf(path, sizeof(paths[0]), "%s/%s", b->dir, name);
	return path;
}

static const struct paths *look(struct box *b)
{
	b->err = (struct err)ERR_INIT;
	if (paths_init(&b->paths, &b->err) < 0)
		fail_msg("%s", b->err.msg);
	return &b->paths;
}

static void uid_path(char *out, size_t size, const char *rest)
{
	snprintf(out, size, "/tmp/pwemu-%u%s", (unsigned)geteuid(), rest);
}

static void test_xdg(void **state)
{
	struct box *b = *state;
	setenv("XDG_RUNTIME_DIR", b->dir, 1);
	setenv("XDG_STATE_HOME", "/s", 1);
	setenv("HOME", "/h", 1);
	const struct paths *p = look(b);
	assert_string_equal(p->runtime_dir, in_box(b, "pwemu"));
	assert_string_equal(p->control_socket, in_box(b, "pwemu/control.sock"));
	assert_string_equal(p->state_dir, "/s/pwemu");
}

static void test_nothing_set(void **state)
{
	struct box *b = *state;
	char want[128];
	const struct paths *p = look(b);
	uid_path(want, sizeof(want), "");
	assert_string_equal(p->runtime_dir, want);
	uid_path(want, sizeof(want), "/control.sock");
	assert_string_equal(p->control_socket, want);
	uid_path(want, sizeof(want), "/state");
	assert_string_equal(p->state_dir, want);
	assert_string_equal(p->fallback_state_dir, want);
}

static void test_home(void **state)
{
	setenv("HOME", "/h", 1);
	assert_string_equal(look(*state)->state_dir, "/h/.local/state/pwemu");
}

/* Relative, empty, absent, a file, somebody else's: as if it were not set. */
static void test_useless_values(void **state)
{
	struct box *b = *state;
	char tmp[128], state_dir[128];
	uid_path(tmp, sizeof(tmp), "");
	uid_path(state_dir, sizeof(state_dir), "/state");
	static const char *const values[] = { "", "relative", "/nonexistent/run", "/etc/passwd" };
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		setenv("XDG_RUNTIME_DIR", values[i], 1);
		assert_string_equal(look(b)->runtime_dir, tmp);
	}
	if (geteuid() != 0) {
		setenv("XDG_RUNTIME_DIR", "/", 1);
		assert_string_equal(look(b)->runtime_dir, tmp);
	} else {
		assert_int_equal(chown(b->dir, 12345, 12345), 0);
		setenv("XDG_RUNTIME_DIR", b->dir, 1);
		assert_string_equal(look(b)->runtime_dir, tmp);
		assert_int_equal(chown(b->dir, 0, 0), 0);
	}
	setenv("XDG_STATE_HOME", "relative", 1);
	setenv("HOME", "relative", 1);
	assert_string_equal(look(b)->state_dir, state_dir);
}

static void test_too_long(void **state)
{
	struct box *b = *state;
	char path[PATHS_MAX + 8];
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	setenv("XDG_STATE_HOME", path, 1);
	assert_int_equal(paths_init(&b->paths, &b->err), -1);
	assert_int_equal(b->err.code, ERR_INVALID_ARGUMENT);
	assert_non_null(strstr(b->err.msg, "longer than"));
}

/* The programs of one installation find each other from where this one is: <prefix>/<dir>/<program>. */
static void test_installation(void **state)
{
	char prefix[PATHS_MAX] = "", want[PATHS_MAX + 64];
	assert_true(readlink("/proc/self/exe", prefix, sizeof(prefix) - 1) > 0);
	for (int up = 0; up < 2; up++)
		*strrchr(prefix, '/') = '\0';
	const struct paths *p = look(*state);
	snprintf(want, sizeof(want), "%s/bin/pwemud", prefix);
	assert_string_equal(p->daemon, want);
	snprintf(want, sizeof(want), "%s/libexec/pwemu/pwemu-shim", prefix);
	assert_string_equal(p->shim, want);
	snprintf(want, sizeof(want), "%s/share/pwemu/targets", prefix);
	assert_string_equal(p->targets_dir, want);
}

/* ---------------------------------------------------------------- private directories */

static void assert_refused(struct box *b, const char *dir, enum err_code code, const char *text)
{
	b->err = (struct err)ERR_INIT;
	assert_int_equal(paths_make_private_dir(dir, &b->err), -1);
	assert_int_equal(b->err.code, code);
	if (strstr(b->err.msg, text) == NULL)
		fail_msg("no \"%s\" in: %s", text, b->err.msg);
}

static void test_make_private(void **state)
{
	struct box *b = *state;
	struct stat st;
	umask(0);
	for (int i = 0; i < 2; i++) { /* there already: no error */
		assert_int_equal(paths_make_private_dir(in_box(b, "a/b/c"), &b->err), 0);
		assert_int_equal(stat(in_box(b, "a/b/c"), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0700);
		assert_int_equal(stat(in_box(b, "a"), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0700);
	}
}

static void test_refuse_untrusted(void **state)
{
	struct box *b = *state;
	assert_int_equal(mkdir(in_box(b, "open"), 0700), 0);
	assert_int_equal(chmod(in_box(b, "open"), 0770), 0);
	assert_refused(b, in_box(b, "open"), ERR_PERMISSION_DENIED, "chmod 700");
	assert_int_equal(chmod(in_box(b, "open"), 0755), 0); /* others may look */
	assert_int_equal(paths_make_private_dir(in_box(b, "open"), &b->err), 0);
	assert_int_equal(symlink(b->dir, in_box(b, "link")), 0);
	assert_refused(b, in_box(b, "link"), ERR_FAILED_PRECONDITION, "not a directory");
	int fd = open(in_box(b, "file"), O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_refused(b, in_box(b, "file"), ERR_FAILED_PRECONDITION, "not a directory");
	assert_refused(b, in_box(b, "file/below"), ERR_NOT_FOUND, "file/below");
}

static void test_refuse_foreign(void **state)
{
	struct box *b = *state;
	if (geteuid() == 0) {
		assert_int_equal(mkdir(in_box(b, "theirs"), 0700), 0);
		assert_int_equal(chown(in_box(b, "theirs"), 12345, 12345), 0);
		assert_refused(b, in_box(b, "theirs"), ERR_PERMISSION_DENIED, "belongs to uid 12345");
	} else {
		assert_refused(b, "/usr", ERR_PERMISSION_DENIED, "belongs to uid 0");
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_xdg),
		TEST(test_nothing_set),
		TEST(test_home),
		TEST(test_useless_values),
		TEST(test_too_long),
		TEST(test_installation),
		TEST(test_make_private),
		TEST(test_refuse_untrusted),
		TEST(test_refuse_foreign),
	};
	return cmocka_run_group_tests_name("config: paths", tests, NULL, NULL);
}
