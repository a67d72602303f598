/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libfault.so: makes one call of one libc function fail, once. For pwemud by LD_PRELOAD, for the test's variant of pwemu-shim linked
 * before libc.
 *
 * "fault.conf" beside the executable, read at the first call: "FUNCTION INDEX ERRNO" (a number), or "count" for none to fail. Calls
 * are counted in "fault.counts" beside it, which is mapped and shared by all processes that have it open, so that the index goes
 * through the whole scenario: those of a daemon, its helpers and the daemon after it are one row. The file is uint32_t, in the order
 * of the table below: the counts, then how often the fault has come. "fault.hit" says then where: pid, program and addresses.
 * Without fault.conf nothing is done.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Result, name, parameters, arguments. All fail with -1. */
#define FUNCTIONS(X)                                                                                                                       \
	X(ssize_t, read, (int fd, void *buf, size_t n), (fd, buf, n))                                                                      \
	X(ssize_t, write, (int fd, const void *buf, size_t n), (fd, buf, n))                                                               \
	X(ssize_t, pread, (int fd, void *buf, size_t n, off_t at), (fd, buf, n, at))                                                       \
	X(ssize_t, pwrite, (int fd, const void *buf, size_t n, off_t at), (fd, buf, n, at))                                                \
	X(ssize_t, splice, (int in, off_t *in_at, int out, off_t *out_at, size_t n, unsigned flags), (in, in_at, out, out_at, n, flags))   \
	X(ssize_t, sendfile, (int out, int in, off_t *at, size_t n), (out, in, at, n))                                                     \
	X(int, rename, (const char *from, const char *to), (from, to))                                                                     \
	X(int, renameat, (int from_dir, const char *from, int to_dir, const char *to), (from_dir, from, to_dir, to))                       \
	X(ssize_t, readv, (int fd, const struct iovec *parts, int n), (fd, parts, n))                                                      \
	X(ssize_t, writev, (int fd, const struct iovec *parts, int n), (fd, parts, n))                                                     \
	X(int, fsync, (int fd), (fd))                                                                                                      \
	X(int, fdatasync, (int fd), (fd))                                                                                                  \
	X(int, ftruncate, (int fd, off_t size), (fd, size))                                                                                \
	X(int, fallocate, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size))                                                  \
	X(int, fstat, (int fd, struct stat *st), (fd, st))                                                                                 \
	X(int, stat, (const char *path, struct stat *st), (path, st))                                                                      \
	X(int, lstat, (const char *path, struct stat *st), (path, st))                                                                     \
	X(int, fstatat, (int dir, const char *path, struct stat *st, int flags), (dir, path, st, flags))                                   \
	X(int, access, (const char *path, int mode), (path, mode))                                                                         \
	X(int, faccessat, (int dir, const char *path, int mode, int flags), (dir, path, mode, flags))                                      \
	X(int, mkdir, (const char *path, mode_t mode), (path, mode))                                                                       \
	X(int, mkfifoat, (int dir, const char *path, mode_t mode), (dir, path, mode))                                                      \
	X(int, symlink, (const char *to, const char *path), (to, path))                                                                    \
	X(int, link, (const char *from, const char *to), (from, to))                                                                       \
	X(ssize_t, readlink, (const char *path, char *buf, size_t n), (path, buf, n))                                                      \
	X(int, unlink, (const char *path), (path))                                                                                         \
	X(int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags))                                                       \
	X(int, rmdir, (const char *path), (path))                                                                                          \
	X(int, chmod, (const char *path, mode_t mode), (path, mode))                                                                       \
	X(int, fchmod, (int fd, mode_t mode), (fd, mode))                                                                                  \
	X(int, chdir, (const char *path), (path))                                                                                          \
	X(int, flock, (int fd, int operation), (fd, operation))                                                                            \
	X(int, dup2, (int from, int to), (from, to))                                                                                       \
	X(int, pipe2, (int fds[2], int flags), (fds, flags))                                                                               \
	X(int, socket, (int domain, int type, int protocol), (domain, type, protocol))                                                     \
	X(int, socketpair, (int domain, int type, int protocol, int fds[2]), (domain, type, protocol, fds))                                \
	X(int, bind, (int fd, const struct sockaddr *address, socklen_t len), (fd, address, len))                                          \
	X(int, listen, (int fd, int backlog), (fd, backlog))                                                                               \
	X(int, connect, (int fd, const struct sockaddr *address, socklen_t len), (fd, address, len))                                       \
	X(int, accept4, (int fd, struct sockaddr *address, socklen_t *len, int flags), (fd, address, len, flags))                          \
	X(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *len), (fd, level, name, value, len))                      \
	X(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t len), (fd, level, name, value, len))                 \
	X(ssize_t, send, (int fd, const void *buf, size_t n, int flags), (fd, buf, n, flags))                                              \
	X(ssize_t, recv, (int fd, void *buf, size_t n, int flags), (fd, buf, n, flags))                                                    \
	X(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))                                               \
	X(ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags), (fd, msg, flags))                                                     \
	X(int, poll, (struct pollfd * fds, nfds_t n, int timeout), (fds, n, timeout))                                                      \
	X(int, epoll_ctl, (int epoll, int operation, int fd, struct epoll_event *event), (epoll, operation, fd, event))                    \
	X(int, epoll_create1, (int flags), (flags))                                                                                        \
	X(int, timerfd_create, (int clock, int flags), (clock, flags))                                                                     \
	X(int, timerfd_settime, (int fd, int flags, const struct itimerspec *to, struct itimerspec *old), (fd, flags, to, old))            \
	X(int, epoll_wait, (int epoll, struct epoll_event *events, int n, int timeout), (epoll, events, n, timeout))                       \
	X(int, inotify_init1, (int flags), (flags))                                                                                        \
	X(int, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask))                                             \
	X(int, memfd_create, (const char *name, unsigned flags), (name, flags))                                                            \
	X(int, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags))                                                       \
	X(int, pidfd_open, (pid_t pid, unsigned flags), (pid, flags))                                                                      \
	X(int, pidfd_send_signal, (int fd, int sig, siginfo_t *info, unsigned flags), (fd, sig, info, flags))                              \
	X(int, waitid, (idtype_t type, id_t id, siginfo_t * info, int options), (type, id, info, options))                                 \
	X(pid_t, waitpid, (pid_t pid, int *status, int options), (pid, status, options))                                                   \
	X(pid_t, fork, (void), ())                                                                                                         \
	X(int, execve, (const char *path, char *const argv[], char *const envp[]), (path, argv, envp))                                     \
	X(int, close_range, (unsigned first, unsigned last, int flags), (first, last, flags))                                              \
	X(ssize_t, getrandom, (void *buf, size_t n, unsigned flags), (buf, n, flags))

