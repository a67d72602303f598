/* SPDX-License-Identifier: Apache-2.0 */
/* evbuffers under the rule of mem.h: running out of memory aborts. */
#pragma once

#include <event2/buffer.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static inline void buf_require(bool is_done)
{
	if (is_done)
		return;
	fputs("out of memory\n", stderr);
	abort();
}

static inline struct evbuffer *buf_new(void)
{
	struct evbuffer *buf = evbuffer_new();
	buf_require(buf != NULL);
	return buf;
}
