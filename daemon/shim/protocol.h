/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What pwemud and pwemu-shim say to each other. Included by both.
 *
 * The start: the daemon executes the shim with these descriptors and nothing else, every signal blocked and an empty environment;
 * the specification is a sealed memfd, so that neither arguments nor environment of the program show in the shim's /proc entry.
 * Both are of one build, hence a plain struct.
 *
 * Later: SOCK_SEQPACKET connections to NAME.sock, one text packet a message. A later daemon may be of another version, so what
 * is here may only grow. A shim hangs up on a peer whose words it does not know.
 *     daemon: "stop MS"      SIGTERM to the tree, SIGKILL after MS milliseconds (0: at once); repeated, it can only shorten
 *             "get NAME"     asks for a held descriptor
 *             "hold NAME"    with SCM_RIGHTS: one more descriptor to hold, instead of one of this name
 *             "release"      after the end: remove the files, close everything, exit
 *             "ping"
 *     shim:   the text of NAME.run or NAME.end, when it is written and, the newest of them, to each new connection
 *             "fd NAME" with SCM_RIGHTS, or "none NAME"
 *             "held NAME", or "full NAME" when there is no room for it
 *             "pong"
 * A peer of another uid is hung up on.
 *
 * Records: NAME.run and NAME.end are lines "key value" in the order of the tables below, first SHIM_RUN_TITLE or SHIM_END_TITLE,
 * last "end" (so that a torn file is seen). They appear by rename.
 */
#pragma once

#include <stdint.h>

#define SHIM_FD_SPEC     3
#define SHIM_FD_RUN_DIR  4
#define SHIM_FD_LISTENER 5
#define SHIM_FD_LOCK     6
#define SHIM_FD_FIRST    7 /* the program's descriptors, then what it joins (namespaces, control group), then the held ones */

#define SHIM_SPEC_MAGIC    0x4d485350u
#define SHIM_SPEC_VERSION  3u
#define SHIM_SPEC_MAX      (8u << 20) /* more than execve takes */
#define SHIM_FDS_MAX       64u        /* descriptors of the program */
#define SHIM_CHILD_FD_MAX  255u       /* largest number one may have there */
#define SHIM_JOIN_MAX      2u         /* namespaces */
#define SHIM_HELD_MAX      512u
#define SHIM_ADDED_MAX     128u /* held descriptors that came later */
#define SHIM_GROUPS_MAX    65536u
#define SHIM_NAME_MAX      64u /* of the program in the run directory; the path of its socket must fit */
#define SHIM_HELD_NAME_MAX 100u
#define SHIM_MARK_MAX      255u
#define SHIM_KEEP_ID       UINT32_MAX /* uid: keep the shim's identity */
#define SHIM_PACKET_MAX    1024u

#define SHIM_RUN_TITLE "pwemu-run 1"
#define SHIM_END_TITLE "pwemu-end 1"

#define SHIM_LEFTOVER_GRACE_MS 500  /* between SIGTERM and SIGKILL for what the program left behind */
#define SHIM_SIGTERM_GRACE_MS  5000 /* somebody sent the shim itself SIGTERM */
#define SHIM_NOFILE_DEFAULT    65536

/*
 * Followed by uint32_t groups[group_count], uint32_t child_fds[fd_count], then NUL-terminated strings without gaps: name, mark
 * ("-" for none), the held names (kept_size bytes up to here), program, cwd, argv, envp.
 */
struct shim_spec {
	uint32_t magic;
	uint32_t version;
	uint32_t size; /* of everything */
	uint32_t kept_size;
	uint32_t umask;
	uint32_t uid; /* SHIM_KEEP_ID: gid and groups are not changed either */
	uint32_t gid;
	uint32_t nofile;      /* hard and soft; 0: what the daemon has, at most SHIM_NOFILE_DEFAULT */
	uint32_t memory_mib;  /* of address space; 0: as the daemon */
	uint32_t cpu_s;       /* of CPU time; 0: as the daemon */
	uint32_t network;     /* enum shim_network */
	uint32_t is_confined; /* 1: no capability, save those of root for files */
	uint32_t group_count;
	uint32_t fd_count;
	uint32_t join_count; /* of a network that is not to be the host's: joined in this order instead of making one */
	uint32_t has_cgroup; /* 1: the last of what it joins is a cgroup.procs */
	uint32_t held_count;
	uint32_t argc;
	uint32_t envc;
};

/* The network that the program sees. */
enum shim_network {
	SHIM_NETWORK_HOST,
	SHIM_NETWORK_TRY,   /* its own, with nothing but lo, where the host allows that */
	SHIM_NETWORK_OWN,   /* its own, or it is not executed */
	SHIM_NETWORK_TRUST, /* as TRY, without looking first */
};

#define SHIM_GROUP_WHAT   "its control group"
#define SHIM_NETWORK_WHAT "its own network (\"isolate\")" /* shim_exec_error.what */

/* Travels from the child to the shim when the program could not be executed. */
struct shim_exec_error {
	int32_t sys;
	char what[28];
};
