/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/proc_launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/protocol.h"
#include "wire/mem.h"

#define MARK_VARIABLE "PWEMU_INSTANCE="

/* ---- names */

bool proc_name_is_valid(const char *name)
{
	size_t len = strlen(name);
	return len > 0 && len <= SHIM_NAME_MAX && name[0] != '.' && strchr(name, '/') == NULL;
}

static void file_name(char *path, size_t size, const char *name, const char *suffix)
{
	snprintf(path, size, "%s%s", name, suffix);
}

/* The directory's own path may be longer than a socket address takes. */
static struct sockaddr_un socket_address(int run_dir, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s.sock", run_dir, name);
	return address;
}

int proc_connect(int run_dir, const char *name)
{
	struct sockaddr_un address = socket_address(run_dir, name);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	int sys = errno;
	close(fd);
	errno = sys;
	return -1;
}

bool proc_lock_is_held(int run_dir, const char *name)
{
	char path[SHIM_NAME_MAX + 16];
	file_name(path, sizeof(path), name, ".lock");
	int fd = openat(run_dir, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW), rc;
	if (fd < 0)
		return errno != ENOENT;
	do
		rc = flock(fd, LOCK_EX | LOCK_NB);
	while (rc != 0 && errno == EINTR);
	close(fd);
	return rc != 0;
}

void proc_remove_files(int run_dir, const char *name)
{
	static const char *const suffixes[] = { ".run.tmp", ".end.tmp", ".run", ".sock", ".end", ".lock" };
	if (proc_lock_is_held(run_dir, name))
		return;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		char path[SHIM_NAME_MAX + 16];
		file_name(path, sizeof(path), name, suffixes[i]);
		unlinkat(run_dir, path, 0);
	}
}

/* The file that was locked may have been removed by the shim that held it before. */
static bool lock_is_current(int run_dir, const char *path, int fd)
{
	struct stat mine, there;
	return fstat(fd, &mine) == 0 && fstatat(run_dir, path, &there, AT_SYMLINK_NOFOLLOW) == 0 && mine.st_ino == there.st_ino;
}

static int take_lock(const struct proc_spec *spec, struct err *err)
{
	char path[SHIM_NAME_MAX + 16];
	file_name(path, sizeof(path), spec->name, ".lock");
	for (;;) {
		int fd = openat(spec->run_dir, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return err_sys(err, errno, "open \"%s\"", path);
		if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
			int sys = errno;
			close(fd);
			return sys == EWOULDBLOCK ? err_set(err, ERR_ALREADY_EXISTS, "\"%s\" is held by another program's shim", path)
						  : err_sys(err, sys, "lock \"%s\"", path);
		}
		if (lock_is_current(spec->run_dir, path, fd))
			return fd;
		close(fd);
	}
}

/* A record that nobody released is not to be overwritten: it may be the only trace of processes that live. */
static int check_unused(const struct proc_spec *spec, struct err *err)
{
	static const char *const suffixes[] = { ".run", ".end" };
	for (size_t i = 0; i < 2; i++) {
		char path[SHIM_NAME_MAX + 16];
		file_name(path, sizeof(path), spec->name, suffixes[i]);
		if (faccessat(spec->run_dir, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return err_set(err, ERR_ALREADY_EXISTS, "\"%s\" is the record of a program that was not released", path);
	}
	return 0;
}

static int make_listener(const struct proc_spec *spec, struct err *err)
{
	struct sockaddr_un address = socket_address(spec->run_dir, spec->name);
	char path[SHIM_NAME_MAX + 16];
	file_name(path, sizeof(path), spec->name, ".sock");
	unlinkat(spec->run_dir, path, 0);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, errno, "socket");
	/* the mode of the socket is that of its file, whatever the umask */
	if (fchmod(fd, 0600) != 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 16) != 0) {
		err_sys(err, errno, "listen on \"%s\"", path);
		close(fd);
		return -1;
	}
	return fd;
}

