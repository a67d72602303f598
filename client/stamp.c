/* SPDX-License-Identifier: Apache-2.0 */
#include "client/stamp.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_S    1000000000ULL
#define NS_PER_TICK 10000000ULL /* the resolution of a time: 10 ms */

static size_t format_time(const struct stamp *stamp, const Pwemu__V1__Data *data, char *text, size_t size)
{
	uint64_t ns = data->time_ns;
	unsigned ticks = (unsigned)(ns % NS_PER_S / NS_PER_TICK);
	if (stamp->since_boot) {
		uint64_t since = ns > data->boot_time_ns ? ns - data->boot_time_ns : 0;
		return (size_t)snprintf(text, size, "[%8.2f] ", (double)since / (double)NS_PER_S);
	}
	time_t seconds = (time_t)(ns / NS_PER_S);
	struct tm tm;
	char date[32] = "-", zone[8] = "+0000";
	if (localtime_r(&seconds, &tm) != NULL) {
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
		strftime(zone, sizeof(zone), "%z", &tm);
	}
	return (size_t)snprintf(text, size, "%s.%02u%.3s:%.2s ", date, ticks, zone, zone + 3); /* RFC 3339 */
}

void stamp_write(struct stamp *stamp, const Pwemu__V1__Data *data, void (*write)(void *ctx, const char *bytes, size_t len), void *ctx)
{
	char time[64];
	size_t time_len = format_time(stamp, data, time, sizeof(time));
	const char *at = (const char *)data->bytes.data, *end = at + data->bytes.len;
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t n = newline != NULL ? (size_t)(newline - at) + 1 : (size_t)(end - at);
		if (!stamp->in_line)
			write(ctx, time, time_len);
		write(ctx, at, n);
		stamp->in_line = newline == NULL;
		at += n;
	}
}
