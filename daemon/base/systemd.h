/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service manager, where there is one: sockets that it has made, notifications, the journal. Built without libsystemd
 * (WITH_SYSTEMD=no), or on a host without it, nothing of it is there, and who was promised it is warned. The library is loaded only by a
 * daemon that a service manager has started.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads what the environment promises and takes that out of it, so that no child believes it is meant. Once, before anything else is opened
 * or closed. `is_ours` false: who has started us was promised it, not we; it is forgotten. */
void systemd_take(bool is_ours);

/* The first listening UNIX stream socket that was passed, now the caller's, CLOEXEC and non-blocking, with its path; -1: none. The others
 * are closed. */
int systemd_listener(char *path, size_t size);

bool systemd_is_notified(void);
/* "READY=1", "STATUS=…", several with newlines between; nothing where nobody listens. */
void systemd_notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* How often it wants WATCHDOG=1, at least, in milliseconds; 0: it does not. */
uint64_t systemd_watchdog_ms(void);

/* Whether stderr leads to the journal. */
bool systemd_has_journal(void);
/* One message with the syslog priority; empty fields are left out. False: it was not taken. */
bool systemd_journal(int priority, const char *text, const char *instance, const char *id, const char *user, const char *actor);

/* Puts back what was taken, for the program that this process becomes next. listen_fd -1: there is none. */
void systemd_hand_on(int listen_fd);
