/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a lease depends on is watched in one of three ways: a timer for the clock and for a client that is to come back, a pidfd for a
 * process. A client on this machine that has died is not waited for: when its connection is cut its process is watched as well, since the
 * kernel closes the socket of a dying process a moment before that counts as dead.
 */
#include "instance/lease.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/pb.h"
#include "config/settings.h"
#include "config/value.h"
#include "instance/priv.h"
#include "loop/pidwatch.h"
#include "wire/mem.h"
#include "wire/utf8.h"

#define KIND(name)       PWEMU__V1__LEASE_KIND__LEASE_KIND_##name
#define LEASE_NONE       KIND(UNSPECIFIED)
#define LEASE_NS_PER_MS  1000000u
#define LEASE_DEFAULT_MS 10000    /* of the grace, where there are no settings */
#define LEASE_LONGEST_MS 86400000 /* of a timer; then the clock is looked at again, which people set */
#define LEASE_INVALID    "invalid-lease"
#define LEASE_REASON_MAX (LEASE_OWNER_MAX + 128)

struct lease {
	struct instance *inst;
	struct lease_terms terms;
	uint64_t expires_ns; /* ttl: always; client: while it is not there; else 0 */
	struct timer *timer;
	struct pidwatch *watch; /* of the process; of a client: while its connection is cut */
	bool is_adopted;        /* the client was lost with an earlier daemon */
};

/* ---------------------------------------------------------------- what is asked for */

static int lease_refuse(struct err *err, enum err_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int lease_refuse(struct err *err, enum err_code code, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err_set(err, code, "%s", text);
	return err_reason(err, LEASE_INVALID);
}

static int lease_check_ttl(uint64_t ttl_ms, struct err *err)
{
	if (ttl_ms > 0 && ttl_ms <= LEASE_TTL_MAX_MS)
		return 0;
	return lease_refuse(err, ERR_INVALID_ARGUMENT, "lease ttl: a time of 1ms to 365d is needed");
}

/* A number means the same process to both only in the same pid namespace. */
static int lease_check_namespace(const struct lease_peer *peer, pid_t pid, struct err *err)
{
	char path[64], ours[64], theirs[64];
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)peer->pid);
	ssize_t a = readlink("/proc/self/ns/pid", ours, sizeof(ours));
	ssize_t b = !peer->is_remote && peer->pid > 0 ? readlink(path, theirs, sizeof(theirs)) : -1;
	if (a > 0 && a == b && memcmp(ours, theirs, (size_t)a) == 0)
		return 0;
	return lease_refuse(
		err, ERR_FAILED_PRECONDITION,
		"lease pid:%d: the client is not in the daemon's pid namespace (a container, another machine), where that number is "
		"another process; use client or ttl:TIME",
		(int)pid);
}

static void lease_name_process(pid_t pid, char out[LEASE_OWNER_MAX])
{
	char path[64], name[32] = "";
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	FILE *file = fopen(path, "re");
	if (file != NULL && fgets(name, sizeof(name), file) != NULL)
		name[strcspn(name, "\n")] = '\0';
	if (file != NULL)
		fclose(file);
	snprintf(out, LEASE_OWNER_MAX, "process %d%s%s%s", (int)pid, name[0] != '\0' ? " (" : "", name, name[0] != '\0' ? ")" : "");
	utf8_repair(out);
}