/* Those with arguments of their own kind, written out below. */
#define OTHERS(X) X(open) X(openat) X(fcntl) X(ioctl) X(mmap) X(opendir) X(syscall)

enum function {
#define AS_NUMBER(result, name, parameters, arguments) FN_##name,
#define AS_OTHER_NUMBER(name)                          FN_##name,
	FUNCTIONS(AS_NUMBER) OTHERS(AS_OTHER_NUMBER) FN_COUNT
};

static const char *const names[] = {
#define AS_NAME(result, name, parameters, arguments) #name,
#define AS_OTHER_NAME(name)                          #name,
	FUNCTIONS(AS_NAME) OTHERS(AS_OTHER_NAME)
};

static struct {
	bool is_read;
	enum function function;
	uint32_t index;
	int error;
	char directory[4096];
	_Atomic uint32_t *counts; /* FN_COUNT, then the hits; NULL: not wanted */
} fault = { .function = FN_COUNT };

/* ---------------------------------------------------------------- the real ones */

#define REAL(name)                                      real_##name
#define AS_POINTER(result, name, parameters, arguments) static result(*REAL(name)) parameters;
FUNCTIONS(AS_POINTER)
static int (*REAL(open))(const char *path, int flags, ...);
static int (*REAL(openat))(int dir, const char *path, int flags, ...);
static int (*REAL(fcntl))(int fd, int command, ...);
static int (*REAL(ioctl))(int fd, unsigned long request, ...);
static void *(*REAL(mmap))(void *at, size_t size, int protection, int flags, int fd, off_t offset);
static DIR *(*REAL(opendir))(const char *path);
static long (*REAL(syscall))(long number, ...);

static void find_all(void)
{
#define AS_LOOKUP(result, name, parameters, arguments) *(void **)&REAL(name) = dlsym(RTLD_NEXT, #name);
#define AS_OTHER_LOOKUP(name)                          *(void **)&REAL(name) = dlsym(RTLD_NEXT, #name);
	FUNCTIONS(AS_LOOKUP)
	OTHERS(AS_OTHER_LOOKUP)
}

/* ---------------------------------------------------------------- when */

static void path_of(char *path, size_t size, const char *file)
{
	snprintf(path, size, "%s/%s", fault.directory, file);
}

static int plain_open(const char *file, int flags)
{
	char path[4200];
	path_of(path, sizeof(path), file);
	return (int)REAL(syscall)(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600);
}

