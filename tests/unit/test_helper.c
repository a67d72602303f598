/* SPDX-License-Identifier: Apache-2.0 */
#include "proc_fixture.h"

#include "loop/helper.h"
#include "loop/timer.h"

struct outcome {
	int done, fds;
	char reply[256];
	size_t len;
	struct err err;
	bool failed;
	int fd;
	struct helper *cancel_in_call;
};

static void outcome_on_done(void *ctx, const void *reply, size_t len, const struct err *err)
{
	struct outcome *outcome = ctx;
	outcome->done++;
	outcome->len = len;
	outcome->failed = err != NULL;
	if (err != NULL)
		outcome->err = *err;
	if (reply != NULL)
		memcpy(outcome->reply, reply, len < sizeof(outcome->reply) ? len : sizeof(outcome->reply));
	helper_cancel(outcome->cancel_in_call);
}

static void outcome_on_fd(void *ctx, int fd)
{
	struct outcome *outcome = ctx;
	outcome->fds++;
	outcome->fd = fd;
}

static struct helper *run(struct fixture *f, struct helper_spec spec, struct outcome *outcome)
{
	struct err err = ERR_INIT;
	struct helper *helper = NULL;
	*outcome = (struct outcome){ .fd = -1 };
	spec.name = "test";
	spec.on_done = outcome_on_done;
	spec.on_fd = outcome_on_fd;
	spec.ctx = outcome;
	if (spec.max_reply == 0)
		spec.max_reply = 1 << 20;
	if (spec.deadline_ms == 0)
		spec.deadline_ms = DEADLINE_MS;
	assert_int_equal(helper_run(f->base, &spec, &helper, &err), 0);
	return helper;
}

/* What was left behind is reaped: nothing is waited for any more. */
static void drain(struct fixture *f)
{
	event_base_dispatch(f->base);
}

static void write_fully(int fd, const void *data, size_t len)
{
	for (const char *at = data; len > 0;) {
		ssize_t n = write(fd, at, len);
		if (n <= 0)
			_exit(9);
		at += n;
		len -= (size_t)n;
	}
}

static void work_echo(void *arg, int reply_fd)
{
	write_fully(reply_fd, arg, strlen(arg));
}

static void replies(void **state)
{
	struct outcome outcome;
	char word[] = "hello";
	run(*state, (struct helper_spec){ .work = work_echo, .arg = word }, &outcome);
	assert_int_equal(outcome.done, 0);
	run_until(*state, &outcome.done, 1);
	assert_false(outcome.failed);
	assert_int_equal(outcome.len, 5);
	assert_string_equal(outcome.reply, "hello");
	drain(*state);
}

static void work_big(void *arg, int reply_fd)
{
	size_t len = *(const size_t *)arg;
	char *data = calloc(1, len);
	memset(data, 'b', len);
	write_fully(reply_fd, data, len);
	free(data);
}

static void work_hang(void *arg, int reply_fd)
{
	(void)arg;
	(void)reply_fd;
	signal(SIGTERM, SIG_IGN);
	for (;;)
		pause();
}

static void work_word_and_hang(void *arg, int reply_fd)
{
	work_echo(arg, reply_fd);
	work_hang(NULL, reply_fd);
}

/* Its last byte is waited for, its death is not; it is seen to all the same. */
static void exact_reply(void **state)
{
	struct outcome outcome;
	char word[] = "hello";
	run(*state, (struct helper_spec){ .work = work_word_and_hang, .arg = word, .max_reply = 5, .is_exact = true }, &outcome);
	run_until(*state, &outcome.done, 1);
	assert_false(outcome.failed);
	assert_int_equal(outcome.len, 5);
	drain(*state);
	assert_int_equal(outcome.done, 1);
	run(*state, (struct helper_spec){ .work = work_echo, .arg = word, .max_reply = 6, .is_exact = true }, &outcome);
	run_until(*state, &outcome.done, 1);
	assert_int_equal(outcome.len, 5); /* it is on_done that sees to that */
	drain(*state);
}

