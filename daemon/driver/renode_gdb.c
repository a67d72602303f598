/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gdb channel. Renode's server is there only while somebody debugs: it is started on a port that the kernel chooses and nobody prints
 * (what listens now and did not before), and stopped when the debugger has left. Its first connection must not start the emulation: one
 * that rests is started only while the debugger lets the guest run, since a connection that breaks lets the processor go.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/renode_cpus.h"
#include "driver/renode_int.h"
#include "loop/netport.h"
#include "wire/mem.h"

struct renode_gdb {
	struct driver_link *link; /* NULL: given up, nobody waits for it any more */
	struct netport_list before;
	struct netport *connection; /* NULL: not under way */
	int fd;
	driver_open_fn done; /* NULL: told */
	void *ctx;
	bool is_asking; /* a command's answer is awaited, which frees what was given up */
};

/* ---------------------------------------------------------------- opening */

static void gdb_tell(struct renode_gdb *gdb, const struct err *err)
{
	driver_open_fn done = gdb->done;
	int fd = gdb->fd;
	gdb->done = NULL;
	gdb->fd = -1;
	if (done != NULL)
		done(gdb->ctx, err == NULL ? fd : -1, err);
}

/* False: it was given up meanwhile, and is gone. */
static bool gdb_answered(struct renode_gdb *gdb)
{
	gdb->is_asking = false;
	if (gdb->link != NULL)
		return true;
	free(gdb);
	return false;
}

static void gdb_ask(struct renode_gdb *gdb, const char *command, monitor_reply_fn on_reply)
{
	gdb->is_asking = true;
	monitor_ask(gdb->link->monitor, command, RENODE_COMMAND_TIMEOUT_MS, on_reply, gdb);
}

static void gdb_on_connected(void *ctx, int fd, const struct err *err)
{
	struct renode_gdb *gdb = ctx;
	gdb->connection = NULL;
	gdb->fd = fd;
	gdb_tell(gdb, err);
}

static void gdb_on_server(void *ctx, const char *text, const struct err *err)
{
	(void)text;
	struct renode_gdb *gdb = ctx;
	struct netport_list after;
	struct err told = err != NULL ? *err : (struct err)ERR_INIT;
	if (!gdb_answered(gdb))
		return;
	if (err == NULL) {
		netport_list(gdb->link->pid, &after);
		uint16_t port = netport_fresh(&gdb->before, &after);
		if (port == 0)
			err_set(&told, ERR_UNAVAILABLE, "Renode has started its gdb server, but no new port of its is to be seen in /proc");
		else if (netport_connect(gdb->link->base, gdb->link->pid, port, gdb_on_connected, gdb, &gdb->connection, &told) == 0)
			return;
	}
	err_prefix(&told, "Renode's gdb server");
	gdb_tell(gdb, &told);
}

/* The server of a debugger before is stopped by now, and what a user may have done in the monitor is known. */
static void gdb_on_state(void *ctx, const char *text, const struct err *err)
{
	struct renode_gdb *gdb = ctx;
	if (!gdb_answered(gdb))
		return;
	if (err != NULL) {
		gdb_tell(gdb, err);
		return;
	}
	gdb->link->is_started = strcmp(text, "True") == 0;
	netport_list(gdb->link->pid, &gdb->before);
	gdb_ask(gdb, "machine StartGdbServer 0 false", gdb_on_server);
}

void renode_gdb_open(struct driver_link *link, driver_open_fn done, void *ctx)
{
	struct renode_gdb *gdb = xcalloc(1, sizeof(*gdb));
	*gdb = (struct renode_gdb){ .link = link, .fd = -1, .done = done, .ctx = ctx };
	link->gdb = gdb;
	gdb_ask(gdb, "emulation IsStarted", gdb_on_state);
}

void renode_gdb_follow(struct driver_link *link, bool runs, bool rests)
{
	bool is_wanted = runs || (link->is_started && !rests);
	if (is_wanted == link->is_started)
		return;
	link->is_started = is_wanted;
	monitor_ask(link->monitor, is_wanted ? "start" : "pause", RENODE_COMMAND_TIMEOUT_MS, NULL, NULL);
}

/* ---------------------------------------------------------------- closing */

void renode_gdb_cancel(struct driver_link *link)
{
	struct renode_gdb *gdb = link->gdb;
	link->gdb = NULL;
	if (gdb == NULL)
		return;
	netport_cancel(gdb->connection);
	if (gdb->fd >= 0)
		close(gdb->fd);
	gdb->link = NULL;
	gdb->connection = NULL;
	gdb->done = NULL;
	gdb->fd = -1;
	if (!gdb->is_asking)
		free(gdb);
}

/* A processor that the debugger has interrupted stays halted when the connection is closed. */
static void gdb_on_cpus(void *ctx, const char *text, const struct err *err)
{
	struct driver_link *link = ctx;
	if (err == NULL)
		renode_cpus_tell(link->monitor, text, "Resume");
}

void renode_gdb_close(struct driver_link *link)
{
	if (link->gdb == NULL)
		return;
	renode_gdb_cancel(link);
	monitor_ask(link->monitor, "machine StopGdbServer", RENODE_COMMAND_TIMEOUT_MS, NULL, NULL);
	monitor_ask(link->monitor, "peripherals", RENODE_COMMAND_TIMEOUT_MS, gdb_on_cpus, link);
}

static void gdb_on_leftover_cpus(void *ctx, const char *text, const struct err *err)
{
	struct driver_link *link = ctx;
	if (err != NULL)
		return;
	renode_cpus_tell(link->monitor, text, "RemoveAllHooks");
	renode_cpus_tell(link->monitor, text, "ExecutionMode Continuous"); /* one was met without a debugger */
	renode_cpus_tell(link->monitor, text, "Resume");
}

/* Where there was a server, somebody was debugging: its breakpoints are hooks of the processors. */
static void gdb_on_leftover(void *ctx, const char *text, const struct err *err)
{
	(void)text;
	struct driver_link *link = ctx;
	if (err == NULL)
		monitor_ask(link->monitor, "peripherals", RENODE_COMMAND_TIMEOUT_MS, gdb_on_leftover_cpus, link);
}

void renode_gdb_clean(struct driver_link *link)
{
	monitor_ask(link->monitor, "machine StopGdbServer", RENODE_COMMAND_TIMEOUT_MS, gdb_on_leftover, link);
}
