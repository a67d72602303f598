/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are there whole or not at all; checksums; words for a shell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/atomic.h"
#include "client/quote.h"
#include "config/sha256.h"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/pwemu-files.XXXXXX");
	return mkdtemp(dir) != NULL && chdir(dir) == 0 ? 0 : -1;
}

static size_t count_entries(void)
{
	DIR *d = opendir(dir);
	size_t count = 0;
	for (const struct dirent *entry; (entry = readdir(d)) != NULL;)
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(d);
	return count;
}

static int teardown(void **state)
{
	static const char *const names[] = { "a", "b", "link" };
	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(names[i]);
	rmdir("sub");
	return chdir("/") == 0 && rmdir(dir) == 0 ? 0 : -1;
}

static void write_file(const char *path, const char *text)
{
	FILE *to = fopen(path, "w");
	assert_non_null(to);
	fputs(text, to);
	fclose(to);
}

static void assert_file(const char *path, const char *text)
{
	char buf[64] = "";
	FILE *from = fopen(path, "r");
	assert_non_null(from);
	(void)!fread(buf, 1, sizeof(buf) - 1, from);
	fclose(from);
	assert_string_equal(buf, text);
}

static void test_commit(void **state)
{
	struct atomic atomic;
	struct stat st;
	struct err err = ERR_INIT;
	(void)state;
	write_file("a", "old");
	assert_int_equal(symlink("a", "link"), 0);
	assert_int_equal(atomic_open(&atomic, "link", &err), 0);
	fputs("new", atomic.file);
	fflush(atomic.file);
	assert_file("a", "old"); /* until it is complete */
	assert_int_equal(atomic_commit(&atomic, &err), 0);
	atomic_abort(&atomic);
	assert_file("a", "new");
	assert_int_equal(lstat("link", &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(count_entries(), 2);
	assert_int_equal(stat("a", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
}

static void test_abort(void **state)
{
	struct atomic atomic;
	struct err err = ERR_INIT;
	(void)state;
	write_file("a", "old");
	assert_int_equal(atomic_open(&atomic, "a", &err), 0);
	fputs("new", atomic.file);
	atomic_abort(&atomic);
	assert_file("a", "old");
	assert_int_equal(count_entries(), 1);
}

static void test_refused(void **state)
{
	static const char *const paths[] = { "sub", "nowhere/x", "", "a/x" };
	struct atomic atomic;
	(void)state;
	write_file("a", "old");
	assert_int_equal(mkdir("sub", 0755), 0);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct err err = ERR_INIT;
		assert_int_equal(atomic_open(&atomic, paths[i], &err), -1);
		assert_non_null(strstr(err.msg, paths[i]));
		err = (struct err)ERR_INIT;
		assert_int_equal(atomic_prepare(paths[i], &err), -1);
	}
	assert_int_equal(count_entries(), 2);
}

static void test_prepare(void **state)
{
	struct err err = ERR_INIT;
	(void)state;
	write_file("a", "old");
	assert_int_equal(atomic_prepare("a", &err), 0);
	assert_int_equal(atomic_prepare("b", &err), 0);
	assert_int_equal(atomic_prepare("/dev/null", &err), 0);
	assert_int_equal(access("/dev/null", W_OK), 0);
	assert_int_equal(count_entries(), 0);
}

/* What is no file is written where it is. */
static void test_device(void **state)
{
	struct atomic atomic;
	struct stat st;
	struct err err = ERR_INIT;
	(void)state;
	assert_int_equal(atomic_open(&atomic, "/dev/null", &err), 0);
	fputs("x", atomic.file);
	assert_int_equal(atomic_commit(&atomic, &err), 0);
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(atomic_open(&atomic, "/dev/full", &err), 0);
	fputs("x", atomic.file);
	assert_int_equal(atomic_commit(&atomic, &err), -1);
	assert_non_null(strstr(err.msg, "/dev/full\": No space left"));
}

static void assert_sum(const char *text, size_t repeat, const char *want)
{
	char have[2 * SHA256_SIZE + 1];
	FILE *to = fopen("a", "w");
	for (size_t i = 0; i < repeat; i++)
		fputs(text, to);
	fclose(to);
	assert_int_equal(sha256_file("a", have), 0);
	assert_string_equal(have, want);
}

static void test_sha256(void **state)
{
	char hex[2 * SHA256_SIZE + 1];
	(void)state;
	assert_sum("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_sum("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_sum("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
		   "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	assert_sum("a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	assert_int_equal(sha256_file("nowhere", hex), -1);
	assert_int_equal(sha256_file("/", hex), -1);
}

static void test_quote(void **state)
{
	static const char *const rows[][2] = { { "a-b=/c", "a-b=/c" }, { "", "''" }, { "a b", "'a b'" }, { "it's", "'it'\\''s'" } };
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *out = NULL;
		size_t size;
		FILE *to = open_memstream(&out, &size);
		quote_for_shell(to, rows[i][0]);
		fclose(to);
		assert_string_equal(out, rows[i][1]);
		free(out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_commit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_abort, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_prepare, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sha256, setup, teardown),
		cmocka_unit_test(test_quote),
	};
	umask(022);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