static void bounded_reply(void **state)
{
	struct outcome outcome;
	size_t len = 3000000;
	run(*state, (struct helper_spec){ .work = work_big, .arg = &len, .max_reply = len }, &outcome);
	run_until(*state, &outcome.done, 1);
	assert_false(outcome.failed);
	assert_int_equal(outcome.len, len);
	run(*state, (struct helper_spec){ .work = work_big, .arg = &len, .max_reply = len - 1 }, &outcome);
	run_until(*state, &outcome.done, 1);
	assert_true(outcome.failed);
	assert_int_equal(outcome.err.code, ERR_RESOURCE_EXHAUSTED);
	drain(*state);
	assert_int_equal(outcome.done, 1);
}

static void deadline(void **state)
{
	struct outcome outcome;
	run(*state, (struct helper_spec){ .work = work_hang, .deadline_ms = 50 }, &outcome);
	run_until(*state, &outcome.done, 1);
	assert_int_equal(outcome.err.code, ERR_DEADLINE_EXCEEDED);
	drain(*state);
	assert_int_equal(outcome.done, 1);
}

static void cancelled(void **state)
{
	struct outcome outcome;
	struct helper *helper = run(*state, (struct helper_spec){ .work = work_hang }, &outcome);
	helper_cancel(helper);
	drain(*state);
	assert_int_equal(outcome.done, 0);
	helper_cancel(NULL);
}

static void work_die(void *arg, int reply_fd)
{
	const int *how = arg;
	write_fully(reply_fd, "partial", 7);
	if (*how < 0)
		kill(getpid(), -*how);
	_exit(*how);
}

static void death(void **state)
{
	struct outcome outcome;
	int how = 3;
	run(*state, (struct helper_spec){ .work = work_die, .arg = &how }, &outcome);
	run_until(*state, &outcome.done, 1);
	assert_int_equal(outcome.err.code, ERR_INTERNAL);
	assert_string_equal(outcome.err.msg, "test exited with 3");
	assert_int_equal(outcome.len, 0); /* no half reply */
	how = -SIGKILL;
	run(*state, (struct helper_spec){ .work = work_die, .arg = &how }, &outcome);
	run_until(*state, &outcome.done, 1);
	assert_int_equal(outcome.err.code, ERR_INTERNAL);
	assert_string_equal(outcome.err.msg, "test died of signal 9");
	drain(*state);
}

static void work_look(void *arg, int reply_fd)
{
	(void)arg;
	struct sigaction pipe_action;
	sigset_t blocked;
	sigaction(SIGPIPE, NULL, &pipe_action);
	sigprocmask(SIG_BLOCK, NULL, &blocked);
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	while ((entry = readdir(dir)) != NULL) {
		long fd = strtol(entry->d_name, NULL, 10);
		if (fd > 2 && fd != dirfd(dir) && fd != reply_fd)
			dprintf(reply_fd, "fd %ld ", fd);
	}
	closedir(dir);
	dprintf(reply_fd, "pipe %d blocked %d uid %d gid %d", pipe_action.sa_handler == SIG_IGN, sigismember(&blocked, SIGTERM),
		(int)getuid(), (int)getgid());
}

static void surroundings(void **state)
{
	struct outcome outcome;
	char wanted[128];
	int kept = fcntl(0, F_DUPFD_CLOEXEC, 100), other = fcntl(0, F_DUPFD_CLOEXEC, 50);
	uid_t uid = geteuid() == 0 ? 1234 : geteuid();
	gid_t gid = geteuid() == 0 ? 1235 : getegid();
	struct user user = { .uid = uid, .gid = gid };
	struct helper_spec spec = { .user = &user, .work = work_look, .keep_fds = &kept, .keep_count = 1 };
	run(*state, spec, &outcome);
	run_until(*state, &outcome.done, 1);
	snprintf(wanted, sizeof(wanted), "fd 100 pipe 0 blocked 0 uid %d gid %d", (int)uid, (int)gid);
	assert_string_equal(outcome.reply, wanted);
	close(kept);
	close(other);
	drain(*state);
}

static void work_pass(void *arg, int reply_fd)
{
	(void)arg;
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	write_fully(reply_fd, "before", 6);
	if (fd < 0 || !helper_send_fd(reply_fd, fd))
		_exit(8);
	write_fully(reply_fd, "after", 5);
}

