/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/failures.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "wire/mem.h"

#define FAILURES_KEPT  1024 /* addresses; the one that failed longest ago is forgotten */
#define FAILURES_BURST 10
#define FAILURES_MS    6000 /* for each one more */
#define ADDRESS_MAX    64

struct failure {
	TAILQ_ENTRY(failure) link;
	uint8_t key[16];
	uint64_t filled_ms, left, unsaid;
};

TAILQ_HEAD(failure_list, failure);

struct failures {
	struct failure_list list; /* newest first */
	size_t count;
};

struct failures *failures_new(void)
{
	struct failures *failures = xcalloc(1, sizeof(*failures));
	TAILQ_INIT(&failures->list);
	return failures;
}

void failures_free(struct failures *failures)
{
	struct failure *failure;
	while (failures != NULL && (failure = TAILQ_FIRST(&failures->list)) != NULL) {
		TAILQ_REMOVE(&failures->list, failure, link);
		free(failure);
	}
	free(failures);
}

static void failure_key(const char *address, uint8_t key[16])
{
	char host[ADDRESS_MAX];
	bool is_v6 = address[0] == '[';
	size_t len = strcspn(address + is_v6, is_v6 ? "]" : ":");
	memset(key, 0, 16);
	len = len < sizeof(host) - 1 ? len : sizeof(host) - 1;
	memcpy(host, address + is_v6, len);
	host[len] = '\0';
	if (is_v6 && inet_pton(AF_INET6, host, key) == 1)
		memset(key + 8, 0, 8);
	else if (!is_v6 && inet_pton(AF_INET, host, key + 12) == 1)
		memset(key + 10, 0xff, 2);
}

static struct failure *failures_find(struct failures *failures, const uint8_t key[16], uint64_t now_ms)
{
	struct failure *failure;
	TAILQ_FOREACH (failure, &failures->list, link)
		if (memcmp(failure->key, key, 16) == 0)
			break;
	bool is_new = failure == NULL;
	if (is_new && failures->count < FAILURES_KEPT) {
		failure = xcalloc(1, sizeof(*failure));
		failures->count++;
	} else {
		failure = is_new ? TAILQ_LAST(&failures->list, failure_list) : failure;
		TAILQ_REMOVE(&failures->list, failure, link);
	}
	if (is_new) {
		*failure = (struct failure){ .filled_ms = now_ms, .left = FAILURES_BURST };
		memcpy(failure->key, key, 16);
	}
	TAILQ_INSERT_HEAD(&failures->list, failure, link);
	return failure;
}

bool failures_count(struct failures *failures, const char *address, uint64_t now_ms, uint64_t *unsaid)
{
	uint8_t key[16];
	failure_key(address, key);
	struct failure *failure = failures_find(failures, key, now_ms);
	uint64_t gained = (now_ms - failure->filled_ms) / FAILURES_MS;
	if (gained > 0) {
		failure->left = failure->left + gained < FAILURES_BURST ? failure->left + gained : FAILURES_BURST;
		failure->filled_ms += gained * FAILURES_MS;
	}
	if (failure->left == 0) {
		failure->unsaid++;
		return false;
	}
	failure->left--;
	*unsaid = failure->unsaid;
	failure->unsaid = 0;
	return true;
}
