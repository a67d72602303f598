/* SPDX-License-Identifier: Apache-2.0 */
/* Records that are torn, altered or not records at all are refused with a clear error. */
#include "proc_fixture.h"

#include <sys/file.h>

static const char good_run[] = "pwemu-run 1\npid 10\nstart 11\nboot 8c1d0000-0000-0000-0000-00000000000a\nshim 12\nshim_start 13\n"
			       "uid 1000\nmark a:1:b\nend\n";
static const char good_end[] =
	"pwemu-end 1\npid 10\nstart 11\nboot b\nshim 12\nshim_start 13\nexited 1\ncode 3\nsignal 0\nerrno 0\nwhat -\n"
	"time 1\nuser_us 2\nsystem_us 3\nmax_rss_kib 4\nend\n";

static void good_ones(void **state)
{
	(void)state;
	struct proc_run run = { 0 };
	struct proc_end end;
	struct err err = ERR_INIT;
	assert_int_equal(proc_run_parse(good_run, strlen(good_run), &run, &err), 0);
	assert_int_equal(run.pid, 10);
	assert_int_equal(run.start, 11);
	assert_int_equal(run.shim_pid, 12);
	assert_int_equal(run.shim_start, 13);
	assert_int_equal(run.uid, 1000);
	assert_string_equal(run.mark, "a:1:b");
	assert_string_equal(run.boot_id, "8c1d0000-0000-0000-0000-00000000000a");
	assert_int_equal(proc_end_parse(good_end, strlen(good_end), &run, &end, &err), 0);
	assert_int_equal(end.code, 3);
	assert_int_equal(end.user_us, 2);
	assert_int_equal(end.system_us, 3);
	assert_int_equal(end.max_rss_kib, 4);
	assert_string_equal(end.exec_what, "");
	assert_string_equal(run.mark, "a:1:b"); /* not in the end's record, kept */
}

static void torn_ones(void **state)
{
	(void)state;
	struct proc_run run = { 0 };
	struct proc_end end;
	for (size_t len = 0; len < strlen(good_run); len++) {
		struct err err = ERR_INIT;
		assert_int_equal(proc_run_parse(good_run, len, &run, &err), -1);
		assert_int_equal(err.code, ERR_DATA_LOSS);
	}
	for (size_t len = 0; len < strlen(good_end); len++)
		assert_int_equal(proc_end_parse(good_end, len, &run, &end, NULL), -1);
	assert_int_equal(run.pid, 0); /* untouched on failure */
}

static void altered(const char *text, const char *from, const char *to)
{
	char buf[2048];
	struct proc_run run;
	struct proc_end end;
	const char *at = strstr(text, from);
	assert_non_null(at);
	int len = snprintf(buf, sizeof(buf), "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	if (text == good_run)
		len = proc_run_parse(buf, (size_t)len, &run, NULL);
	else
		len = proc_end_parse(buf, (size_t)len, &run, &end, NULL);
	if (len != -1)
		fail_msg("\"%s\" instead of \"%s\" was accepted", to, from);
}

static void altered_ones(void **state)
{
	(void)state;
	char longer[400];
	memset(longer, 'm', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	altered(good_run, "run 1", "run 2");
	altered(good_run, "pid 10", "pid -10");
	altered(good_run, "pid 10", "pid 010");
	altered(good_run, "pid 10", "pid ");
	altered(good_run, "pid 10", "pid 0");
	altered(good_run, "pid 10", "pid 4294967306");
	altered(good_run, "start 11", "start 99999999999999999999");
	altered(good_run, "pid 10\nstart 11", "start 11\npid 10");
	altered(good_run, "a:1:b", longer);
	altered(good_run, "8c1d0000", longer);
	altered(good_run, "end\n", "end\nend\n");
	altered(good_run, "uid 1000\n", "");
	altered(good_end, "exited 1", "exited 0");
	altered(good_end, "signal 0", "signal 9");
	altered(good_end, "errno 0", "errno 2");
	altered(good_end, "code 3", "code 256");
	altered(good_end, "what -", "what a-very-long-explanation-that-has-no-room");
}

static void noise(void **state)
{
	(void)state;
	struct proc_run run;
	struct proc_end end;
	char *text = malloc(strlen(good_end));
	srandom(7);
	for (int i = 0; i < 20000; i++) {
		const char *good = i % 2 == 0 ? good_run : good_end;
		size_t len = strlen(good) < strlen(good_end) ? strlen(good) : strlen(good_end);
		memcpy(text, good, len);
		for (int k = (int)(random() % 4); k >= 0; k--)
			text[(size_t)random() % len] = (char)random();
		/* that it does not crash; the sanitizers look on */
		int result = i % 2 == 0 ? proc_run_parse(text, len, &run, NULL) : proc_end_parse(text, len, &run, &end, NULL);
		assert_in_range(result + 1, 0, 1);
	}
	free(text);
}

static void put(const struct fixture *f, const char *file, const char *text, size_t len)
{
	int fd = openat(f->run_dir, file, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	close(fd);
}

static void adoption_of_bad_ones(void **state)
{
	struct fixture *f = *state;
	static const char *const files[] = { "main.end", "main.run" };
	char *big = calloc(1, 100000);
	memset(big, 'p', 99999);
	for (size_t i = 0; i < 2; i++) {
		struct err err = ERR_INIT;
		struct proc *proc = NULL;
		put(f, files[i], "", 0);
		assert_int_equal(proc_adopt(f->base, f->run_dir, "main", &seen_ops, NULL, &proc, &err), -1);
		assert_int_equal(err.code, ERR_DATA_LOSS);
		assert_non_null(strstr(err.msg, files[i]));
		put(f, files[i], big, 99999);
		assert_int_equal(proc_adopt(f->base, f->run_dir, "main", &seen_ops, NULL, &proc, &err), -1);
		assert_int_equal(err.code, ERR_DATA_LOSS);
		assert_true(file_exists(f, files[i])); /* it may be wanted as evidence */
		unlinkat(f->run_dir, files[i], 0);
		/* not followed, not waited for */
		assert_int_equal(mkfifoat(f->run_dir, files[i], 0600), 0);
		assert_int_equal(proc_adopt(f->base, f->run_dir, "main", &seen_ops, NULL, &proc, &err), -1);
		unlinkat(f->run_dir, files[i], 0);
		assert_int_equal(symlinkat("/etc/passwd", f->run_dir, files[i]), 0);
		assert_int_equal(proc_adopt(f->base, f->run_dir, "main", &seen_ops, NULL, &proc, &err), -1);
		unlinkat(f->run_dir, files[i], 0);
	}
	free(big);
}

/* A shim that lives knows better than a record that somebody spoilt. */
static void bad_record_under_a_living_shim(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	struct shell shell;
	struct proc *proc = spawn(f, &shell_init(&shell, f, "main", "sleep 1000")->spec, &seen);
	run_until(f, &seen.started, 1);
	pid_t pid = seen.pid;
	proc_free(proc);
	put(f, "main.run", "junk", 4);
	seen = (struct seen){ 0 };
	proc = adopt(f, "main", &seen);
	run_until(f, &seen.started, 1);
	assert_int_equal(seen.pid, pid);
	finish(f, proc, &seen);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_ones), cmocka_unit_test(torn_ones), cmocka_unit_test(altered_ones),
		cmocka_unit_test(noise),     TEST(adoption_of_bad_ones),  TEST(bad_record_under_a_living_shim),
	};
	return cmocka_run_group_tests_name("proc_record", tests, NULL, NULL);
}