static void passes_a_descriptor(void **state)
{
	struct outcome outcome;
	char byte = 1;
	run(*state, (struct helper_spec){ .work = work_pass }, &outcome);
	run_until(*state, &outcome.done, 1);
	assert_false(outcome.failed);
	assert_string_equal(outcome.reply, "beforeafter");
	assert_int_equal(outcome.fds, 1);
	assert_int_equal(fcntl(outcome.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(read(outcome.fd, &byte, 1), 1);
	assert_int_equal(byte, 0);
	close(outcome.fd);
	drain(*state);
}

/* A grandchild that keeps the reply open delays nothing. */
static void work_fork(void *arg, int reply_fd)
{
	write_fully(reply_fd, "done", 4);
	pid_t pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	*(volatile int *)arg = 0;
	dprintf(reply_fd, " %d", (int)pid);
}

static void grandchild(void **state)
{
	struct outcome outcome;
	int unused;
	run(*state, (struct helper_spec){ .work = work_fork, .arg = &unused }, &outcome);
	run_until(*state, &outcome.done, 1);
	assert_false(outcome.failed);
	pid_t pid = (pid_t)strtol(outcome.reply + 5, NULL, 10);
	assert_true(pid > 1);
	kill(pid, SIGKILL);
	drain(*state);
}

/* on_done may cancel the very helper it is about. */
static void cancel_in_its_callback(void **state)
{
	struct outcome outcome;
	char word[] = "x";
	struct helper *helper = run(*state, (struct helper_spec){ .work = work_echo, .arg = word }, &outcome);
	outcome.cancel_in_call = helper;
	run_until(*state, &outcome.done, 1);
	drain(*state);
	assert_int_equal(outcome.done, 1);
}

static void many(void **state)
{
	struct fixture *f = *state;
	struct outcome outcomes[40];
	char words[40][16];
	for (int i = 0; i < 40; i++) {
		snprintf(words[i], sizeof(words[i]), "w%d", i);
		run(f, (struct helper_spec){ .work = work_echo, .arg = words[i] }, &outcomes[i]);
	}
	drain(f);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(outcomes[i].done, 1);
		assert_string_equal(outcomes[i].reply, words[i]);
	}
}

/* ---------------------------------------------------------------- those that stay */

/* "PID UID UMASK WORD" */
static void serve_echo(const void *job, size_t len, int reply_fd)
{
	mode_t mask = umask(0);
	dprintf(reply_fd, "%d %d %o %.*s", (int)getpid(), (int)getuid(), (unsigned)mask, (int)len, (const char *)job);
}

static void serve_hang(const void *job, size_t len, int reply_fd)
{
	(void)job, (void)len;
	work_hang(NULL, reply_fd);
}

static void serve_length(const void *job, size_t len, int reply_fd)
{
	(void)job;
	dprintf(reply_fd, "%d %zu", (int)getpid(), len);
}

static void await_death(struct fixture *f, pid_t pid)
{
	const struct timeval look = { .tv_usec = 10000 };
	uint64_t until_ms = clock_monotonic_ms() + DEADLINE_MS;
	while (kill(pid, 0) == 0 && clock_monotonic_ms() < until_ms) {
		event_base_loopexit(f->base, &look);
		event_base_loop(f->base, 0);
	}
	assert_int_equal(kill(pid, 0), -1);
}

static struct helper *give(struct fixture *f, const char *word, const struct user *user, struct outcome *outcome)
{
	return run(f, (struct helper_spec){ .serve = serve_echo, .job = word, .job_len = strlen(word), .user = user }, outcome);
}

static pid_t serve(struct fixture *f, const char *word, const struct user *user)
{
	struct outcome outcome;
	char said[32];
	give(f, word, user, &outcome);
	run_until(f, &outcome.done, 1);
	assert_false(outcome.failed);
	mode_t mask = umask(0);
	umask(mask);
	snprintf(said, sizeof(said), "%d %o %s", (int)(user != NULL ? user->uid : getuid()), (unsigned)mask, word);
	assert_string_equal(strchr(outcome.reply, ' ') + 1, said);
	return (pid_t)strtol(outcome.reply, NULL, 10);
}

/* One process does job after job of a user, as if each were its first; others' are not its own. */
static void stays(void **state)
{
	gid_t group = 77;
	const struct user one = { .uid = 1234, .gid = 1235 }, other = { .uid = 1234, .gid = 1235, .groups = &group, .group_count = 1 };
	pid_t own = serve(*state, "first", NULL);
	for (int i = 0; i < 20; i++)
		assert_int_equal(serve(*state, i % 2 == 0 ? "second" : "third", NULL), own);
	if (geteuid() == 0) {
		pid_t ones = serve(*state, "x", &one), others = serve(*state, "y", &other);
		assert_true(own != ones && own != others && ones != others);
		assert_int_equal(serve(*state, "z", &other), others);
		assert_int_equal(serve(*state, "z", &one), ones);
	}
	helper_dismiss(((struct fixture *)*state)->base);
	drain(*state);
}

/* Two jobs at a time are two processes', and both stay. */
static void stay_beside_each_other(void **state)
{
	struct fixture *f = *state;
	struct outcome outcomes[2];
	pid_t pids[2];
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 2; i++)
			give(f, "w", NULL, &outcomes[i]);
		for (int i = 0; i < 2; i++) {
			run_until(f, &outcomes[i].done, 1);
			pid_t pid = (pid_t)strtol(outcomes[i].reply, NULL, 10);
			assert_true(round == 0 || pid == pids[0] || pid == pids[1]);
			pids[i] = round == 0 ? pid : pids[i];
		}
		assert_int_not_equal(pids[0], pids[1]);
	}
	helper_dismiss(f->base);
	drain(f);
}

