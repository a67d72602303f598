/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's own settings, from pwemud.json: one table of keys in settings.c. All of them can be changed while it runs (reload). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "wire/err.h"

#define SETTINGS_TEXT_MAX 1024

struct settings {
	uint32_t port_first, port_last; /* TCP ports that endpoints get when none was asked for */
	uint64_t log_limit_bytes;       /* newest bytes kept of a channel, where the target says nothing */
	bool log_drop_oldest;           /* on a full disk: the oldest data of the channel goes; else the emulator waits */
	uint64_t keep_ms;               /* ended instances and their logs: this long */
	uint64_t keep_bytes;            /* … and together at most this many bytes on disk, oldest first */
	enum settings_isolate {
		SETTINGS_ISOLATE_AUTO, /* a network of its own where the host allows it and the emulator needs no other */
		SETTINGS_ISOLATE_OFF,
		SETTINGS_ISOLATE_REQUIRED, /* … or no start */
	} isolate;                         /* of emulators, where the target says nothing */
	char admin_group[64];              /* its members control everything of a daemon of many users, as root does; "": nobody else */
	uint64_t user_instances, all_instances;          /* limits, 0: none: instances that are not over, of one user and of all … */
	uint64_t user_queued;                            /* … that wait for their turn … */
	uint64_t user_log_bytes;                         /* … what a user's logs take on disk before he may start another … */
	uint64_t user_connections;                       /* … open connections … */
	uint64_t emulator_memory_bytes, emulator_cpu_ms; /* address space (memory, in a group) and CPU time of each emulator; 0: no limit */
	char cgroup[SETTINGS_TEXT_MAX];                  /* delegated control group (v2) that emulators are put below; "": none … */
	uint64_t user_memory_bytes, user_cpu_percent;    /* … and there what all of a user's may have together; 0: no limit */
	uint64_t user_requests;                          /* … calls in a second, over ten seconds */
	uint64_t lease_grace_ms;        /* a client whose connection was cut, or whose daemon was restarted, has this long to come back */
	uint64_t max_running;           /* instances that may be there at once; more wait in the queue. 0: no limit */
	uint64_t upload_limit_bytes;    /* of one image that a client sends */
	uint64_t upload_store_bytes;    /* of all of a user's together; the oldest that nothing uses go first */
	char listen[SETTINGS_TEXT_MAX]; /* network addresses, "tcp://HOST:PORT", with blanks between; read at start only */
	char tls_cert[SETTINGS_TEXT_MAX], tls_key[SETTINGS_TEXT_MAX]; /* PEM files of what is shown there; "": made by the daemon */
	char tls_client_ca[SETTINGS_TEXT_MAX]; /* PEM file; clients with a certificate of one of these need no token */
	char tls_users[SETTINGS_TEXT_MAX];     /* "COMMON-NAME=USER …"; others act as the user of their common name */
	uint64_t idle_ms;                      /* a daemon that a client started ends this long after its last instance ended */
};

const char *settings_isolate_word(enum settings_isolate isolate); /* "auto", "off", "required" */

/* The defaults. */
void settings_init(struct settings *settings);

/*
 * Reads the file over the defaults; *out is untouched on failure. A file that is not there means the defaults, unless it is required.
 * Errors read "FILE:LINE: KEY: what is wrong".
 */
int settings_load(const char *path, bool is_required, struct settings *out, struct err *err) __attribute__((warn_unused_result));

/* The keys, their defaults and what they mean, for people. */
void settings_help(FILE *to);
