/* SPDX-License-Identifier: Apache-2.0 */
/* What --junit and --log-dir leave of a run. All but report_open() take a NULL report, of a run that has neither. */
#pragma once

#include <stddef.h>

#include "client/verdict.h"
#include "pwemu/v1/channels.pb-c.h"
#include "wire/err.h"

struct conn;
struct report;
struct session_config;

/* Looks whether what is wanted can be written. *out is the caller's on failure too: it has what can be. */
int report_open(const struct session_config *config, struct report **out, struct err *err) __attribute__((warn_unused_result));
void report_free(struct report *report);

/* A channel in which tests are looked for, and what it prints. */
size_t report_add_channel(struct report *report, const char *name);
void report_take(struct report *report, size_t channel, const Pwemu__V1__Data *data);

/* Writes it. conn NULL: the daemon cannot be asked any more; inst NULL: it never started. Says what fails; then a run that was to end with
 * 0 ends with EXIT_TROUBLE. */
void report_finish(struct report *report, struct conn *conn, const Pwemu__V1__Instance *inst, struct outcome *outcome);