static int lease_check_pid(pid_t pid, const struct lease_peer *peer, struct lease_terms *out, struct err *err)
{
	char path[64];
	struct stat st;
	if (pid <= 0)
		return lease_refuse(err, ERR_INVALID_ARGUMENT, "lease pid:%d: that is no process", (int)pid);
	if (lease_check_namespace(peer, pid, err) < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (stat(path, &st) < 0 || pidwatch_start_of(pid, &out->pid_start) < 0)
		return lease_refuse(err, ERR_FAILED_PRECONDITION, "lease pid:%d: there is no such process, or it has ended", (int)pid);
	if (peer->uid != 0 && st.st_uid != peer->uid)
		return lease_refuse(err, ERR_FAILED_PRECONDITION, "lease pid:%d: that process is of uid %u, not of uid %u who asks",
				    (int)pid, (unsigned)st.st_uid, (unsigned)peer->uid);
	out->pid = pid;
	lease_name_process(pid, out->owner);
	return 0;
}

static void lease_of_client(const struct lease_peer *peer, bool passed_on, struct lease_terms *out)
{
	out->kind = KIND(CLIENT);
	out->connection = peer->connection;
	out->passed_on = passed_on;
	out->client = passed_on || peer->is_remote || peer->pid <= 0 ? 0 : peer->pid;
	snprintf(out->owner, sizeof(out->owner), "%s", peer->actor);
}

int lease_check(const Pwemu__V1__StartRequest *request, const struct lease_peer *peer, struct lease_terms *out, struct err *err)
{
	const Pwemu__V1__LeaseRequest *lease = request->lease;
	*out = (struct lease_terms){ .kind = LEASE_NONE };
	if (lease == NULL || lease->kind == LEASE_NONE) {
		if (request->stop_on_disconnect)
			lease_of_client(peer, false, out);
		return 0;
	}
	if (request->stop_on_disconnect && lease->kind != KIND(CLIENT))
		return lease_refuse(err, ERR_INVALID_ARGUMENT, "lease: stop_on_disconnect is a client's, and there is one of another kind");
	out->kind = lease->kind;
	switch (lease->kind) {
	case KIND(CLIENT):
		lease_of_client(peer, lease->passed_on, out);
		return 0;
	case KIND(PID):
		return lease_check_pid(lease->pid, peer, out, err);
	case KIND(TTL):
		out->ttl_ms = lease->ttl_ms;
		if (lease_check_ttl(lease->ttl_ms, err) < 0)
			return -1;
		value_duration_text(lease->ttl_ms, out->owner, sizeof(out->owner));
		return 0;
	default:
		return lease_refuse(err, ERR_INVALID_ARGUMENT, "lease: kind %d is not known", (int)lease->kind);
	}
}

/* ---------------------------------------------------------------- the end of it */

static void lease_tell(struct lease *lease, const char *actor, const char *reason)
{
	if (lease->inst->env->journal != NULL)
		instance_tell(lease->inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_LEASE, NULL, actor, reason);
}

static void lease_unwatch(struct lease *lease)
{
	timer_disarm(lease->timer);
	pidwatch_free(lease->watch);
	lease->watch = NULL;
}

static void lease_clear(struct lease *lease)
{
	lease_unwatch(lease);
	lease->terms = (struct lease_terms){ .kind = LEASE_NONE };
	lease->expires_ns = 0;
	lease->is_adopted = false;
}

/* The record has the lease no more when it says that the instance is stopped. */
static void lease_lost(struct lease *lease, const char *reason)
{
	char text[LEASE_REASON_MAX + 8];
	snprintf(text, sizeof(text), "lost: %s", reason);
	lease_tell(lease, NULL, text);
	lease_clear(lease);
	instance_stop(lease->inst, 0, reason);
}

static void lease_on_death(void *ctx)
{
	struct lease *lease = ctx;
	char reason[LEASE_REASON_MAX];
	if (lease->terms.kind == KIND(CLIENT))
		snprintf(reason, sizeof(reason), "its client is gone: %s", lease->terms.owner);
	else
		snprintf(reason, sizeof(reason), "the process it was leased to has ended: %s", lease->terms.owner);
	lease_lost(lease, reason);
}

static void lease_arm(struct lease *lease)
{
	uint64_t now = clock_wall_ns(), left_ns = lease->expires_ns > now ? lease->expires_ns - now : 0;
	uint64_t left_ms = (left_ns + LEASE_NS_PER_MS - 1) / LEASE_NS_PER_MS;
	timer_arm(lease->timer, left_ms < LEASE_LONGEST_MS ? left_ms : LEASE_LONGEST_MS);
}

static void lease_on_timer(void *ctx)
{
	struct lease *lease = ctx;
	char reason[LEASE_REASON_MAX];
	if (clock_wall_ns() < lease->expires_ns) {
		lease_arm(lease);
		return;
	}
	if (lease->terms.kind == KIND(TTL))
		snprintf(reason, sizeof(reason), "its lease of %s is over", lease->terms.owner);
	else
		snprintf(reason, sizeof(reason), "%s",
			 lease->is_adopted ? "its client was lost with the daemon" : "its client does not come back");
	lease_lost(lease, reason);
}

/* ---------------------------------------------------------------- watching */

static uint64_t lease_grace_ms(const struct lease *lease)
{
	const struct settings *settings = lease->inst->env->settings;
	return settings != NULL ? settings->lease_grace_ms : LEASE_DEFAULT_MS;
}

static void lease_expect(struct lease *lease, uint64_t ms)
{
	lease->expires_ns = clock_wall_ns() + ms * LEASE_NS_PER_MS;
	lease_arm(lease);
}

/* One that has died is told of from the loop, like every other death. */
static void lease_watch(struct lease *lease, pid_t pid, uint64_t start)
{
	lease->watch = pidwatch_new(lease->inst->env->base, pid, start, lease_on_death, lease);
}

void lease_take(struct instance *inst, const struct lease_terms *terms, const char *actor)
{
	struct lease *lease = inst->lease;
	char reason[LEASE_REASON_MAX];
	lease_clear(lease);
	if (terms == NULL || terms->kind == LEASE_NONE)
		return;
	lease->terms = *terms;
	if (terms->kind == KIND(TTL))
		lease_expect(lease, terms->ttl_ms);
	if (terms->kind == KIND(PID))
		lease_watch(lease, terms->pid, terms->pid_start);
	snprintf(reason, sizeof(reason), "made: %s", terms->owner);
	lease_tell(lease, actor, reason);
}

void lease_bind(struct instance *inst, const struct lease_peer *peer)
{
	struct lease *lease = inst->lease;
	char reason[LEASE_REASON_MAX];
	bool passed_on = lease->terms.passed_on;
	if (lease->terms.kind != KIND(CLIENT) || lease->terms.connection == peer->connection)
		return;
	lease_clear(lease);
	lease_of_client(peer, passed_on, &lease->terms);
	snprintf(reason, sizeof(reason), "renewed: %s has come back", lease->terms.owner);
	lease_tell(lease, peer->actor, reason);
	instance_changed(inst);
}

bool lease_needs(const struct instance *inst, uint64_t connection)
{
	return inst->lease->terms.kind == KIND(CLIENT) && inst->lease->terms.connection == connection;
}

void lease_connection_lost(struct instance *inst, uint64_t connection)
{
	struct lease *lease = inst->lease;
	if (lease->terms.kind != KIND(CLIENT) || lease->terms.connection != connection)
		return;
	lease->terms.connection = 0;
	lease_expect(lease, lease_grace_ms(lease));
	if (lease->terms.client > 0)
		lease_watch(lease, lease->terms.client, 0);
	log_debug(&inst->scope, "the connection of its lease is cut");
}

static int lease_check_any(const struct lease *lease, struct err *err)
{
	if (lease->terms.kind != LEASE_NONE)
		return 0;
	err_set(err, ERR_FAILED_PRECONDITION, "instance \"%s\" has no lease: it lives until it is stopped", lease->inst->name);
	return err_reason(err, "no-lease");
}

int lease_renew(struct instance *inst, uint64_t ttl_ms, const char *actor, struct err *err)
{
	struct lease *lease = inst->lease;
	char reason[LEASE_REASON_MAX];
	if (lease_check_any(lease, err) < 0)
		return -1;
	if (lease->terms.kind != KIND(TTL))
		return lease_refuse(
			err, ERR_FAILED_PRECONDITION,
			"the lease of instance \"%s\" is that of %s, which lasts as long as that does; only one of a time (ttl) is renewed",
			inst->name, lease->terms.owner);
	if (ttl_ms > 0 && lease_check_ttl(ttl_ms, err) < 0)
		return -1;
	if (ttl_ms > 0)
		lease->terms.ttl_ms = ttl_ms;
	value_duration_text(lease->terms.ttl_ms, lease->terms.owner, sizeof(lease->terms.owner));
	lease_expect(lease, lease->terms.ttl_ms);
	snprintf(reason, sizeof(reason), "renewed: %s from now", lease->terms.owner);
	lease_tell(lease, actor, reason);
	store_save(inst);
	instance_changed(inst);
	return 0;
}

int lease_remove(struct instance *inst, const char *actor, struct err *err)
{
	struct lease *lease = inst->lease;
	char reason[LEASE_REASON_MAX];
	if (lease_check_any(lease, err) < 0)
		return -1;
	snprintf(reason, sizeof(reason), "removed: %s", lease->terms.owner);
	lease_clear(lease);
	inst->request->stop_on_disconnect = false; /* nor has a restart one */
	PB_FREE(inst->request->lease);
	inst->request->lease = NULL;
	lease_tell(lease, actor, reason);
	store_save(inst);
	instance_changed(inst);
	return 0;
}

void lease_drop(struct instance *inst)
{
	lease_clear(inst->lease);
}

void lease_adopt(struct instance *inst, bool host_rebooted)
{
	struct lease *lease = inst->lease;
	if (inst->stop_requested || instance_is_over(inst))
		return;
	if (lease->terms.kind == KIND(CLIENT)) {
		lease->is_adopted = true;
		lease_expect(lease, lease_grace_ms(lease));
	} else if (lease->terms.kind == KIND(TTL)) {
		lease_arm(lease);
	} else if (lease->terms.kind == KIND(PID)) {
		lease_watch(lease, host_rebooted ? 0 : lease->terms.pid, lease->terms.pid_start);
	}
}

bool lease_ends_with_host(const struct instance *inst)
{
	return inst->lease->terms.kind == KIND(CLIENT) || inst->lease->terms.kind == KIND(PID);
}

/* ---------------------------------------------------------------- life */

struct lease *lease_new(struct instance *inst)
{
	struct lease *lease = xcalloc(1, sizeof(*lease));
	lease->inst = inst;
	lease->terms.kind = LEASE_NONE;
	lease->timer = timer_new(inst->env->base, lease_on_timer, lease);
	return lease;
}

void lease_free(struct lease *lease)
{
	if (lease == NULL)
		return;
	pidwatch_free(lease->watch);
	timer_free(lease->timer);
	free(lease);
}

Pwemu__V1__Lease *lease_describe(const struct instance *inst)
{
	const struct lease *lease = inst->lease;
	if (lease->terms.kind == LEASE_NONE)
		return NULL;
	uint64_t now = clock_wall_ns(), left_ns = lease->expires_ns > now ? lease->expires_ns - now : 0;
	Pwemu__V1__Lease *out = xmalloc(sizeof(*out));
	pwemu__v1__lease__init(out);
	out->kind = lease->terms.kind;
	out->owner = (char *)(uintptr_t)lease->terms.owner;
	out->expires_ns = lease->expires_ns;
	if (lease->expires_ns > 0)
		out->remaining_ms = left_ns / LEASE_NS_PER_MS > 0 ? left_ns / LEASE_NS_PER_MS : 1;
	out->pid = (int32_t)lease->terms.pid;
	out->ttl_ms = lease->terms.ttl_ms;
	return out;
}

Pwemu__V1__RecordLease *lease_record(const struct instance *inst)
{
	const struct lease *lease = inst->lease;
	if (lease->terms.kind == LEASE_NONE)
		return NULL;
	Pwemu__V1__RecordLease *out = xmalloc(sizeof(*out));
	pwemu__v1__record_lease__init(out);
	out->kind = lease->terms.kind;
	out->owner = (char *)(uintptr_t)lease->terms.owner;
	out->expires_ns = lease->terms.kind == KIND(TTL) ? lease->expires_ns : 0;
	out->pid = (int32_t)lease->terms.pid;
	out->pid_start = lease->terms.pid_start;
	out->ttl_ms = lease->terms.ttl_ms;
	out->passed_on = lease->terms.passed_on;
	return out;
}

/* What an earlier daemon knew of no lease said so in the request alone. */
void lease_apply(struct instance *inst, const Pwemu__V1__Record *record)
{
	struct lease *lease = inst->lease;
	const Pwemu__V1__RecordLease *row = record->lease;
	if (instance_is_over(inst))
		return;
	if (row == NULL) {
		lease->terms.kind = record->start->stop_on_disconnect ? KIND(CLIENT) : LEASE_NONE;
		snprintf(lease->terms.owner, sizeof(lease->terms.owner), "its client");
		return;
	}
	lease->terms.kind = row->kind;
	snprintf(lease->terms.owner, sizeof(lease->terms.owner), "%s", row->owner);
	lease->expires_ns = row->expires_ns;
	lease->terms.pid = row->pid;
	lease->terms.pid_start = row->pid_start;
	lease->terms.ttl_ms = row->ttl_ms;
	lease->terms.passed_on = row->passed_on;
}
