/* SPDX-License-Identifier: Apache-2.0 */
#include "client/show.h"

#include <string.h>

#include <stdio.h>
#include <time.h>

#include "client/tojson.h"

const char *show_state(const Pwemu__V1__Instance *inst)
{
	return tojson_word(&pwemu__v1__state__descriptor, (int)inst->state);
}

enum out_colour show_state_colour(const Pwemu__V1__Instance *inst)
{
	switch (inst->state) {
	case PWEMU__V1__STATE__STATE_RUNNING:
		return OUT_GREEN;
	case PWEMU__V1__STATE__STATE_FAILED:
		return OUT_RED;
	case PWEMU__V1__STATE__STATE_ENDED:
		return OUT_DIM;
	default:
		return OUT_YELLOW;
	}
}

bool show_is_running(const Pwemu__V1__Instance *inst)
{
	return inst->state != PWEMU__V1__STATE__STATE_ENDED && inst->state != PWEMU__V1__STATE__STATE_FAILED &&
	       inst->state != PWEMU__V1__STATE__STATE_UNSPECIFIED;
}

const char *show_reason(const Pwemu__V1__Instance *inst)
{
	if (inst->reason[0] != '\0' && strcmp(inst->reason, show_state(inst)) != 0)
		return inst->reason;
	return inst->end != NULL ? inst->end->message : "";
}

const char *show_restart(const Pwemu__V1__Instance *inst, char *buf, size_t size)
{
	struct timespec now;
	char span[32];
	clock_gettime(CLOCK_REALTIME, &now);
	uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	uint64_t left_ns = inst->restart_at_ns > now_ns ? inst->restart_at_ns - now_ns : 0;
	buf[0] = '\0';
	if (inst->restart_at_ns != 0)
		snprintf(buf, size, "in %s", out_span(left_ns / 1000000, span, sizeof(span)));
	return buf;
}
