/* SPDX-License-Identifier: Apache-2.0 */
/* A PTY from daemon to daemon: no user notices, and no byte comes twice. */
#include "test_endpoint_pty.h"

#include <poll.h>

static void new_daemon(struct bench *b)
{
	endpoint_free(b->endpoint);
	b->config.had_party = b->attached > 0;
	bench_open(b, true);
}

static void test_adopts_a_reader(void **state)
{
	struct bench *b = *state;
	struct inbox inbox;
	bench_boot(b, 1);
	struct user user = user_start(b, false);
	LOOP_UNTIL(b->f, b->attached == 1);
	guest_print_logged(b->f, "one ");
	assert_quiet(b->f);
	endpoint_free(b->endpoint);
	b->endpoint = NULL;
	guest_print_logged(b->f, "two ");
	new_daemon(b);
	assert_int_equal(endpoint_party_count(b->endpoint), 1);
	guest_print_logged(b->f, "three");
	inbox_init(&inbox, b->fds.slave, 0); /* the user is lazy: its bytes can be read here */
	ASSERT_COMES(b, &inbox, "one two three");
	assert_quiet(b->f);
	assert_int_equal(fixture_timers(b->f), 0);
	assert_int_equal(endpoint_party_count(b->endpoint), 1);
	assert_int_equal(b->attached, 1); /* not told again */
	assert_int_equal(b->left, 0);
	user_end(&user);
	LOOP_UNTIL(b->f, b->left == 1);
	assert_int_equal(endpoint_party_count(b->endpoint), 0);
}

static void test_adopts_where_the_reader_has_left(void **state)
{
	struct bench *b = *state;
	struct inbox inbox;
	bench_boot(b, 1);
	struct user user = user_start(b, false);
	LOOP_UNTIL(b->f, b->attached == 1);
	guest_print_logged(b->f, "stale");
	assert_quiet(b->f);
	endpoint_free(b->endpoint);
	b->endpoint = NULL;
	user_end(&user);
	new_daemon(b);
	LOOP_UNTIL(b->f, b->left == 1);
	assert_int_equal(endpoint_party_count(b->endpoint), 0);
	inbox_init(&inbox, user_attach(b), 0);
	guest_print_logged(b->f, "fresh");
	ASSERT_COMES(b, &inbox, "fresh");
	close(inbox.fd);
}

static void test_adopts_who_came_meanwhile(void **state)
{
	struct bench *b = *state;
	struct inbox inbox;
	bench_boot(b, 1);
	guest_print_logged(b->f, "boot ");
	endpoint_free(b->endpoint);
	b->endpoint = NULL;
	struct user user = user_start(b, false);
	new_daemon(b);
	LOOP_UNTIL(b->f, b->attached == 1);
	inbox_init(&inbox, b->fds.slave, 0);
	ASSERT_COMES(b, &inbox, "boot ");
	/* Two of them, one leaves: /proc knows. */
	struct user second = user_start(b, false);
	user_end(&user);
	assert_quiet(b->f);
	assert_int_equal(b->left, 0);
	user_end(&second);
	LOOP_UNTIL(b->f, b->left == 1);
}

/* Shims and helpers hold the same slave; they are no users. */
static void test_holders_are_no_users(void **state)
{
	struct bench *b = *state;
	int wish[2];
	char c;
	bench_boot(b, 1);
	assert_int_equal(pipe2(wish, O_CLOEXEC), 0);
	pid_t helper = fork();
	if (helper == 0) {
		close(wish[1]);
		_exit(read(wish[0], &c, 1) == 0 ? 0 : 1);
	}
	pid_t shim = fork();
	if (shim == 0) {
		close(wish[1]);
		prctl(PR_SET_NAME, "pwemu-shim");
		_exit(open(b->path, O_RDWR | O_NOCTTY) >= 0 && read(wish[0], &c, 1) == 0 ? 0 : 1);
	}
	LOOP_UNTIL(b->f, b->attached == 1); /* a description of its own: a shim may hold one that was hung up */
	endpoint_free(b->endpoint);
	bench_open(b, true);
	LOOP_UNTIL(b->f, b->left == 1);
	assert_int_equal(endpoint_party_count(b->endpoint), 0);
	close(wish[1]);
	assert_int_equal(waitpid(helper, NULL, 0), helper);
	assert_int_equal(waitpid(shim, NULL, 0), shim);
	close(wish[0]);
}

static void test_no_hang_up_between_daemons(void **state)
{
	struct bench *b = *state;
	struct inbox inbox;
	bench_boot(b, 1);
	struct user user = user_start(b, false);
	struct pollfd pollfd = { .fd = b->fds.master, .events = POLLIN };
	LOOP_UNTIL(b->f, b->attached == 1);
	for (int i = 0; i < 5; i++)
		new_daemon(b);
	guest_print_logged(b->f, "still here");
	inbox_init(&inbox, b->fds.slave, 0);
	ASSERT_COMES(b, &inbox, "still here");
	assert_int_equal(poll(&pollfd, 1, 0), 0);
	user_end(&user);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pty_setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_adopts_a_reader),      TEST(test_adopts_where_the_reader_has_left), TEST(test_adopts_who_came_meanwhile),
		TEST(test_holders_are_no_users), TEST(test_no_hang_up_between_daemons),
	};
	return cmocka_run_group_tests_name("endpoint: pty, adopted", tests, NULL, NULL);
}