/* ---- the specification */

static const char *find_mark(const char *const *envp)
{
	for (; *envp != NULL; envp++)
		if (strncmp(*envp, MARK_VARIABLE, strlen(MARK_VARIABLE)) == 0)
			return *envp + strlen(MARK_VARIABLE);
	return NULL;
}

static bool is_plain(const char *text, size_t max)
{
	size_t len = strlen(text);
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	return len > 0 && len <= max;
}

static int check_fds(const struct proc_spec *spec, struct err *err)
{
	if (spec->fd_count > SHIM_FDS_MAX || spec->held_count > SHIM_HELD_MAX || spec->join_count > SHIM_JOIN_MAX)
		return err_set(err, ERR_INVALID_ARGUMENT, "too many descriptors");
	for (size_t i = 0; i < spec->fd_count; i++) {
		if (spec->fds[i].child_fd < 0 || spec->fds[i].child_fd > (int)SHIM_CHILD_FD_MAX)
			return err_set(err, ERR_INVALID_ARGUMENT, "descriptor %d is out of range", spec->fds[i].child_fd);
		for (size_t k = 0; k < i; k++)
			if (spec->fds[k].child_fd == spec->fds[i].child_fd)
				return err_set(err, ERR_INVALID_ARGUMENT, "descriptor %d is given twice", spec->fds[i].child_fd);
	}
	for (size_t i = 0; i < spec->held_count; i++)
		if (!is_plain(spec->held[i].name, SHIM_HELD_NAME_MAX))
			return err_set(err, ERR_INVALID_ARGUMENT, "\"%s\" is no name for a descriptor", spec->held[i].name);
	return 0;
}

static int check_spec(const struct proc_spec *spec, struct err *err)
{
	if (!proc_name_is_valid(spec->name))
		return err_set(err, ERR_INVALID_ARGUMENT, "\"%s\" is no name for a program's files", spec->name);
	if (spec->program[0] != '/' || spec->cwd[0] != '/')
		return err_set(err, ERR_INVALID_ARGUMENT, "\"%s\" is not absolute", spec->program[0] != '/' ? spec->program : spec->cwd);
	if (spec->argv[0] == NULL)
		return err_set(err, ERR_INVALID_ARGUMENT, "no argument 0");
	if (spec->user != NULL && spec->user->group_count > SHIM_GROUPS_MAX)
		return err_set(err, ERR_INVALID_ARGUMENT, "too many groups");
	const char *mark = find_mark(spec->envp);
	if (mark != NULL && !is_plain(mark, SHIM_MARK_MAX))
		return err_set(err, ERR_INVALID_ARGUMENT, MARK_VARIABLE "\"%s\": it must be printable and without blanks", mark);
	return check_fds(spec, err);
}

struct image {
	char *data;
	size_t len, capacity;
};

static void image_add(struct image *image, const void *data, size_t len)
{
	if (len > image->capacity - image->len) {
		image->capacity = (image->len + len) * 2;
		image->data = xrealloc(image->data, image->capacity, 1);
	}
	memcpy(image->data + image->len, data, len);
	image->len += len;
}

static void image_add_string(struct image *image, const char *string)
{
	image_add(image, string, strlen(string) + 1);
}

static uint32_t image_add_strings(struct image *image, const char *const *strings)
{
	uint32_t count = 0;
	for (; *strings != NULL; strings++, count++)
		image_add_string(image, *strings);
	return count;
}

_Static_assert((int)PROC_NETWORK_HOST == SHIM_NETWORK_HOST && (int)PROC_NETWORK_TRY == SHIM_NETWORK_TRY &&
		       (int)PROC_NETWORK_OWN == SHIM_NETWORK_OWN && (int)PROC_NETWORK_TRUST == SHIM_NETWORK_TRUST,
	       "the shim's numbers");

