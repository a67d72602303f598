/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a target or a start says about supervision: restart, hang and log policies, from the command line and from JSON.
 *
 *   --restart on-failure,delay=1s,deaths=3
 *   "restart": "always"                        or {"mode": "always", "delay": "100ms", "factor": 2, "max-delay": "30s", "jitter": "20%",
 *                                                  "deaths": 5, "within": "10m", "stable": "10s"}
 *   "hang": {"answer": "10s", "silence": "30s", "channel": "serial0", "action": "event"}       (or "restart", "stop")
 *   "log": {"limit": "64M", "full": "wait"}                                                    (or "drop-oldest")
 *
 * The read functions take a JSON value; messages are initialised by the caller, and freed by him also after a failure. The checks are
 * for what came over the wire: INVALID_ARGUMENT names the key.
 */
#pragma once

#include "config/json.h"
#include "pwemu/v1/targets.pb-c.h"
#include "wire/err.h"

#define POLICY_TEXT_MAX 256

int policy_restart_parse(const char *text, Pwemu__V1__RestartPolicy *out, struct err *err) __attribute__((warn_unused_result));
int policy_restart_read(const struct json_at *at, Pwemu__V1__RestartPolicy *out, struct err *err) __attribute__((warn_unused_result));
int policy_restart_check(const Pwemu__V1__RestartPolicy *policy, struct err *err) __attribute__((warn_unused_result));
/* As on the command line, without what is the default. Returns buf. */
const char *policy_restart_text(const Pwemu__V1__RestartPolicy *policy, char *buf, size_t size);

int policy_hang_read(const struct json_at *at, Pwemu__V1__HangPolicy *out, struct err *err) __attribute__((warn_unused_result));
int policy_hang_check(const Pwemu__V1__HangPolicy *policy, struct err *err) __attribute__((warn_unused_result));
const char *policy_hang_text(const Pwemu__V1__HangPolicy *policy, char *buf, size_t size);

int policy_log_read(const struct json_at *at, Pwemu__V1__LogPolicy *out, struct err *err) __attribute__((warn_unused_result));
int policy_log_check(const Pwemu__V1__LogPolicy *policy, struct err *err) __attribute__((warn_unused_result));
const char *policy_log_text(const Pwemu__V1__LogPolicy *policy, char *buf, size_t size);