/* One that has ended while it waited is replaced; one that is at a job is given up with it. */
static void stays_and_dies(void **state)
{
	struct fixture *f = *state;
	struct outcome outcome;
	pid_t pid = serve(f, "a", NULL);
	assert_int_equal(kill(pid, SIGKILL), 0);
	await_death(f, pid);
	assert_int_not_equal(serve(f, "b", NULL), pid);
	struct helper_spec hang = { .serve = serve_hang, .job = "", .deadline_ms = 50 };
	pid = serve(f, "c", NULL);
	run(f, hang, &outcome);
	run_until(f, &outcome.done, 1);
	assert_int_equal(outcome.err.code, ERR_DEADLINE_EXCEEDED);
	pid_t next = serve(f, "d", NULL);
	assert_int_not_equal(next, pid);
	hang.deadline_ms = DEADLINE_MS;
	helper_cancel(run(f, hang, &outcome));
	assert_int_not_equal(serve(f, "e", NULL), next);
	assert_int_equal(outcome.done, 0);
	helper_dismiss(f->base);
	drain(f);
}

static void serve_word_and_hang(const void *job, size_t len, int reply_fd)
{
	serve_length(job, len, reply_fd);
	work_hang(NULL, reply_fd);
}

/* One that has answered and does not say that it waits is not waited for. */
static void stays_and_hangs(void **state)
{
	struct fixture *f = *state;
	struct outcome outcome;
	char expected[32];
	pid_t pid = serve(f, "a", NULL);
	size_t len = (size_t)snprintf(expected, sizeof(expected), "%d 0", (int)pid);
	run(f, (struct helper_spec){ .serve = serve_word_and_hang, .job = "", .max_reply = len, .is_exact = true }, &outcome);
	run_until(f, &outcome.done, 1);
	assert_string_equal(outcome.reply, expected);
	assert_int_not_equal(serve(f, "b", NULL), pid);
	await_death(f, pid);
	helper_dismiss(f->base);
	drain(f);
}

/* A job that fits in no message is done all the same. */
static void long_jobs(void **state)
{
	struct fixture *f = *state;
	struct outcome outcome;
	size_t len = 1 << 20;
	char *job = calloc(1, len), *end;
	pid_t pid = serve(f, "short", NULL);
	for (size_t size = 1024; size <= len; size *= 4) {
		run(f, (struct helper_spec){ .serve = serve_length, .job = job, .job_len = size }, &outcome);
		run_until(f, &outcome.done, 1);
		assert_false(outcome.failed);
		assert_int_equal(strtol(outcome.reply, &end, 10) == pid, size <= 65536);
		assert_int_equal(strtoul(end, NULL, 10), size);
	}
	free(job);
	helper_dismiss(f->base);
	drain(f);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(replies),   TEST(exact_reply),  TEST(bounded_reply),          TEST(deadline),       TEST(cancelled),
		TEST(death),     TEST(surroundings), TEST(passes_a_descriptor),    TEST(grandchild),     TEST(cancel_in_its_callback),
		TEST(many),      TEST(stays),        TEST(stay_beside_each_other), TEST(stays_and_dies), TEST(stays_and_hangs),
		TEST(long_jobs),
	};
	return cmocka_run_group_tests_name("helper", tests, NULL, NULL);
}
