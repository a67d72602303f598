/* SPDX-License-Identifier: Apache-2.0 */
/* The shim as a program of its own: its control socket under odd peers, its specification when it is bad, its size. */
#include "proc_fixture.h"

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "shim/protocol.h"

struct session {
	struct seen seen;
	struct shell shell;
	struct proc *proc;
};

static void session_start(struct session *session, struct fixture *f)
{
	*session = (struct session){ 0 };
	session->proc = spawn(f, &shell_init(&session->shell, f, "main", "exec sleep 1000")->spec, &session->seen);
	run_until(f, &session->seen.started, 1);
}

/* A connection of our own, with a deadline for what is read from it. */
static int peer_open(const struct fixture *f)
{
	int fd = proc_connect(f->run_dir, "main");
	assert_true(fd >= 0);
	return fd;
}

/* The next packet; "" when the shim hangs up. */
static void peer_read(int fd, char *buf, size_t size)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	assert_int_equal(poll(&ready, 1, DEADLINE_MS), 1);
	ssize_t n = recv(fd, buf, size - 1, 0);
	buf[n > 0 ? n : 0] = '\0';
}

static void peer_send(int fd, const char *packet)
{
	assert_int_equal(send(fd, packet, strlen(packet), MSG_NOSIGNAL), strlen(packet));
}

static void answers(void **state)
{
	struct fixture *f = *state;
	struct session session;
	char packet[2048];
	session_start(&session, f);
	int fd = peer_open(f);
	peer_read(fd, packet, sizeof(packet));
	assert_int_equal(strncmp(packet, SHIM_RUN_TITLE "\n", strlen(SHIM_RUN_TITLE) + 1), 0);
	peer_send(fd, "ping");
	peer_read(fd, packet, sizeof(packet));
	assert_string_equal(packet, "pong");
	peer_send(fd, "get nothing");
	peer_read(fd, packet, sizeof(packet));
	assert_string_equal(packet, "none nothing");
	peer_send(fd, "stop 0");
	peer_read(fd, packet, sizeof(packet));
	assert_int_equal(strncmp(packet, SHIM_END_TITLE "\n", strlen(SHIM_END_TITLE) + 1), 0);
	/* who comes later is told the end, and that alone */
	int late = peer_open(f);
	peer_read(late, packet, sizeof(packet));
	assert_int_equal(strncmp(packet, SHIM_END_TITLE "\n", strlen(SHIM_END_TITLE) + 1), 0);
	peer_send(late, "ping");
	peer_read(late, packet, sizeof(packet));
	assert_string_equal(packet, "pong");
	close(late);
	close(fd);
	finish(f, session.proc, &session.seen);
}

