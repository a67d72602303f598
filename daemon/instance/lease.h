/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On whose behalf an instance lives. A lease depends on a client (its connection, with a grace after a cut), on a process, or on the
 * clock; when that is gone the instance is stopped, whatever state it is in. One without a lease lives until somebody stops it.
 *
 * The lease is part of the record: the daemon that adopts the instance waits for the client, looks at the process, reads the clock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "pwemu/v1/instances.pb-c.h"
#include "pwemu/v1/record.pb-c.h"
#include "wire/err.h"

#define LEASE_OWNER_MAX  128
#define LEASE_TTL_MAX_MS (UINT64_C(365) * 24 * 3600 * 1000)

struct instance;
struct lease;

/* Who asks. */
struct lease_peer {
	uint64_t connection; /* its number */
	uid_t uid;
	pid_t pid; /* 0 or less: not known here */
	bool is_remote;
	const char *actor; /* for people: "client of alice (process 12)" */
};

/* A lease that was looked at and found good, not anybody's yet. */
struct lease_terms {
	Pwemu__V1__LeaseKind kind; /* UNSPECIFIED: none */
	char owner[LEASE_OWNER_MAX];
	uint64_t connection;
	pid_t client; /* its process; 0: its death would not be seen, or says nothing */
	bool passed_on;
	pid_t pid;
	uint64_t pid_start, ttl_ms;
};

/* What a start asks for. INVALID_ARGUMENT or FAILED_PRECONDITION (invalid-lease). */
int lease_check(const Pwemu__V1__StartRequest *request, const struct lease_peer *peer, struct lease_terms *out, struct err *err)
	__attribute__((warn_unused_result));

struct lease *lease_new(struct instance *inst);
void lease_free(struct lease *lease); /* takes NULL */

/* A start: these terms instead of what there was. It counts from now. */
void lease_take(struct instance *inst, const struct lease_terms *terms, const char *actor);
/* A client's lease is bound to this connection; of another kind, or none: nothing. */
void lease_bind(struct instance *inst, const struct lease_peer *peer);
/* Whether it depends on this connection. */
bool lease_needs(const struct instance *inst, uint64_t connection);
/* The connection is cut. */
void lease_connection_lost(struct instance *inst, uint64_t connection);
/* A ttl lease lasts from now on. ttl_ms 0: as long as before. FAILED_PRECONDITION (no-lease, invalid-lease). */
int lease_renew(struct instance *inst, uint64_t ttl_ms, const char *actor, struct err *err) __attribute__((warn_unused_result));
/* FAILED_PRECONDITION (no-lease). */
int lease_remove(struct instance *inst, const char *actor, struct err *err) __attribute__((warn_unused_result));
/* The instance is over. */
void lease_drop(struct instance *inst);
/* The daemon has taken the instance over; host_rebooted: no process of before is left. */
void lease_adopt(struct instance *inst, bool host_rebooted);
/* Somebody depends on it who is gone with the host. */
bool lease_ends_with_host(const struct instance *inst);

/* NULL: there is none. To be freed; pointers into the lease. */
Pwemu__V1__Lease *lease_describe(const struct instance *inst);
Pwemu__V1__RecordLease *lease_record(const struct instance *inst);
void lease_apply(struct instance *inst, const Pwemu__V1__Record *record);
