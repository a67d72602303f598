/* SPDX-License-Identifier: Apache-2.0 */
/* Time for deadlines. */
#pragma once

#include <stdint.h>
#include <time.h>

/* Monotonic milliseconds. */
static inline uint64_t clock_now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}