static void nonsense_is_hung_up_on(void **state)
{
	static const char *const nonsense[] = { "",        "stop",  "stop ", "stop x", "stop -1", "stop 99999999999999999999",
						"release", "ping ", "PING",  "get" };
	struct fixture *f = *state;
	struct session session;
	char packet[2048], big[4096];
	session_start(&session, f);
	memset(big, 'g', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	for (size_t i = 0; i <= sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		int fd = peer_open(f);
		peer_read(fd, packet, sizeof(packet));
		peer_send(fd, i < sizeof(nonsense) / sizeof(nonsense[0]) ? nonsense[i] : big);
		peer_read(fd, packet, sizeof(packet));
		assert_string_equal(packet, "");
		close(fd);
	}
	assert_int_equal(session.seen.ended, 0);
	assert_true(process_exists(session.seen.pid));
	finish(f, session.proc, &session.seen);
}

static void peers_beyond_the_limit(void **state)
{
	struct fixture *f = *state;
	struct session session;
	char packet[2048];
	int fds[12];
	int told = 0;
	session_start(&session, f);
	for (int i = 0; i < 12; i++) {
		fds[i] = peer_open(f);
		peer_read(fds[i], packet, sizeof(packet));
		told += packet[0] != '\0';
	}
	assert_int_equal(told, 7); /* and the daemon */
	for (int i = 0; i < 12; i++)
		close(fds[i]);
	/* they are forgotten, the next one is served */
	for (int tries = 0; tries < DEADLINE_MS; tries++) {
		int fd = peer_open(f);
		peer_read(fd, packet, sizeof(packet));
		close(fd);
		if (packet[0] != '\0')
			break;
		pause_ms(1);
	}
	assert_true(packet[0] != '\0');
	finish(f, session.proc, &session.seen);
}

/* One that asks and never reads is dropped and stops nobody. */
static void peer_that_does_not_read(void **state)
{
	struct fixture *f = *state;
	struct session session;
	struct err err = ERR_INIT;
	int none;
	session_start(&session, f);
	int fd = peer_open(f);
	ssize_t n = 0;
	for (int i = 0; i < 1000000 && (n >= 0 || errno == EAGAIN); i++)
		n = send(fd, "ping", 4, MSG_NOSIGNAL | MSG_DONTWAIT);
	assert_int_equal(n, -1);
	assert_true(errno == EPIPE || errno == ECONNRESET);
	assert_int_equal(proc_held_fd(session.proc, "x", &none, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	close(fd);
	finish(f, session.proc, &session.seen);
}

/* Descriptors sent to the shim do not stay with it. */
static void descriptors_sent_along(void **state)
{
	struct fixture *f = *state;
	struct session session;
	char packet[2048], byte = 0;
	int ends[2];
	session_start(&session, f);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	int fd = peer_open(f);
	peer_read(fd, packet, sizeof(packet));
	struct iovec iov = { .iov_base = (char[]){ "ping" }, .iov_len = 4 };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &ends[1], sizeof(int));
	assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), 4);
	close(ends[1]);
	peer_read(fd, packet, sizeof(packet));
	assert_string_equal(packet, "pong");
	assert_int_equal(read(ends[0], &byte, 1), 0);
	close(ends[0]);
	close(fd);
	finish(f, session.proc, &session.seen);
}

