/* SPDX-License-Identifier: Apache-2.0 */
/* Where channels can be reached besides the control socket: --tcp, --pty and --gdb of a start, and what became of them. */
#pragma once

#include <stddef.h>

#include "pwemu/v1/instances.pb-c.h"
#include "wire/err.h"

struct opts;

struct endpoints {
	Pwemu__V1__Endpoint *items, **list; /* for StartRequest.endpoints; channel names are owned */
	size_t count;
};

/* INVALID_ARGUMENT when one channel is named twice. To be released also after a failure. */
int endpoints_init(struct endpoints *endpoints, const struct opts *opts, struct err *err) __attribute__((warn_unused_result));
void endpoints_fini(struct endpoints *endpoints);

/* "127.0.0.1:20001", the path of a PTY or socket; "" when there is none. Returns buf. */
const char *endpoints_address(const Pwemu__V1__Channel *channel, char *buf, size_t size);