static void image_build(struct image *image, const struct proc_spec *spec)
{
	struct shim_spec head = {
		.magic = SHIM_SPEC_MAGIC,
		.version = SHIM_SPEC_VERSION,
		.umask = spec->umask,
		.uid = spec->user == NULL ? SHIM_KEEP_ID : spec->user->uid,
		.gid = spec->user == NULL ? 0 : spec->user->gid,
		.nofile = spec->nofile,
		.memory_mib = (uint32_t)(spec->memory_bytes >> 20 < UINT32_MAX ? (spec->memory_bytes + (1 << 20) - 1) >> 20 : UINT32_MAX),
		.cpu_s = spec->cpu_s,
		.network = (uint32_t)spec->network,
		.is_confined = spec->is_confined,
		.group_count = spec->user == NULL ? 0 : (uint32_t)spec->user->group_count,
		.fd_count = (uint32_t)spec->fd_count,
		.held_count = (uint32_t)spec->held_count,
		.join_count = (uint32_t)spec->join_count,
		.has_cgroup = spec->has_cgroup,
	};
	image_add(image, &head, sizeof(head));
	for (size_t i = 0; i < head.group_count; i++)
		image_add(image, &(uint32_t){ spec->user->groups[i] }, sizeof(uint32_t));
	for (size_t i = 0; i < spec->fd_count; i++)
		image_add(image, &(uint32_t){ (uint32_t)spec->fds[i].child_fd }, sizeof(uint32_t));
	size_t kept = image->len;
	const char *mark = find_mark(spec->envp);
	image_add_string(image, spec->name);
	image_add_string(image, mark != NULL ? mark : "-");
	for (size_t i = 0; i < spec->held_count; i++)
		image_add_string(image, spec->held[i].name);
	head.kept_size = (uint32_t)(image->len - kept);
	image_add_string(image, spec->program);
	image_add_string(image, spec->cwd);
	head.argc = image_add_strings(image, spec->argv);
	head.envc = image_add_strings(image, spec->envp);
	head.size = (uint32_t)image->len;
	memcpy(image->data, &head, sizeof(head));
}

static int write_spec(int fd, const struct image *image, struct err *err)
{
	for (size_t done = 0; done < image->len;) {
		ssize_t n = write(fd, image->data + done, image->len - done);
		if (n < 0 && errno != EINTR)
			return err_sys(err, errno, "write the specification");
		done += n > 0 ? (size_t)n : 0;
	}
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
		return err_sys(err, errno, "seal the specification");
	return 0;
}

static int make_spec(const struct proc_spec *spec, struct err *err)
{
	struct image image = { 0 };
	image_build(&image, spec);
	int fd = -1;
	if (image.len > SHIM_SPEC_MAX)
		err_set(err, ERR_INVALID_ARGUMENT, "arguments and environment are too long");
	else if ((fd = memfd_create("pwemu-spec", MFD_CLOEXEC | MFD_ALLOW_SEALING)) < 0)
		err_sys(err, errno, "memfd_create");
	else if (write_spec(fd, &image, err) != 0) {
		close(fd);
		fd = -1;
	}
	explicit_bzero(image.data, image.len);
	free(image.data);
	return fd;
}

/* ---- the fork */

struct fork_plan {
	const char *path;
	const char *const *argv;
	int *fds; /* in the order of SHIM_FD_SPEC and on */
	int count;
	volatile int sys; /* why there was no exec */
};

/* Runs on the parent's memory. Sources may lie where targets go, so they move above all of these first. */
static _Noreturn void fork_child(struct fork_plan *plan)
{
	static const char *const no_env[] = { NULL };
	int top = SHIM_FD_SPEC + plan->count;
	for (int i = 0; i < plan->count; i++) {
		plan->fds[i] = fcntl(plan->fds[i], F_DUPFD_CLOEXEC, top);
		if (plan->fds[i] < 0)
			goto failed;
	}
	for (int i = 0; i < plan->count; i++)
		if (dup2(plan->fds[i], SHIM_FD_SPEC + i) < 0)
			goto failed;
	if (close_range((unsigned)top, ~0u, 0) != 0)
		goto failed;
	execve(plan->path, (char *const *)(uintptr_t)plan->argv, (char *const *)(uintptr_t)no_env);
failed:
	plan->sys = errno;
	_exit(127);
}

