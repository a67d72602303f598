/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pwemu-shim: the parent of one supervised program. It starts it, waits until the last of its descendants is dead, records how it
 * ended, and holds file descriptors for the daemons that come and go. See protocol.h.
 *
 * Every signal stays blocked from before its exec; SIGCHLD and SIGTERM are read from a signalfd, so nothing interrupts anything.
 */
#include "shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- records */

void shim_file(const struct shim *shim, const char *suffix, struct text *path)
{
	path->len = 0;
	text_add(path, shim->kept);
	text_add(path, suffix);
}

static bool write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

bool shim_record(const struct shim *shim, const char *suffix, const struct text *record)
{
	struct text temporary, final;
	shim_file(shim, suffix, &final);
	shim_file(shim, suffix, &temporary);
	text_add(&temporary, ".tmp");
	int fd = openat(SHIM_FD_RUN_DIR, temporary.buf, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	bool ok = write_all(fd, record->buf, record->len);
	int sys = errno;
	if (close(fd) != 0)
		ok = false;
	else
		errno = sys;
	if (ok && renameat(SHIM_FD_RUN_DIR, temporary.buf, SHIM_FD_RUN_DIR, final.buf) == 0)
		return true;
	sys = errno;
	unlinkat(SHIM_FD_RUN_DIR, temporary.buf, 0);
	errno = sys;
	return false;
}

static void record_add_identity(const struct shim *shim, struct text *record)
{
	text_line_number(record, "pid", (uint64_t)shim->pid);
	text_line_number(record, "start", shim->start);
	text_line(record, "boot", shim->boot_id);
	text_line_number(record, "shim", (uint64_t)getpid());
	text_line_number(record, "shim_start", shim->own_start);
}

static bool record_run(struct shim *shim, uint32_t uid)
{
	struct text *run = &shim->run;
	text_add(run, SHIM_RUN_TITLE "\n");
	record_add_identity(shim, run);
	text_line_number(run, "uid", uid == SHIM_KEEP_ID ? geteuid() : uid);
	text_line(run, "mark", spec_next(shim->kept));
	text_add(run, "end\n");
	return shim_record(shim, ".run", run);
}

static uint64_t microseconds(const struct timeval *tv)
{
	return (uint64_t)tv->tv_sec * 1000000 + (uint64_t)tv->tv_usec;
}

static void record_end(struct shim *shim)
{
	struct text *end = &shim->end;
	struct rusage usage = { 0 };
	struct timespec now = { 0 };
	getrusage(RUSAGE_CHILDREN, &usage);
	clock_gettime(CLOCK_REALTIME, &now);
	bool executed = shim->exec_error.sys == 0;
	text_add(end, SHIM_END_TITLE "\n");
	record_add_identity(shim, end);
	text_line_number(end, "exited", executed && WIFEXITED(shim->status));
	text_line_number(end, "code", executed && WIFEXITED(shim->status) ? (uint64_t)WEXITSTATUS(shim->status) : 0);
	text_line_number(end, "signal", executed && WIFSIGNALED(shim->status) ? (uint64_t)WTERMSIG(shim->status) : 0);
	text_line_number(end, "errno", (uint64_t)shim->exec_error.sys);
	text_line(end, "what", executed ? "-" : shim->exec_error.what);
	text_line_number(end, "time", (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	text_line_number(end, "user_us", microseconds(&usage.ru_utime));
	text_line_number(end, "system_us", microseconds(&usage.ru_stime));
	text_line_number(end, "max_rss_kib", (uint64_t)usage.ru_maxrss);
	text_add(end, "end\n");
	shim->end_written = shim_record(shim, ".end", end);
	control_send_all(shim, end);
}

_Noreturn void shim_release(struct shim *shim)
{
	/* The lock's file last: while it is there and locked, the name is taken. The end before it, so that it cannot be missed. */
	static const char *const suffixes[] = { ".run.tmp", ".end.tmp", ".run", ".sock", ".end", ".lock" };
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		struct text path;
		shim_file(shim, suffixes[i], &path);
		unlinkat(SHIM_FD_RUN_DIR, path.buf, 0);
	}
	_exit(0);
}

/* ---- the tree and its end */

static void kill_round(struct shim *shim)
{
	shim->phase = PHASE_KILL;
	tree_signal(SIGKILL, shim->kill_rounds > 0);
	uint64_t pause_ms = shim->kill_rounds < 5 ? 10u << shim->kill_rounds : 250;
	shim->kill_rounds++;
	shim->deadline = now_ms() + pause_ms;
}

void shim_stop(struct shim *shim, uint64_t grace_ms)
{
	if (shim->phase == PHASE_KILL || shim->phase == PHASE_END)
		return;
	if (grace_ms == 0) {
		kill_round(shim);
		return;
	}
	uint64_t deadline = now_ms() + grace_ms;
	if (shim->phase == PHASE_TERM) {
		if (deadline < shim->deadline)
			shim->deadline = deadline;
		return;
	}
	shim->phase = PHASE_TERM;
	shim->deadline = deadline;
	tree_signal(SIGTERM, false);
}

/* The program is dead, others are not. Those that came by since it was told to stop have not heard it yet. */
static void stop_leftovers(struct shim *shim)
{
	if (shim->phase == PHASE_TERM) {
		shim_stop(shim, SHIM_LEFTOVER_GRACE_MS);
		tree_signal(SIGTERM, true);
	} else {
		shim_stop(shim, SHIM_LEFTOVER_GRACE_MS);
	}
}

static void read_exec_error(struct shim *shim)
{
	struct shim_exec_error error = { 0 };
	if (shim->sync < 0)
		return;
	ssize_t n = recv(shim->sync, &error, sizeof(error), MSG_DONTWAIT);
	if (n < 0 && errno == ECONNRESET) /* it left without having read the byte; its words come after that news */
		n = recv(shim->sync, &error, sizeof(error), MSG_DONTWAIT);
	if (n == (ssize_t)sizeof(error)) {
		error.what[sizeof(error.what) - 1] = '\0';
		shim->exec_error = error;
	}
	close(shim->sync);
	shim->sync = -1;
}

static void reap(struct shim *shim)
{
	bool was_reaped = shim->reaped;
	pid_t pid;
	int status;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0 || (pid < 0 && errno == EINTR)) {
		if (pid == shim->pid && !shim->reaped) {
			shim->reaped = true;
			shim->status = status;
			read_exec_error(shim);
		}
	}
	if (pid < 0 && errno == ECHILD && shim->phase != PHASE_END) {
		shim->phase = PHASE_END;
		record_end(shim);
	} else if (pid == 0 && shim->phase == PHASE_KILL) {
		kill_round(shim); /* the orphans of those just reaped are ours now */
	} else if (pid == 0 && shim->reaped && !was_reaped) {
		stop_leftovers(shim);
	}
}

/* ---- start */

static void fail_start(struct shim *shim, const char *what)
{
	shim->exec_error.sys = errno != 0 ? errno : EIO;
	strncpy(shim->exec_error.what, what, sizeof(shim->exec_error.what) - 1);
}

/* The strings that are needed for life move to a page of their own; the rest, the environment with it, is forgotten. */
static bool keep_strings(struct shim *shim, const struct spec *spec)
{
	char *kept = mmap(NULL, spec->head->kept_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (kept == MAP_FAILED)
		return false;
	memcpy(kept, spec->kept, spec->head->kept_size);
	shim->kept = kept;
	shim->held_count = spec->head->held_count;
	shim->held_first = SHIM_FD_FIRST + (int)(spec->head->fd_count + spec->head->join_count + spec->head->has_cgroup);
	return true;
}

static void read_boot_id(struct shim *shim)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, shim->boot_id, sizeof(shim->boot_id) - 1) : 0;
	if (fd >= 0)
		close(fd);
	shim->boot_id[n > 0 ? n : 0] = '\0';
	shim->boot_id[strcspn(shim->boot_id, "\n")] = '\0';
	if (shim->boot_id[0] == '\0')
		shim->boot_id[0] = '-';
}

