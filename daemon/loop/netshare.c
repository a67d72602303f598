/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/netshare.h"

#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#include "loop/netport.h"
#include "loop/timer.h"
#include "wire/mem.h"

#define NETSHARE_IDLE_MS 1000 /* for who starts one after the other */

struct netshare_row {
	LIST_ENTRY(netshare_row) link;
	uid_t uid;
	size_t users; /* emulators that share */
	int fds[2];
	size_t count;
};

struct netshare {
	LIST_HEAD(, netshare_row) rows;
	struct timer *timer;
	bool is_allowed;
};

static struct netshare_row *netshare_row(const struct netshare *share, uid_t uid)
{
	struct netshare_row *row;
	LIST_FOREACH (row, &share->rows, link)
		if (row->uid == uid)
			return row;
	return NULL;
}

static void netshare_close(struct netshare_row *row)
{
	while (row->count > 0)
		close(row->fds[--row->count]);
}

static void netshare_drop(struct netshare_row *row)
{
	netshare_close(row);
	LIST_REMOVE(row, link);
	free(row);
}

static void netshare_drop_rows(struct netshare *share, bool with_used)
{
	for (struct netshare_row *row = LIST_FIRST(&share->rows), *next; row != NULL; row = next) {
		next = LIST_NEXT(row, link);
		if (with_used || row->users == 0)
			netshare_drop(row);
	}
}

static void netshare_on_timer(void *ctx)
{
	netshare_drop_rows(ctx, false);
}

struct netshare *netshare_new(struct event_base *base)
{
	struct netshare *share = xcalloc(1, sizeof(*share));
	LIST_INIT(&share->rows);
	share->timer = timer_new(base, netshare_on_timer, share);
	return share;
}

void netshare_free(struct netshare *share)
{
	if (share == NULL)
		return;
	netshare_drop_rows(share, true);
	timer_free(share->timer);
	free(share);
}

void netshare_saw(struct netshare *share)
{
	share->is_allowed = true;
}

bool netshare_is_allowed(const struct netshare *share)
{
	return share->is_allowed;
}

void netshare_failed(struct netshare *share, uid_t uid)
{
	struct netshare_row *row = netshare_row(share, uid);
	share->is_allowed = false;
	if (row != NULL)
		netshare_close(row);
}

size_t netshare_take(struct netshare *share, uid_t uid, int fds[2])
{
	struct netshare_row *row = netshare_row(share, uid);
	if (row == NULL) {
		row = xcalloc(1, sizeof(*row));
		row->uid = uid;
		LIST_INSERT_HEAD(&share->rows, row, link);
	}
	row->users++;
	for (size_t i = 0; i < row->count; i++)
		fds[i] = row->fds[i];
	return row->count;
}

void netshare_leave(struct netshare *share, uid_t uid)
{
	struct netshare_row *row = netshare_row(share, uid);
	if (row != NULL && --row->users == 0)
		timer_arm(share->timer, NETSHARE_IDLE_MS);
}

void netshare_offer(struct netshare *share, uid_t uid, pid_t pid)
{
	struct netshare_row *row = netshare_row(share, uid);
	if (row == NULL || row->count > 0)
		return;
	row->count = netport_namespaces(pid, row->fds);
	if (geteuid() == 0 && row->count > 1) /* of a user namespace that is not ours: then we have not made it, root does not enter it */
		netshare_close(row);
}
