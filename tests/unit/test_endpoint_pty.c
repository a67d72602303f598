/* SPDX-License-Identifier: Apache-2.0 */
/* A channel on a PTY: raw from birth, output only while a user has it open, nothing left behind for the next one. */
#include "test_endpoint_pty.h"

#include <termios.h>

#include "channel/hub_priv.h"

#define OWNER 12345

static bool is_raw(const char *path, int held)
{
	struct termios t, raw;
	int fd = held >= 0 ? held : open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_int_equal(tcgetattr(fd, &t), 0);
	if (fd != held)
		close(fd);
	raw = t;
	cfmakeraw(&raw);
	return t.c_iflag == raw.c_iflag && t.c_oflag == raw.c_oflag && t.c_lflag == raw.c_lflag && t.c_cflag == raw.c_cflag &&
	       (t.c_iflag & (IXOFF | IXANY)) == 0 && t.c_cc[VMIN] == 1 && t.c_cc[VTIME] == 0;
}

/* ---------------------------------------------------------------- birth */

static void test_born_raw_and_the_owners(void **state)
{
	struct bench *b = *state;
	struct stat st;
	uid_t uid = geteuid() == 0 ? OWNER : getuid();
	endpoint_free(b->endpoint);
	b->endpoint = NULL;
	endpoint_fds_close(&b->fds);
	bench_make_pty(b, uid);
	assert_true(is_raw(b->path, b->fds.slave));
	assert_int_equal(stat(b->path, &st), 0);
	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_mode & 07777, 0600);
	const int fds[] = { b->fds.master, b->fds.slave, b->fds.cursor };
	for (size_t i = 0; i < 3; i++)
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(b->fds.master, F_GETFL) & fcntl(b->fds.slave, F_GETFL) & O_NONBLOCK);
}

static void test_guest_output_is_not_echoed(void **state)
{
	struct bench *b = *state;
	struct inbox inbox;
	bench_boot(b, 1);
	guest_print_logged(b->f, "login: \r\n\x03\x04\x11\x13\x1a");
	inbox_init(&inbox, user_attach(b), 0);
	ASSERT_COMES(b, &inbox, "login: \r\n\x03\x04\x11\x13\x1a"); /* nor changed */
	guest_print_logged(b->f, "password: ");
	LOOP_UNTIL(b->f, inbox_poll(&inbox) == 24);
	assert_quiet(b->f);
	assert_int_equal(fifo_unread(b->f->guest_in), 0);
	assert_false(hub_has_writer(b->f->hub));
	close(inbox.fd);
}

/* ---------------------------------------------------------------- output */

static void test_first_from_the_boot_others_from_now(void **state)
{
	struct bench *b = *state;
	struct inbox inbox;
	char who[100];
	bench_boot(b, 1);
	guest_print_logged(b->f, "one ");
	bench_boot(b, 2);
	guest_print_logged(b->f, "two ");
	inbox_init(&inbox, user_attach(b), 0);
	snprintf(who, sizeof(who), "pty %s", b->path);
	assert_string_equal(b->who, who);
	ASSERT_COMES(b, &inbox, "two ");
	/* A second one shares the terminal. */
	close(user_open(b));
	assert_quiet(b->f);
	assert_int_equal(endpoint_party_count(b->endpoint), 1);
	user_leave(b, inbox.fd);
	guest_print_logged(b->f, "unseen ");
	inbox_init(&inbox, user_attach(b), 0);
	guest_print_logged(b->f, "seen ");
	ASSERT_COMES(b, &inbox, "seen ");
	/* Who is there when a boot begins reads on, and was its first party. */
	bench_boot(b, 3);
	guest_print_logged(b->f, "three ");
	ASSERT_COMES(b, &inbox, "seen three ");
	user_leave(b, inbox.fd);
	inbox_init(&inbox, user_attach(b), 0);
	guest_print_logged(b->f, "!");
	ASSERT_COMES(b, &inbox, "!");
	user_leave(b, inbox.fd);
	bench_boot(b, 4);
	guest_print_logged(b->f, "four");
	inbox_init(&inbox, user_attach(b), 0);
	ASSERT_COMES(b, &inbox, "four");
	close(inbox.fd);
}