static void parse(char *text)
{
	char *rest;
	const char *name = strtok_r(text, " \n", &rest), *index = strtok_r(NULL, " \n", &rest), *error = strtok_r(NULL, " \n", &rest);
	for (int i = 0; error != NULL && i < FN_COUNT; i++)
		if (strcmp(names[i], name) == 0)
			fault.function = (enum function)i;
	fault.index = error != NULL ? (uint32_t)strtoul(index, NULL, 10) : 0;
	fault.error = error != NULL ? (int)strtol(error, NULL, 10) : 0;
}

static void map_counts(void)
{
	size_t size = (FN_COUNT + 1) * sizeof(uint32_t);
	int fd = plain_open("fault.counts", O_RDWR | O_CREAT);
	void *counts = MAP_FAILED;
	if (fd >= 0 && REAL(syscall)(SYS_ftruncate, fd, size) == 0)
		counts = (void *)REAL(syscall)(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		REAL(syscall)(SYS_close, fd);
	if (counts != MAP_FAILED)
		fault.counts = counts;
}

static void prepare(void)
{
	char text[256];
	fault.is_read = true;
	ssize_t n = REAL(syscall)(SYS_readlink, "/proc/self/exe", fault.directory, sizeof(fault.directory) - 1);
	fault.directory[n > 0 ? n : 0] = '\0';
	char *slash = strrchr(fault.directory, '/');
	if (slash == NULL)
		return;
	*slash = '\0';
	int fd = plain_open("fault.conf", O_RDONLY);
	if (fd < 0)
		return;
	n = REAL(syscall)(SYS_read, fd, text, sizeof(text) - 1);
	REAL(syscall)(SYS_close, fd);
	text[n > 0 ? n : 0] = '\0';
	parse(text);
	map_counts();
}

static void tell(void)
{
	static bool is_telling;
	void *frames[16];
	char text[64];
	if (is_telling)
		return;
	is_telling = true;
	int fd = plain_open("fault.hit", O_WRONLY | O_CREAT | O_APPEND), count = backtrace(frames, 16);
	if (fd < 0)
		return;
	REAL(syscall)(SYS_write, fd, text, snprintf(text, sizeof(text), "pid %d\n", (int)getpid()));
	backtrace_symbols_fd(frames, count, fd);
	REAL(syscall)(SYS_close, fd);
}

/* Whether this call is the one. */
static bool fails(enum function function)
{
	if (REAL(syscall) == NULL)
		find_all();
	if (!fault.is_read)
		prepare();
	if (fault.counts == NULL)
		return false;
	uint32_t index = atomic_fetch_add(&fault.counts[function], 1);
	if (function != fault.function || index != fault.index)
		return false;
	atomic_fetch_add(&fault.counts[FN_COUNT], 1);
	tell();
	errno = fault.error;
	return true;
}

/* ---------------------------------------------------------------- the functions */

#define AS_FUNCTION(result, name, parameters, arguments)                                                                                   \
	result name parameters                                                                                                             \
	{                                                                                                                                  \
		return fails(FN_##name) ? (result)-1 : REAL(name) arguments;                                                               \
	}
FUNCTIONS(AS_FUNCTION)

/* One more argument than there may be does no harm. */
#define REST(last, type, value)                                                                                                            \
	va_list list;                                                                                                                      \
	va_start(list, last);                                                                                                              \
	type value = va_arg(list, type);                                                                                                   \
	va_end(list);

int open(const char *path, int flags, ...)
{
	REST(flags, mode_t, mode)
	return fails(FN_open) ? -1 : REAL(open)(path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
	REST(flags, mode_t, mode)
	return fails(FN_openat) ? -1 : REAL(openat)(dir, path, flags, mode);
}

int fcntl(int fd, int command, ...)
{
	REST(command, long, value)
	return fails(FN_fcntl) ? -1 : REAL(fcntl)(fd, command, value);
}

int ioctl(int fd, unsigned long request, ...)
{
	REST(request, void *, value)
	return fails(FN_ioctl) ? -1 : REAL(ioctl)(fd, request, value);
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	return fails(FN_mmap) ? MAP_FAILED : REAL(mmap)(at, size, protection, flags, fd, offset);
}

DIR *opendir(const char *path)
{
	return fails(FN_opendir) ? NULL : REAL(opendir)(path);
}

long syscall(long number, ...)
{
	long values[6];
	va_list list;
	va_start(list, number);
	for (int i = 0; i < 6; i++)
		values[i] = va_arg(list, long);
	va_end(list);
	return fails(FN_syscall) ? -1 : REAL(syscall)(number, values[0], values[1], values[2], values[3], values[4], values[5]);
}