/* True also when it has left already: its own words tell why. */
static bool send_go(int sync)
{
	ssize_t n;
	do
		n = send(sync, "", 1, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n == 1 || errno == EPIPE || errno == ECONNRESET;
}

static void start_program(struct shim *shim, const struct spec *spec)
{
	int sync[2];
	pid_t self = getpid(), parent;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sync) != 0) {
		fail_start(shim, "socketpair");
		return;
	}
	shim->sync = sync[0];
	pid_t pid = fork();
	if (pid == 0) {
		close(sync[0]); /* so that the death of the shim is an EOF */
		child_exec(spec, sync[1], self);
	}
	close(sync[1]);
	if (pid < 0) {
		fail_start(shim, "fork");
		return;
	}
	shim->pid = pid;
	if (tree_read_stat("/proc", pid, &parent, &shim->start) && record_run(shim, spec->head->uid)) {
		control_send_all(shim, &shim->run);
		if (send_go(shim->sync))
			return;
		fail_start(shim, "go");
	} else {
		/* unrecorded it must not run */
		fail_start(shim, "record");
		shim->run.len = 0;
	}
	/* without the byte it leaves by itself */
	close(shim->sync);
	shim->sync = -1;
}

static bool prepare(struct shim *shim)
{
	sigset_t all, wanted;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigaction(SIGCHLD, &action, NULL); /* ignored, it would hide how children die */
	setsid();
	umask(0077);
	close(0);
	if (open("/dev/null", O_RDWR) != 0 || dup2(0, 1) < 0 || dup2(0, 2) < 0)
		return false;
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGCHLD);
	sigaddset(&wanted, SIGTERM);
	shim->signal_fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
	pid_t parent;
	return shim->signal_fd >= 0 && chdir("/") == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0 &&
	       tree_read_stat("/proc", getpid(), &parent, &shim->own_start);
}

