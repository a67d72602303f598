/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/netshare.h"

#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#include "loop/netport.h"
#include "wire/mem.h"

#define NETSHARE_MAX 256 /* users */

struct netshare_row {
	LIST_ENTRY(netshare_row) link;
	uid_t uid;
	int fds[2];
	size_t count;
};

struct netshare {
	LIST_HEAD(, netshare_row) rows;
	size_t count;
	bool is_allowed;
};

struct netshare *netshare_new(void)
{
	struct netshare *share = xcalloc(1, sizeof(*share));
	LIST_INIT(&share->rows);
	return share;
}

static struct netshare_row *netshare_row(const struct netshare *share, uid_t uid)
{
	struct netshare_row *row;
	LIST_FOREACH (row, &share->rows, link)
		if (row->uid == uid)
			return row;
	return NULL;
}

static void netshare_drop(struct netshare *share, struct netshare_row *row)
{
	for (size_t i = 0; i < row->count; i++)
		close(row->fds[i]);
	LIST_REMOVE(row, link);
	share->count--;
	free(row);
}

void netshare_free(struct netshare *share)
{
	struct netshare_row *row;
	if (share == NULL)
		return;
	while ((row = LIST_FIRST(&share->rows)) != NULL)
		netshare_drop(share, row);
	free(share);
}

void netshare_offer(struct netshare *share, uid_t uid, pid_t pid)
{
	if (share->count >= NETSHARE_MAX || netshare_row(share, uid) != NULL)
		return;
	struct netshare_row *row = xcalloc(1, sizeof(*row));
	row->uid = uid;
	LIST_INSERT_HEAD(&share->rows, row, link);
	share->count++;
	row->count = netport_namespaces(pid, row->fds);
	if (row->count == 0)
		netshare_drop(share, row);
}

size_t netshare_find(const struct netshare *share, uid_t uid, int fds[2])
{
	const struct netshare_row *row = netshare_row(share, uid);
	for (size_t i = 0; row != NULL && i < row->count; i++)
		fds[i] = row->fds[i];
	return row != NULL ? row->count : 0;
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
		netshare_drop(share, row);
}
