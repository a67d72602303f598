/* SPDX-License-Identifier: Apache-2.0 */
/* Tells when a process that is nobody's child here has ended, by a pidfd: another one that gets its number is not taken for it. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct pidwatch;

/* When a process that lives began: field 22 of /proc/PID/stat. -1: there is none, or it is a zombie. */
int pidwatch_start_of(pid_t pid, uint64_t *start) __attribute__((warn_unused_result));

/*
 * on_death comes once, from the loop, also when it is not there (any more). start: of the process that is meant, 0 for whoever has the
 * number now. pid 0 or less is a process that has died. Where there is no pidfd to be had (no descriptors) it is looked at every second.
 */
struct pidwatch *pidwatch_new(struct event_base *base, pid_t pid, uint64_t start, void (*on_death)(void *ctx), void *ctx);
void pidwatch_free(struct pidwatch *watch); /* takes NULL; also from on_death */