/* ---- loop */

static int poll_timeout(const struct shim *shim)
{
	if (shim->phase != PHASE_TERM && shim->phase != PHASE_KILL)
		return -1;
	uint64_t now = now_ms(), left = shim->deadline > now ? shim->deadline - now : 0;
	return left < 3600000 ? (int)left : 3600000;
}

static void on_signals(struct shim *shim)
{
	struct signalfd_siginfo info;
	while (read(shim->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGTERM) {
			shim->told_to_go = true;
			shim_stop(shim, SHIM_SIGTERM_GRACE_MS);
		}
	}
	reap(shim);
}

static void on_deadline(struct shim *shim)
{
	if (shim->phase == PHASE_KILL)
		reap(shim); /* the news of a death may have been lost */
	if (shim->phase != PHASE_END && now_ms() >= shim->deadline)
		kill_round(shim);
}

static bool run_dir_is_gone(void)
{
	struct stat st;
	return fstat(SHIM_FD_RUN_DIR, &st) == 0 && st.st_nlink == 0;
}

static void loop_once(struct shim *shim)
{
	struct pollfd fds[2 + SHIM_PEERS_MAX] = { { .fd = shim->signal_fd, .events = POLLIN },
						  { .fd = SHIM_FD_LISTENER, .events = POLLIN } };
	for (unsigned i = 0; i < shim->peer_count; i++)
		fds[2 + i] = (struct pollfd){ .fd = shim->peers[i], .events = POLLIN };
	unsigned peers = shim->peer_count;
	if (poll(fds, 2 + peers, poll_timeout(shim)) < 0)
		return;
	for (unsigned i = peers; i-- > 0;) /* backwards: a drop moves the last one into the gap */
		if (fds[2 + i].revents != 0 && i < shim->peer_count && shim->peers[i] == fds[2 + i].fd)
			control_receive(shim, i);
	if (fds[1].revents != 0)
		control_accept(shim);
	if (fds[0].revents != 0)
		on_signals(shim);
	if ((shim->phase == PHASE_TERM || shim->phase == PHASE_KILL) && now_ms() >= shim->deadline)
		on_deadline(shim);
	/* Its directory was removed: no daemon can find it any more. */
	if (shim->phase == PHASE_END && shim->peer_count == 0 && run_dir_is_gone())
		_exit(0);
	/* Told by SIGTERM (the host goes down) and nobody there to release it: the record stays, the shim is in the way. */
	if (shim->phase == PHASE_END && shim->told_to_go && shim->end_written && shim->peer_count == 0)
		_exit(0);
}

int main(void)
{
	static struct shim shim = { .sync = -1 };
	struct spec spec;
	if (!prepare(&shim) || !spec_map(SHIM_FD_SPEC, &spec) || !keep_strings(&shim, &spec))
		return errno > 0 && errno < 256 ? errno : EINVAL; /* without a name there is nowhere else to tell it */
	read_boot_id(&shim);
	/* a first daemon's connection waits in the backlog: it shall hear of the start as soon as there is one */
	control_accept(&shim);
	start_program(&shim, &spec);
	close(SHIM_FD_SPEC);
	if (shim.held_first > SHIM_FD_FIRST)
		close_fds(SHIM_FD_FIRST, shim.held_first - 1);
	spec_unmap(&spec);
	reap(&shim);
	for (;;)
		loop_once(&shim);
}
