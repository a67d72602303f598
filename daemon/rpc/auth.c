/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A one-user daemon lets in its user and root, who could be that user as well; one of many users everybody, each within his limits. There a
 * uid of 0 from another user or mount namespace is the root of a container, not of this host: it is not let in without a token.
 */
#include "rpc/auth.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "config/settings.h"
#include "loop/timer.h"
#include "rpc/remote.h"
#include "wire/mem.h"

#define AUTH_BURST_S 10
#define AUTH_BUCKETS 256 /* users whose calls are counted; the one that was seen longest ago is forgotten */
#define AUTH_TOLD_MS 60000

/* Calls that a user may make yet, in thousandths; filled up with time. */
struct bucket {
	TAILQ_ENTRY(bucket) link;
	uid_t uid;
	uint64_t filled_ms, left;
};

TAILQ_HEAD(buckets, bucket);

struct auth {
	struct buckets buckets;
	size_t count;
	uint64_t told_ms; /* when it was said last that somebody was sent away */
};

static void auth_on_group(void *ctx, const struct users_found *found, const struct err *err)
{
	struct services *services = ctx;
	services->admin_group = found != NULL ? found->user.gid : (gid_t)-1;
	if (err != NULL)
		log_error(NULL, "admin-group: %s", err->msg);
}

void auth_init(struct services *services)
{
	const char *group = services->settings->admin_group;
	if (services->auth == NULL) {
		services->auth = xcalloc(1, sizeof(*services->auth));
		TAILQ_INIT(&services->auth->buckets);
		services->admin_group = (gid_t)-1;
	}
	if (!services->is_system || group[0] == '\0')
		services->admin_group = (gid_t)-1;
	else
		users_find(services->users, group, true, auth_on_group, services);
}

void auth_fini(struct services *services)
{
	struct bucket *bucket;
	while (services->auth != NULL && (bucket = TAILQ_FIRST(&services->auth->buckets)) != NULL) {
		TAILQ_REMOVE(&services->auth->buckets, bucket, link);
		free(bucket);
	}
	free(services->auth);
	services->auth = NULL;
}

/* ---------------------------------------------------------------- connections */

/* Who is sent away again and again is not said again and again. */
static int auth_refuse(struct services *services, const struct err *err)
{
	uint64_t now_ms = clock_monotonic_ms();
	if (services->auth->told_ms == 0 || now_ms - services->auth->told_ms > AUTH_TOLD_MS) {
		services->auth->told_ms = now_ms;
		log_warn(NULL, "a client was sent away: %s", err->msg);
	}
	return -1;
}

static int auth_check_namespace(const struct rpc_peer *peer, struct err *err)
{
	if (peer->uid != 0 || !peer->is_alien)
		return 0;
	err_set(err, ERR_UNAUTHENTICATED,
		"uid 0 of process %d is the root of a container (another user or mount namespace), not of this host; run the client as a "
		"user, or with a token",
		(int)peer->pid);
	return err_reason(err, "container-root");
}

static int auth_check_one_user(const struct services *services, const struct rpc_peer *peer, struct err *err)
{
	if (peer->uid == services->own->uid || peer->uid == 0)
		return 0;
	return err_set(err, ERR_PERMISSION_DENIED, "this daemon serves uid %u only, not uid %u", (unsigned)services->own->uid,
		       (unsigned)peer->uid);
}

static int auth_check_connections(const struct services *services, const struct rpc_peer *peer, struct err *err)
{
	uint64_t limit = services->settings->user_connections;
	if (!services->is_system || limit == 0 || peer->uid == 0 || services->server == NULL ||
	    rpc_server_connections(services->server, peer->uid) < limit)
		return 0;
	err_set(err, ERR_RESOURCE_EXHAUSTED, "uid %u has %llu connections open, as many as a user may (user-connections); close some",
		(unsigned)peer->uid, (unsigned long long)limit);
	return err_reason(err, "limit-connections");
}

int auth_admit(void *ctx, const struct rpc_peer *peer, struct err *err)
{
	struct services *services = ctx;
	if (peer->is_remote) /* who it is comes with its calls */
		return 0;
	int rc = services->is_system ? auth_check_namespace(peer, err) : auth_check_one_user(services, peer, err);
	if (rc == 0)
		rc = auth_check_connections(services, peer, err);
	if (rc < 0)
		return auth_refuse(services, err);
	if (services->is_system)
		(void)users_name(services->users, peer->uid); /* so that it is known when it is wanted */
	return 0;
}

int auth_authenticate(void *ctx, struct rpc_peer *peer, const char *certificate, const char *token, struct err *err)
{
	struct services *services = ctx;
	int rc = remote_authenticate(services->remote, peer, certificate, token, err);
	return rc == 0 ? auth_check_connections(services, peer, err) : rc;
}

/* ---------------------------------------------------------------- calls */

static struct bucket *auth_bucket(struct auth *auth, uid_t uid, uint64_t full)
{
	struct bucket *bucket;
	TAILQ_FOREACH (bucket, &auth->buckets, link)
		if (bucket->uid == uid)
			break;
	if (bucket != NULL) {
		TAILQ_REMOVE(&auth->buckets, bucket, link);
	} else if (auth->count < AUTH_BUCKETS) {
		bucket = xcalloc(1, sizeof(*bucket));
		auth->count++;
	} else {
		bucket = TAILQ_LAST(&auth->buckets, buckets);
		TAILQ_REMOVE(&auth->buckets, bucket, link);
		bucket->filled_ms = 0;
	}
	if (bucket->filled_ms == 0)
		*bucket = (struct bucket){ .uid = uid, .filled_ms = clock_monotonic_ms(), .left = full };
	TAILQ_INSERT_HEAD(&auth->buckets, bucket, link);
	return bucket;
}

int auth_authorize(void *ctx, const struct rpc_peer *peer, const struct rpc_method *method, struct err *err)
{
	struct services *services = ctx;
	uint64_t rate = services->settings->user_requests, full = rate * AUTH_BURST_S * 1000;
	(void)method;
	if (!services->is_system || rate == 0 || peer->uid == 0)
		return 0;
	struct bucket *bucket = auth_bucket(services->auth, peer->uid, full);
	uint64_t now_ms = clock_monotonic_ms(), left = bucket->left + (now_ms - bucket->filled_ms) * rate;
	bucket->left = left < full ? left : full;
	bucket->filled_ms = now_ms;
	if (bucket->left >= 1000) {
		bucket->left -= 1000;
		return 0;
	}
	err_set(err, ERR_RESOURCE_EXHAUSTED, "uid %u makes more than %llu calls in a second (user-requests); wait a moment",
		(unsigned)peer->uid, (unsigned long long)rate);
	return err_reason(err, "limit-requests");
}
