/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of pwemu-shim. No stdio, no malloc: what it touches is what an idle instance costs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "shim/protocol.h"

#define SHIM_PEERS_MAX 8

/* ---- text.c */
struct text {
	size_t len;
	char buf[SHIM_PACKET_MAX];
};
void text_add(struct text *text, const char *string); /* what does not fit is dropped; the sizes are checked where they come in */
void text_add_number(struct text *text, uint64_t number);
void text_line(struct text *text, const char *key, const char *value);
void text_line_number(struct text *text, const char *key, uint64_t number);
bool text_parse_number(const char *string, size_t len, uint64_t *number);

/* ---- spec.c */
struct spec {
	const struct shim_spec *head;
	const uint32_t *groups;
	const uint32_t *child_fds;
	const char *kept;    /* name, mark, held names */
	const char *program; /* cwd, argv, envp follow */
};
bool spec_map(int fd, struct spec *spec); /* false with errno: nothing that can be trusted */
void spec_unmap(struct spec *spec);
const char *spec_next(const char *string); /* the string behind this one */

/* ---- child.c */
/* Closes a range of descriptors; `last` -1: all from `first` on. */
bool close_fds(int first, int last);
/* Becomes the program: waits for one byte on `sync` before execve; on failure writes a shim_exec_error there. */
_Noreturn void child_exec(const struct spec *spec, int sync, pid_t shim_pid);

/* ---- network.c */
/* Gives this process the network it is to have: one that is there to be joined, or its own with lo up, in a user namespace if need be and
 * if it may. False with errno: that may be in pieces. */
bool network_isolate(enum shim_network network, const int *join_fds, uint32_t join_count, bool may_map);

/* ---- tree.c */
struct tree_entry {
	pid_t pid;
	pid_t parent; /* 0: not known */
	uint64_t start;
	bool inside;
};
struct tree {
	struct tree_entry *entries; /* mapped, so that nothing stays behind */
	size_t count, capacity;
};
bool tree_read_stat(const char *proc, pid_t pid, pid_t *parent, uint64_t *start);
bool tree_walk(const char *proc, pid_t root, struct tree *tree); /* by task/N/children; false: the kernel has no such files */
void tree_scan(const char *proc, pid_t root, struct tree *tree); /* by the parent of every process */
void tree_free(struct tree *tree);
/* Sends a signal to every descendant of this process. `thorough`: by scanning. */
void tree_signal(int sig, bool thorough);

/* ---- control.c, main.c */
enum phase {
	PHASE_RUN,
	PHASE_TERM, /* SIGTERM sent, SIGKILL at `deadline` */
	PHASE_KILL, /* SIGKILL again and again, next at `deadline` */
	PHASE_END   /* recorded */
};

/* A held descriptor that came later. */
struct added {
	int fd;
	char name[SHIM_HELD_NAME_MAX + 1];
};

struct shim {
	enum phase phase;
	uint64_t deadline; /* monotonic ms */
	unsigned kill_rounds;
	bool told_to_go; /* got SIGTERM: does not stay after the end when no daemon is there */
	bool end_written;

	pid_t pid; /* the program, 0: could not be forked */
	uint64_t start, own_start;
	int status;
	bool reaped;
	int sync; /* EOF = executed */
	struct shim_exec_error exec_error;

	const char *kept;
	uint32_t held_count;
	int held_first;       /* number of the first held fd */
	struct text run, end; /* empty until recorded */
	char boot_id[40];

	int signal_fd;
	int peers[SHIM_PEERS_MAX];
	unsigned peer_count;

	struct added *added; /* SHIM_ADDED_MAX of them, mapped for the first one */
	unsigned added_count;
};

uint64_t now_ms(void);
void shim_stop(struct shim *shim, uint64_t grace_ms);
_Noreturn void shim_release(struct shim *shim);
/* The name of one of the program's files in the run directory, "NAME.run". */
void shim_file(const struct shim *shim, const char *suffix, struct text *path);
bool shim_record(const struct shim *shim, const char *suffix, const struct text *record);

void control_accept(struct shim *shim);
void control_receive(struct shim *shim, unsigned peer);
void control_send_all(struct shim *shim, const struct text *text);