/* Held from now on, handed to a later daemon, and let go with the rest. */
static void holds_more(void **state)
{
	struct fixture *f = *state;
	struct session session;
	struct err err = ERR_INIT;
	char byte = 0;
	int ends[2], other[2], back = -1;
	session_start(&session, f);
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(proc_held_fd(session.proc, "late.tcp", &back, &err), -1);
	assert_int_equal(proc_hold_fd(session.proc, "late.tcp", ends[1], &err), 0);
	assert_int_equal(close(ends[1]), 0);
	assert_int_equal(read(ends[0], &byte, 1), -1); /* somebody has the other end */
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(proc_held_fd(session.proc, "late.tcp", &back, &err), 0);
	assert_int_equal(write(back, "x", 1), 1);
	assert_int_equal(close(back), 0);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	/* another one under the same name takes its place */
	assert_int_equal(pipe2(other, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(proc_hold_fd(session.proc, "late.tcp", other[1], &err), 0);
	assert_int_equal(close(other[1]), 0);
	assert_int_equal(read(ends[0], &byte, 1), 0);
	for (unsigned i = 1; i < SHIM_ADDED_MAX; i++) {
		char name[32];
		snprintf(name, sizeof(name), "more-%u", i);
		assert_int_equal(proc_hold_fd(session.proc, name, ends[0], &err), 0);
	}
	assert_int_equal(proc_hold_fd(session.proc, "too-many", ends[0], &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(proc_held_fd(session.proc, "more-1", &back, &err), 0);
	close(back);
	close(ends[0]);
	finish(f, session.proc, &session.seen);
	assert_int_equal(read(other[0], &byte, 1), 0);
	close(other[0]);
}

/* Words without what they need, and descriptors with words that take none. */
static void holds_nothing(void **state)
{
	struct fixture *f = *state;
	struct session session;
	struct err err = ERR_INIT;
	char packet[2048];
	int back;
	session_start(&session, f);
	int fd = peer_open(f);
	peer_read(fd, packet, sizeof(packet));
	peer_send(fd, "hold x");
	peer_read(fd, packet, sizeof(packet));
	assert_string_equal(packet, "full x");
	assert_int_equal(proc_hold_fd(session.proc, "", fd, &err), -1);
	assert_int_equal(proc_held_fd(session.proc, "x", &back, &err), -1);
	close(fd);
	finish(f, session.proc, &session.seen);
}

/* ---- a specification that cannot be trusted: the shim goes at once */

static int shim_with_spec(const struct fixture *f, const void *data, size_t len)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		int fd = memfd_create("spec", 0);
		if (write(fd, data, len) != (ssize_t)len || (fd != SHIM_FD_SPEC && dup2(fd, SHIM_FD_SPEC) < 0))
			_exit(99);
		close_range(SHIM_FD_SPEC + 1, ~0u, 0);
		execl(f->shim, "pwemu-shim", "main", (char *)NULL);
		_exit(98);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void bad_specifications(void **state)
{
	struct fixture *f = *state;
	static const char strings[] = "main\0-\0/bin/true\0/\0true";
	struct {
		struct shim_spec head;
		char strings[sizeof(strings)];
	} __attribute__((packed)) spec;
	const struct shim_spec good = {
		.magic = SHIM_SPEC_MAGIC,
		.version = SHIM_SPEC_VERSION,
		.size = sizeof(spec),
		.kept_size = 7,
		.uid = SHIM_KEEP_ID,
		.argc = 1,
	};
	memcpy(spec.strings, strings, sizeof(strings));
	struct shim_spec bad[12];
	for (size_t i = 0; i < 12; i++)
		bad[i] = good;
	bad[0].magic++;
	bad[1].version++;
	bad[2].size++;
	bad[3].kept_size = 6;
	bad[4].kept_size = UINT32_MAX;
	bad[5].argc = 0;
	bad[6].argc = 2;
	bad[7].envc = UINT32_MAX;
	bad[8].fd_count = SHIM_FDS_MAX + 1;
	bad[9].group_count = UINT32_MAX;
	bad[10].held_count = 1;
	bad[11].fd_count = 1; /* its number is text */
	for (size_t i = 0; i < 12; i++) {
		spec.head = bad[i];
		assert_int_equal(shim_with_spec(f, &spec, sizeof(spec)), EINVAL);
	}
	spec.head = good;
	assert_int_equal(shim_with_spec(f, &spec, sizeof(spec.head)), EINVAL);
	assert_int_equal(shim_with_spec(f, &spec, 0), EINVAL);
	memcpy(spec.strings, "ma/n", 4);
	assert_int_equal(shim_with_spec(f, &spec, sizeof(spec)), EINVAL);
}

/* ---- size */

static long status_kib(pid_t pid, const char *key)
{
	char path[64], line[256];
	long kib = -1;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, key, strlen(key)) == 0)
			kib = strtol(line + strlen(key), NULL, 10);
	fclose(file);
	return kib;
}

static void is_small(void **state)
{
	struct fixture *f = *state;
	struct session session;
	session_start(&session, f);
	pid_t shim = proc_shim_pid(session.proc);
	long resident = status_kib(shim, "VmRSS:"), anonymous = status_kib(shim, "RssAnon:");
	print_message("shim: %ld KiB resident, %ld of them its own\n", resident, anonymous);
	assert_in_range(resident, 1, 64);
	finish(f, session.proc, &session.seen);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers),
		TEST(nonsense_is_hung_up_on),
		TEST(peers_beyond_the_limit),
		TEST(peer_that_does_not_read),
		TEST(descriptors_sent_along),
		TEST(holds_more),
		TEST(holds_nothing),
		TEST(bad_specifications),
		TEST(is_small),
	};
	return cmocka_run_group_tests_name("shim", tests, NULL, NULL);
}