static void test_no_output_while_closed(void **state)
{
	struct bench *b = *state;
	bench_boot(b, 1);
	guest_print_logged(b->f, "before");
	int fd = user_attach(b);
	user_leave(b, fd);
	guest_print_logged(b->f, "after");
	assert_quiet(b->f);
	assert_int_equal(fifo_unread(b->fds.slave), 0);
	assert_int_equal(hub_cursor_count(b->f->hub), 0);
}

static void test_idle_costs_nothing(void **state)
{
	struct bench *b = *state;
	bench_boot(b, 1);
	assert_quiet(b->f);
	assert_int_equal(fixture_timers(b->f), 0);
	int fd = user_attach(b);
	assert_quiet(b->f);
	assert_int_equal(fixture_timers(b->f), 0);
	user_leave(b, fd); /* here others see a hang-up and spin */
	assert_quiet(b->f);
	assert_int_equal(fixture_timers(b->f), 0);
}

static void test_user_that_does_not_read(void **state)
{
	struct bench *b = *state;
	struct inbox inbox;
	bench_boot(b, 1);
	inbox_init(&inbox, user_attach(b), 0);
	guest_print_big(b, BIG);
	assert_quiet(b->f);
	LOOP_UNTIL(b->f, inbox_poll(&inbox) == BIG);
	assert_true(inbox.is_exact);
	close(inbox.fd);
}

static void test_next_user_sees_no_stale_byte(void **state)
{
	struct bench *b = *state;
	struct inbox inbox;
	bench_boot(b, 1);
	int fd = user_attach(b);
	guest_print_big(b, 100000); /* more than the PTY holds: it is on its way everywhere */
	assert_quiet(b->f);
	assert_true(fifo_unread(fd) > 0);
	user_leave(b, fd);
	inbox_init(&inbox, user_attach(b), 0);
	guest_print(b->f, "fresh");
	ASSERT_COMES(b, &inbox, "fresh");
	close(inbox.fd);
}

/* Who stays away from the log for too long goes on with what is left of it. */
static void test_punched_head_is_skipped(void **state)
{
	struct bench *b = *state;
	struct inbox inbox;
	bench_boot(b, 1);
	int fd = user_attach(b);
	guest_print_big(b, BIG);
	assert_quiet(b->f);
	uint64_t at = (uint64_t)lseek(b->fds.cursor, 0, SEEK_CUR);
	assert_true(at < BIG / 2);
	b->f->hub->log.first = BIG / 2;
	/* What the PTY held already comes first. */
	inbox_init(&inbox, fd, 0);
	size_t held = (size_t)at;
	static char before[BIG];
	for (size_t got = 0; got < held;) {
		ssize_t n = read(fd, before, held - got);
		assert_true(n > 0);
		got += (size_t)n;
	}
	inbox_init(&inbox, fd, BIG / 2);
	LOOP_UNTIL(b->f, inbox_poll(&inbox) == BIG / 2);
	assert_true(inbox.is_exact);
	close(fd);
}

/* ---------------------------------------------------------------- what a user leaves behind */

static void test_settings_are_reset(void **state)
{
	struct bench *b = *state;
	struct termios t;
	bench_boot(b, 1);
	int fd = user_attach(b);
	assert_int_equal(tcgetattr(fd, &t), 0);
	t.c_lflag |= ECHO | ICANON | ISIG;
	t.c_iflag |= ICRNL | IXON | IXOFF;
	t.c_oflag |= OPOST | ONLCR;
	assert_int_equal(tcsetattr(fd, TCSANOW, &t), 0);
	assert_int_equal(tcflow(fd, TCOOFF), 0);
	assert_int_equal(ioctl(fd, TIOCEXCL), 0);
	user_leave(b, fd);
	assert_true(is_raw(NULL, b->fds.slave));
	int is_exclusive = -1;
	assert_int_equal(ioctl(b->fds.slave, TIOCGEXCL, &is_exclusive), 0);
	assert_int_equal(is_exclusive, 0);
	fd = user_attach(b);
	user_type(fd, "flows\n");
	assert_guest_gets(b, "flows\n");
	close(fd);
}

