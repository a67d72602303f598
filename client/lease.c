/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lease.h"

#include <string.h>

#include "client/out.h"
#include "config/value.h"

int lease_parse(const char *text, Pwemu__V1__LeaseRequest *out, struct err *err)
{
	int64_t pid;
	pwemu__v1__lease_request__init(out);
	if (strcmp(text, "client") == 0) {
		out->kind = PWEMU__V1__LEASE_KIND__LEASE_KIND_CLIENT;
		return 0;
	}
	if (strncmp(text, "pid:", 4) == 0) {
		out->kind = PWEMU__V1__LEASE_KIND__LEASE_KIND_PID;
		if (value_number(text + 4, 1, INT32_MAX, &pid, err) < 0)
			return err_prefix(err, "lease '%s'", text);
		out->pid = (int32_t)pid;
		return 0;
	}
	if (strncmp(text, "ttl:", 4) == 0) {
		out->kind = PWEMU__V1__LEASE_KIND__LEASE_KIND_TTL;
		if (value_long_duration(text + 4, &out->ttl_ms, err) < 0)
			return err_prefix(err, "lease '%s'", text);
		return out->ttl_ms > 0 ? 0 : err_set(err, ERR_INVALID_ARGUMENT, "lease '%s': it would be over at once", text);
	}
	return err_set(err, ERR_INVALID_ARGUMENT, "'%s' is no lease: write client, pid:NUMBER or ttl:TIME (ttl:10m)", text);
}

const char *lease_owner(const Pwemu__V1__Instance *inst)
{
	return inst->lease != NULL ? inst->lease->owner : "";
}

const char *lease_remaining(const Pwemu__V1__Instance *inst, char *buf, size_t size)
{
	buf[0] = '\0';
	if (inst->lease != NULL && inst->lease->remaining_ms > 0)
		out_span(inst->lease->remaining_ms, buf, size);
	return buf;
}
