/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A supervised process: the daemon's side of pwemu-shim.
 *
 * proc_spawn() starts a shim that starts the program; proc_adopt() finds the shim that an earlier daemon started. From then on
 * both are the same. The shim lives in a run directory and owns these files there, NAME being proc_spec.name:
 *     NAME.lock  flocked by the daemon before the fork and inherited: held = a shim is alive (or about to be)
 *     NAME.run   {pid, start time, boot id} of the program, written before it executes
 *     NAME.end   how it ended, written when the whole process tree is dead
 *     NAME.sock  the shim's control socket
 * The shim stays after the end, holding its fds, until proc_release(). A name is taken until then, so boots need names of their own.
 *
 * A program is recognised by PWEMU_INSTANCE=VALUE in its environment (VALUE printable, no blanks, at most 255 bytes): when its shim
 * was killed, every process that carries it is killed before on_ended says shim_died.
 *
 * Callbacks come from the loop, never from inside a call, and may call anything here, proc_free included.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/user.h"
#include "wire/err.h"

struct event_base;
struct proc;

struct proc_fd {
	int fd;       /* the daemon's; stays the caller's */
	int child_fd; /* number it has in the program; 0, 1, 2 are stdin, stdout, stderr (absent: /dev/null) */
};

struct proc_held {
	const char *name; /* name under which the shim hands it to a later daemon */
	int fd;           /* the daemon's; stays the caller's */
};

#define PROC_JOIN_MAX 2

struct proc_spec {
	int run_dir;             /* fd of the run directory */
	const char *name;        /* plain file name */
	const char *program;     /* absolute path */
	const char *const *argv; /* NULL-terminated */
	const char *const *envp; /* NULL-terminated; the caller has added PWEMU_INSTANCE */
	const char *cwd;         /* absolute; entered after the uid change */
	mode_t umask;
	const struct user *user;   /* what it becomes; NULL: it keeps the daemon's identity */
	const struct proc_fd *fds; /* what the program gets; everything else is closed */
	size_t fd_count;
	const struct proc_held *held; /* what the shim keeps until released */
	size_t held_count;
	uint64_t memory_bytes; /* RLIMIT_AS of the program; 0: the daemon's */
	uint32_t cpu_s;        /* RLIMIT_CPU: SIGXCPU after that; 0: the daemon's */
	uint32_t nofile;       /* RLIMIT_NOFILE of the program, also the most that it may have; 0: the daemon's, at most 65536 */
	/* No capability, ever; root alone keeps his right to files. */
	bool is_confined;
	/* The network it sees: the host's, or its own with nothing but lo: where the host allows it (TRY; TRUST is quicker, for a host that
	 * has allowed it before: if it does no more, that may be seen too late to go on), or else it is not executed. */
	enum proc_network { PROC_NETWORK_HOST, PROC_NETWORK_TRY, PROC_NETWORK_OWN, PROC_NETWORK_TRUST } network;
	int cgroup_fd; /* cgroup.procs of the control group that it enters; the caller's */
	bool has_cgroup;
	/* Namespaces it joins instead, in this order, where it is not to have the host's; the caller's. One that cannot be joined is not.
	 */
	int join_fds[PROC_JOIN_MAX];
	size_t join_count;
};

#define PROC_FDS_MAX  64 /* entries in fds; child_fd is at most 255 */
#define PROC_HELD_MAX 512
#define PROC_MARK_MAX 255

/* How a program ended. */
struct proc_end {
	int code;                    /* exit code, -1 if a signal ended it or it was not executed */
	int signal;                  /* 0 if none */
	int exec_errno;              /* != 0: it was not executed (also chdir, uid change; then exec_what says which) */
	char exec_what[32];          /* "execve", "chdir", "setuid", … */
	bool shim_died;              /* nobody knows how it ended: the shim itself was killed; code is -1 */
	uint64_t time_ns;            /* wall clock */
	uint64_t user_us, system_us; /* CPU time of the whole tree */
	uint64_t max_rss_kib;
};

struct proc_ops {
	/* The program's pid is known (its record is written); it executes next. Not called when it cannot be forked. */
	void (*on_started)(void *ctx, pid_t pid);
	/* The program and all its descendants are dead. Called once, from the loop. */
	void (*on_ended)(void *ctx, const struct proc_end *end);
	/* After proc_release(): the shim is gone, its files are removed, the name is free. May be NULL. */
	void (*on_released)(void *ctx);
};

/* Boot id of the host (/proc/sys/kernel/random/boot_id); "" when it cannot be read. Static storage. */
const char *proc_host_boot(void);

/* Starts. Returns as soon as the shim is executed; everything else is told by callbacks. run_dir is duplicated. ALREADY_EXISTS
 * while the name is taken. */
int proc_spawn(struct event_base *base, const char *shim_path, const struct proc_spec *spec, const struct proc_ops *ops, void *ctx,
	       struct proc **out, struct err *err) __attribute__((warn_unused_result));

/*
 * Takes over what an earlier daemon spawned under this name. NOT_FOUND when there is neither a live shim nor a record of an end.
 * Callbacks come from the loop: on_started if it runs, on_ended if it ended (also meanwhile).
 */
int proc_adopt(struct event_base *base, int run_dir, const char *name, const struct proc_ops *ops, void *ctx, struct proc **out,
	       struct err *err) __attribute__((warn_unused_result));

/* For one whose files somebody has removed: it cannot be taken over, so all that carries the mark is killed; its shim then goes by
 * itself. run_dir is a new, empty one. on_ended follows, with shim_died, also when there was nothing. */
int proc_adopt_lost(struct event_base *base, int run_dir, const char *name, const char *mark, uid_t uid, const struct proc_ops *ops,
		    void *ctx, struct proc **out, struct err *err) __attribute__((warn_unused_result));

/* Whether a shim lives under this name, and, 0 when not known, its program's pid and its own. */
bool proc_peek(int run_dir, const char *name, pid_t *pid, pid_t *shim);

pid_t proc_pid(const struct proc *proc);      /* 0 when it does not run */
pid_t proc_shim_pid(const struct proc *proc); /* 0 while an adopted one is not known yet, and when it is gone */
bool proc_has_ended(const struct proc *proc);

/* SIGTERM to the program, after grace_ms SIGKILL to the whole tree until nothing is left; on_ended follows. Repeated calls can
 * only shorten the grace. grace_ms 0: SIGKILL at once. */
void proc_stop(struct proc *proc, uint32_t grace_ms);

/* Asks the shim for a held fd by name; returns a new CLOEXEC fd. Bounded wait (the shim answers at once). */
int proc_held_fd(struct proc *proc, const char *name, int *fd, struct err *err) __attribute__((warn_unused_result));

/* Has the shim hold one more fd until it is released, instead of one that it holds under this name; the caller keeps his. A shim of an
 * earlier version cannot: UNAVAILABLE, and the connection to it is made anew. Bounded wait. */
int proc_hold_fd(struct proc *proc, const char *name, int fd, struct err *err) __attribute__((warn_unused_result));

/* After the end (of an adopted one also before it was told), once: the shim drops what it holds and exits; its files are removed.
 * proc_free() may follow at once. */
void proc_release(struct proc *proc);

/* Forgets it, leaving shim and program as they are (daemon exit). Takes NULL. */
void proc_free(struct proc *proc);