/* The kernel hangs up every slave, the held one too, when a session leader that has it for a terminal exits. */
static void test_session_leader_exits(void **state)
{
	struct bench *b = *state;
	struct inbox inbox;
	bench_boot(b, 1);
	for (unsigned i = 1; i <= 3; i++) {
		struct user user = user_start(b, true);
		LOOP_UNTIL(b->f, b->attached == i * 2 - 1);
		user_end(&user);
		LOOP_UNTIL(b->f, b->left == i * 2 - 1);
		assert_quiet(b->f);
		assert_true(is_raw(NULL, b->fds.slave));
		inbox_init(&inbox, user_attach(b), 0);
		guest_print_logged(b->f, "alive");
		ASSERT_COMES(b, &inbox, "alive");
		user_type(inbox.fd, "yes");
		assert_guest_gets(b, "yes");
		user_leave(b, inbox.fd);
	}
	assert_int_equal(b->troubles, 0);
}

/* ---------------------------------------------------------------- input */

static void test_role_from_first_byte_to_close(void **state)
{
	struct bench *b = *state;
	char who[100];
	bench_boot(b, 1);
	int fd = user_attach(b);
	assert_quiet(b->f);
	assert_false(hub_has_writer(b->f->hub));
	user_type(fd, "ls\r");
	assert_guest_gets(b, "ls\r");
	snprintf(who, sizeof(who), "pty %s", b->path);
	assert_string_equal(writer_holder(b->f->hub), who);
	user_leave(b, fd);
	assert_false(hub_has_writer(b->f->hub));
}

static void test_echo_into_it(void **state)
{
	struct bench *b = *state;
	bench_boot(b, 1);
	for (int i = 0; i < 20; i++) {
		int fd = user_open(b);
		user_type(fd, "reset\r");
		close(fd);
		assert_guest_gets(b, "reset\r");
		LOOP_UNTIL(b->f, !hub_has_writer(b->f->hub));
	}
	LOOP_UNTIL(b->f, endpoint_party_count(b->endpoint) == 0);
}

static void test_input_is_left_unread(void **state)
{
	struct bench *b = *state;
	bench_boot(b, 1);
	struct writer *other = other_open(b);
	int fd = user_attach(b);
	user_type(fd, "later");
	assert_quiet(b->f);
	assert_int_equal(fifo_unread(b->f->guest_in), 0);
	writer_close(other);
	assert_guest_gets(b, "later");
	close(fd);
}

/* Also when its writer closes meanwhile, and never more than once. */
static void test_input_is_left_unread_after_close(void **state)
{
	struct bench *b = *state;
	bench_boot(b, 1);
	struct writer *other = other_open(b);
	int fd = user_attach(b);
	user_type(fd, "later");
	assert_quiet(b->f);
	user_leave(b, fd);
	assert_quiet(b->f);
	assert_int_equal(fifo_unread(b->f->guest_in), 0);
	writer_close(other);
	assert_guest_gets(b, "later");
	LOOP_UNTIL(b->f, !hub_has_writer(b->f->hub));
	assert_quiet(b->f);
	assert_int_equal(fifo_unread(b->f->guest_in), 0);
}

