/* SPDX-License-Identifier: Apache-2.0 */
/* Between fork and execve. Identity is changed by plain system calls: musl's wrappers bring their machinery for threads along. */
#include "shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* As linux/capability.h has it, which musl-gcc does not find. */
#define CAPABILITY_VERSION  0x20080522
#define CAP_DAC_OVERRIDE    1
#define CAP_DAC_READ_SEARCH 2
struct capability_header {
	uint32_t version;
	int pid;
};
struct capability_data {
	uint32_t effective, permitted, inheritable;
};

static _Noreturn void child_fail(int sync, const char *what)
{
	struct shim_exec_error error = { .sys = errno };
	strncpy(error.what, what, sizeof(error.what) - 1);
	while (write(sync, &error, sizeof(error)) < 0 && errno == EINTR)
		;
	_exit(127);
}

bool close_fds(int first, int last)
{
	return syscall(SYS_close_range, first, last, 0) == 0;
}

static bool is_target(const struct shim_spec *head, const uint32_t *child_fds, uint32_t fd)
{
	for (uint32_t i = 0; i < head->fd_count; i++)
		if (child_fds[i] == fd)
			return true;
	return false;
}

/* What is needed until the program is executed; close-on-exec. */
struct child_fds {
	int sync;
	int join[SHIM_JOIN_MAX + 1]; /* namespaces, then the control group */
	uint32_t join_count;
};

/* Up there numbers are given upwards. */
static int child_move_up(int fd, int top, int sync)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, top);
	if (moved < 0)
		child_fail(sync, "dup");
	return moved;
}

/* Below top all that is no target, above all but what is kept. */
static void child_close_others(const struct spec *spec, const struct child_fds *kept, int top)
{
	const struct shim_spec *head = spec->head;
	int from = 3;
	for (int fd = 3; fd <= top; fd++) {
		if (fd < top && !is_target(head, spec->child_fds, (uint32_t)fd))
			continue;
		if (fd > from && !close_fds(from, fd - 1))
			child_fail(kept->sync, "close_range");
		from = fd + 1;
	}
	from = top;
	for (uint32_t i = 0; i <= kept->join_count; i++) {
		int fd = i < kept->join_count ? kept->join[i] : kept->sync;
		if (fd > from && !close_fds(from, fd - 1))
			child_fail(kept->sync, "close_range");
		from = fd + 1;
	}
	if (!close_fds(from, -1))
		child_fail(kept->sync, "close_range");
}

/*
 * Gives the program its descriptors and closes all others but those of child_fds, which have new numbers then. What is to be moved goes
 * above every number in use first, since sources and targets may overlap. 0, 1 and 2 are /dev/null unless mapped.
 */
static void child_map_fds(const struct spec *spec, struct child_fds *kept)
{
	const struct shim_spec *head = spec->head;
	int top = SHIM_FD_FIRST + (int)(head->fd_count + kept->join_count + head->held_count) + 8;
	if (top <= (int)SHIM_CHILD_FD_MAX)
		top = (int)SHIM_CHILD_FD_MAX + 1;
	int moved[SHIM_FDS_MAX];
	for (uint32_t i = 0; i < head->fd_count; i++)
		moved[i] = child_move_up(SHIM_FD_FIRST + (int)i, top, kept->sync);
	for (uint32_t i = 0; i < kept->join_count; i++)
		kept->join[i] = child_move_up(SHIM_FD_FIRST + (int)(head->fd_count + i), top, kept->sync);
	kept->sync = child_move_up(kept->sync, top, kept->sync);
	for (uint32_t i = 0; i < head->fd_count; i++)
		if (dup2(moved[i], (int)spec->child_fds[i]) < 0)
			child_fail(kept->sync, "dup2");
	child_close_others(spec, kept, top);
}

/* No more than it has already. */
static void child_limit_to(int resource, rlim_t wanted, rlim_t more, int sync)
{
	struct rlimit limit;
	if (wanted == 0)
		return;
	if (getrlimit(resource, &limit) != 0)
		child_fail(sync, "getrlimit");
	limit.rlim_max = wanted + more < limit.rlim_max ? wanted + more : limit.rlim_max;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	if (setrlimit(resource, &limit) != 0)
		child_fail(sync, "setrlimit");
}

static void child_limit(const struct shim_spec *head, int sync)
{
	struct rlimit limit = { 0, 0 };
	if (setrlimit(RLIMIT_CORE, &limit) != 0)
		child_fail(sync, "setrlimit core");
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		child_fail(sync, "getrlimit nofile");
	rlim_t wanted = head->nofile != 0 ? head->nofile : limit.rlim_cur;
	if (head->nofile == 0 && wanted > SHIM_NOFILE_DEFAULT)
		wanted = SHIM_NOFILE_DEFAULT;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	if (head->nofile != 0)
		limit.rlim_max = limit.rlim_cur;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		child_fail(sync, "setrlimit nofile");
	child_limit_to(RLIMIT_AS, (rlim_t)head->memory_mib << 20, 0, sync);
	child_limit_to(RLIMIT_CPU, head->cpu_s, 1, sync); /* one second to die of SIGXCPU, then SIGKILL */
	/* Not to be had without privilege when the session was given a higher one. */
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		ssize_t n = write(fd, "0", 1);
		(void)n;
		close(fd);
	}
}