/* The daemon waits for the exec and no longer, and learns at once when there is none. No signal may be handled on shared memory. */
static __attribute__((noinline)) pid_t fork_shim(struct fork_plan *plan)
{
	sigset_t all, before;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid_t pid = vfork();
	if (pid == 0)
		fork_child(plan);
	int sys = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = sys;
	return pid;
}

static int launch_shim(const char *shim_path, const struct proc_spec *spec, const int fixed[4], pid_t *shim, struct err *err)
{
	const char *argv[] = { "pwemu-shim", spec->name, NULL };
	struct fork_plan plan = { .path = shim_path, .argv = argv };
	plan.fds = xcalloc(5 + spec->fd_count + spec->join_count + spec->held_count, sizeof(int));
	for (int i = 0; i < 4; i++)
		plan.fds[plan.count++] = fixed[i];
	for (size_t i = 0; i < spec->fd_count; i++)
		plan.fds[plan.count++] = spec->fds[i].fd;
	for (size_t i = 0; i < spec->join_count; i++)
		plan.fds[plan.count++] = spec->join_fds[i];
	if (spec->has_cgroup)
		plan.fds[plan.count++] = spec->cgroup_fd;
	for (size_t i = 0; i < spec->held_count; i++)
		plan.fds[plan.count++] = spec->held[i].fd;
	pid_t pid = fork_shim(&plan);
	int sys = pid < 0 ? errno : plan.sys;
	free(plan.fds);
	if (pid > 0 && sys != 0)
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	if (sys != 0)
		return err_sys(err, sys, "start \"%s\"", shim_path);
	*shim = pid;
	return 0;
}

enum { LAUNCH_SPEC, LAUNCH_RUN_DIR, LAUNCH_LISTENER, LAUNCH_LOCK };

static int launch_locked(const char *shim_path, const struct proc_spec *spec, int fixed[4], pid_t *shim, int *conn, struct err *err)
{
	if (check_unused(spec, err) != 0)
		return -1;
	fixed[LAUNCH_LISTENER] = make_listener(spec, err);
	if (fixed[LAUNCH_LISTENER] < 0)
		return -1;
	fixed[LAUNCH_SPEC] = make_spec(spec, err);
	if (fixed[LAUNCH_SPEC] < 0)
		return -1;
	/* waits in the listener's queue until there is a shim */
	int fd = proc_connect(spec->run_dir, spec->name);
	if (fd < 0)
		return err_sys(err, errno, "connect to \"%s.sock\"", spec->name);
	if (launch_shim(shim_path, spec, fixed, shim, err) != 0) {
		close(fd);
		return -1;
	}
	*conn = fd;
	return 0;
}

int proc_launch(const char *shim_path, const struct proc_spec *spec, pid_t *shim, int *conn, struct err *err)
{
	int fixed[4] = { -1, spec->run_dir, -1, -1 };
	if (check_spec(spec, err) != 0)
		return -1;
	fixed[LAUNCH_LOCK] = take_lock(spec, err);
	if (fixed[LAUNCH_LOCK] < 0)
		return -1;
	int result = launch_locked(shim_path, spec, fixed, shim, conn, err);
	for (int i = 0; i < 4; i++)
		if (i != LAUNCH_RUN_DIR && fixed[i] >= 0)
			close(fixed[i]);
	if (result != 0 && (err == NULL || err->code != ERR_ALREADY_EXISTS))
		proc_remove_files(spec->run_dir, spec->name);
	return result;
}
