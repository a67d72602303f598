/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP ports of 127.0.0.1. Whoever listens has the port: the listener itself is the only book-keeping, so that nothing is handed out twice
 * and a stranger's port is never taken.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "wire/err.h"

/*
 * Listens; the fd is CLOEXEC and non-blocking. wanted != 0: on that port and no other, ALREADY_EXISTS (reason "port-taken") when
 * somebody else has it. wanted 0: on a free one from first to last; where the search begins moves on with each call, so that a port given
 * back is not handed out again at once. RESOURCE_EXHAUSTED when none is free.
 */
int ports_listen(uint16_t wanted, uint32_t first, uint32_t last, int *fd, uint16_t *port, struct err *err)
	__attribute__((warn_unused_result));

/* Whether the kernel lets only root listen on it. */
bool ports_is_reserved(uint16_t port);

/* Who listens on the port, for people: "process 12 (python3)"; "" when that is not to be seen. For the error message alone: it looks
 * through /proc. */
#define PORTS_HOLDER_MAX 64
void ports_holder(uint16_t port, char out[PORTS_HOLDER_MAX]);