/* Without privilege the one identity that can be asked for is the one it has. */
static bool child_keeps_identity(const struct shim_spec *head)
{
	return head->uid == SHIM_KEEP_ID || (geteuid() != 0 && geteuid() == head->uid && getegid() == head->gid);
}

static void child_become(const struct spec *spec, int sync)
{
	const struct shim_spec *head = spec->head;
	if (child_keeps_identity(head))
		return;
	if (syscall(SYS_setgroups, (size_t)head->group_count, spec->groups) != 0)
		child_fail(sync, "setgroups");
	if (syscall(SYS_setresgid, head->gid, head->gid, head->gid) != 0)
		child_fail(sync, "setgid");
	if (syscall(SYS_setresuid, head->uid, head->uid, head->uid) != 0)
		child_fail(sync, "setuid");
}

/* What is not in the bounding set is not had after execve, by root neither. The others have none then, save ambient ones. */
static void child_confine(int sync)
{
	const uint32_t kept = 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH;
	struct capability_header header = { .version = CAPABILITY_VERSION };
	struct capability_data data[2];
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (unsigned long cap = 0; cap < 64; cap++)
		if ((cap >= 32 || (kept >> cap & 1) == 0) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
			break; /* EPERM: it has none to lose; EINVAL: that was the last */
	if (syscall(SYS_capget, &header, data) != 0)
		child_fail(sync, "capget");
	data[0].effective &= kept;
	data[0].permitted &= kept;
	data[0].inheritable = 0;
	data[1] = (struct capability_data){ 0 };
	if (syscall(SYS_capset, &header, data) != 0)
		child_fail(sync, "capset");
}

static void child_reset_signals(void)
{
	/* A kernel sigaction of zeros is SIG_DFL; libc would keep its own signals (32 to 34) to itself. */
	static const unsigned long by_default[8];
	for (int sig = 1; sig < _NSIG; sig++)
		syscall(SYS_rt_sigaction, sig, by_default, NULL, _NSIG / 8);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static const char **child_vector(const char **at, uint32_t count, const char *string)
{
	for (uint32_t i = 0; i < count; i++, string = spec_next(string))
		*at++ = string;
	*at++ = NULL;
	return at;
}

/* Only when the record of its pid is written may the program run. EOF: the shim is dead. */
static void child_await_go(int sync)
{
	char go;
	ssize_t n;
	do
		n = read(sync, &go, 1);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		child_fail(sync, "go");
	if (n == 0)
		_exit(127);
}

_Noreturn void child_exec(const struct spec *spec, int sync, pid_t shim_pid)
{
	const struct shim_spec *head = spec->head;
	/* a group of its own: `kill 0` in the program must not reach the shim */
	setpgid(0, 0);
	struct child_fds kept = { .sync = sync, .join_count = head->join_count + head->has_cgroup };
	child_map_fds(spec, &kept);
	sync = kept.sync;
	if (head->has_cgroup && write(kept.join[head->join_count], "0", 1) != 1)
		child_fail(sync, SHIM_GROUP_WHAT);
	child_limit(head, sync);
	/* while it may */
	if (!network_isolate((enum shim_network)head->network, kept.join, head->join_count, child_keeps_identity(head)))
		child_fail(sync, SHIM_NETWORK_WHAT);
	child_become(spec, sync);
	if (head->is_confined)
		child_confine(sync);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		child_fail(sync, "no_new_privs");
	/* a change of the uid clears it, hence after that; and it tells nothing of a parent already dead */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		child_fail(sync, "pdeathsig");
	if (getppid() != shim_pid)
		_exit(127);
	child_reset_signals();
	umask((mode_t)head->umask);
	const char *cwd = spec_next(spec->program), *args = spec_next(cwd);
	if (chdir(cwd) != 0)
		child_fail(sync, "chdir");
	size_t size = ((size_t)head->argc + head->envc + 2) * sizeof(char *);
	const char **argv = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (argv == MAP_FAILED)
		child_fail(sync, "mmap");
	const char **envp = child_vector(argv, head->argc, args);
	const char *environment = args;
	for (uint32_t i = 0; i < head->argc; i++)
		environment = spec_next(environment);
	child_vector(envp, head->envc, environment);
	child_await_go(sync);
	execve(spec->program, (char *const *)argv, (char *const *)envp);
	child_fail(sync, "execve");
}