static void test_input_only_as_the_guest_takes_it(void **state)
{
	struct bench *b = *state;
	struct inbox guest;
	uint64_t sent = 0, total = 300000, give_up_ms = test_now_ms() + DEADLINE_MS;
	bench_boot(b, 1);
	int fd = user_attach(b);
	inbox_init(&guest, b->f->guest_in, 0);
	for (unsigned idle = 0, stalls = 0; sent < total && test_now_ms() < give_up_ms;) {
		char block[512];
		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = big_byte(sent + i);
		ssize_t n = write(fd, block, total - sent < sizeof(block) ? total - sent : sizeof(block));
		sent += n > 0 ? (uint64_t)n : 0;
		idle = n > 0 ? 0 : idle + 1;
		event_base_loop(b->f->base, EVLOOP_NONBLOCK);
		if (idle < 5)
			continue;
		if (stalls++ < 3)
			assert_quiet(b->f); /* FIFO and PTY are full: that costs nothing */
		inbox_poll(&guest);
	}
	assert_int_equal(sent, total);
	LOOP_UNTIL(b->f, inbox_poll(&guest) == total);
	assert_true(guest.is_exact);
	close(fd);
}

static void test_read_only_until_a_boot_reads(void **state)
{
	struct bench *b = *state;
	struct err err = ERR_INIT;
	assert_int_equal(hub_begin_boot(b->f->hub, 1, true, fixture_fifo(b->f, "out", &b->f->guest_out), -1, &err), 0);
	endpoint_begin_boot(b->endpoint);
	int fd = user_attach(b);
	user_type(fd, "patience");
	assert_quiet(b->f);
	bench_boot(b, 2);
	assert_guest_gets(b, "patience");
	close(fd);
}

/* ---------------------------------------------------------------- yielding */

static uint64_t clock_ahead_ms;

static uint64_t fake_monotonic_ms(void)
{
	return test_now_ms() + clock_ahead_ms;
}

static uint64_t fake_wall_ns(void)
{
	return 1;
}

static const struct clock_source fake_clock = { fake_monotonic_ms, fake_wall_ns };

static void test_yields_5_s_after_its_last_byte(void **state)
{
	struct bench *b = *state;
	clock_ahead_ms = 0;
	clock_override(&fake_clock);
	bench_boot(b, 1);
	int fd = user_attach(b);
	user_type(fd, "a");
	assert_guest_gets(b, "a");
	clock_ahead_ms = 4000;
	user_type(fd, "b");
	assert_guest_gets(b, "b");
	assert_quiet(b->f);
	assert_int_equal(fixture_timers(b->f), 0); /* nobody asks */
	clock_ahead_ms = 8000;
	struct writer *other = other_open(b);
	assert_false(writer_has_role(other)); /* 4 s, not 8 */
	assert_int_equal(fixture_timers(b->f), 1);
	LOOP_UNTIL(b->f, writer_has_role(other));
	assert_true(clock_monotonic_ms() - 4000 >= 5000);
	/* It asks anew with its next byte. */
	assert_quiet(b->f);
	assert_int_equal(fixture_timers(b->f), 0);
	user_type(fd, "c");
	assert_quiet(b->f);
	assert_int_equal(fifo_unread(b->f->guest_in), 0);
	writer_close(other);
	assert_guest_gets(b, "c");
	/* Who asks when it has long been silent gets it at once. */
	clock_ahead_ms = 20000;
	other = other_open(b);
	LOOP_UNTIL(b->f, writer_has_role(other));
	writer_close(other);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pty_setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_born_raw_and_the_owners),
		TEST(test_guest_output_is_not_echoed),
		TEST(test_first_from_the_boot_others_from_now),
		TEST(test_no_output_while_closed),
		TEST(test_idle_costs_nothing),
		TEST(test_user_that_does_not_read),
		TEST(test_next_user_sees_no_stale_byte),
		TEST(test_punched_head_is_skipped),
		TEST(test_settings_are_reset),
		TEST(test_session_leader_exits),
		TEST(test_role_from_first_byte_to_close),
		TEST(test_echo_into_it),
		TEST(test_input_is_left_unread),
		TEST(test_input_is_left_unread_after_close),
		TEST(test_input_only_as_the_guest_takes_it),
		TEST(test_read_only_until_a_boot_reads),
		TEST(test_yields_5_s_after_its_last_byte),
	};
	return cmocka_run_group_tests_name("endpoint: pty", tests, NULL, NULL);
}
