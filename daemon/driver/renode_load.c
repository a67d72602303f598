/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image into a running board: its pieces become files in the run directory, the macro that a reset runs becomes one that loads them
 * and says where the processor begins, and the board is reset. So a later reset, the guest's own too, has them again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/renode_cpus.h"
#include "driver/renode_int.h"
#include "wire/mem.h"

#define LOAD_PIECES_MAX 64
#define LOAD_COPY_BYTES 65536

struct renode_load {
	struct driver_link *link; /* NULL: the link is gone, an answer frees it */
	struct driver_load what;
	driver_done_fn done;
	void *ctx;
	size_t step;
	size_t pieces;
	uint64_t lowest;
	char *cpu; /* the processor that begins */
	bool is_cortex_m;
	struct strv commands;
};

/* ---------------------------------------------------------------- ends */

static void load_finish(struct renode_load *load, struct err *err)
{
	driver_done_fn done = load->done;
	void *ctx = load->ctx;
	if (load->link != NULL)
		load->link->load = NULL;
	close(load->what.fd);
	strv_fini(&load->commands);
	free(load->cpu);
	free(load);
	if (err != NULL)
		err_prefix(err, "load");
	done(ctx, err);
}

/* Its command fails with CANCELLED when the monitor goes, which is next. */
void renode_load_cancel(struct driver_link *link)
{
	if (link->load != NULL)
		link->load->link = NULL;
	link->load = NULL;
}

/* ---------------------------------------------------------------- pieces */

static int load_copy(int from, int to, uint64_t len)
{
	static char buf[LOAD_COPY_BYTES];
	while (len > 0) {
		ssize_t n = read(from, buf, len < sizeof(buf) ? (size_t)len : sizeof(buf));
		ssize_t written = n > 0 ? write(to, buf, (size_t)n) : -1;
		if (n == 0 || (written >= 0 && written < n))
			errno = n == 0 ? EIO : ENOSPC; /* the call itself has not failed */
		if (n <= 0 || written < n)
			return -1;
		len -= (uint64_t)n;
	}
	return 0;
}

static int load_piece(struct renode_load *load, const struct driver_piece *piece, struct strv *words, struct err *err)
{
	char *path = xasprintf("%s/" RENODE_DIR "/load-%zu.bin", load->link->run_path, load->pieces);
	const char *name = strrchr(path, '/') + 1;
	(void)unlinkat(load->link->own_dir, name, 0);
	int fd = openat(load->link->own_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int rc = fd >= 0 ? load_copy(load->what.fd, fd, piece->len) : -1;
	if (rc == 0 && fchmod(fd, 0444) < 0) /* Renode reads it, perhaps as another user; nobody else comes there */
		rc = -1;
	if (rc < 0)
		err_sys(err, errno, "write \"%s\"", path);
	if (fd >= 0)
		close(fd);
	char *quoted = rc == 0 ? renode_path(path, err) : NULL;
	free(path);
	if (quoted == NULL)
		return -1;
	strv_addf(words, "sysbus LoadBinary %s 0x%llx", quoted, (unsigned long long)piece->address);
	free(quoted);
	if (load->pieces++ == 0 || piece->address < load->lowest)
		load->lowest = piece->address;
	return 0;
}

static int load_pieces(struct renode_load *load, struct strv *words, struct err *err)
{
	struct driver_piece piece;
	ssize_t n;
	while ((n = read(load->what.fd, &piece, sizeof(piece))) == (ssize_t)sizeof(piece)) {
		if (load->pieces == LOAD_PIECES_MAX)
			return err_set(err, ERR_RESOURCE_EXHAUSTED, "the image has more than %d pieces", LOAD_PIECES_MAX);
		if (load_piece(load, &piece, words, err) < 0)
			return -1;
	}
	return n == 0 ? 0 : err_sys(err, n < 0 ? errno : EIO, "read the image");
}

/* ---------------------------------------------------------------- commands */

/* A Cortex-M takes stack pointer and program counter from its vector table. */
static void load_begin_at(struct renode_load *load, struct strv *words)
{
	if (load->is_cortex_m)
		strv_addf(words, "%s VectorTableOffset 0x%llx", load->cpu, (unsigned long long)load->lowest);
	else if (load->what.has_entry)
		strv_addf(words, "%s PC 0x%llx", load->cpu, (unsigned long long)load->what.entry);
}

static char *load_join(const struct strv *words)
{
	char *joined = xstrdup("");
	for (size_t i = 0; i < words->count; i++) {
		char *longer = xasprintf("%s%s%s", joined, i > 0 ? "; " : "", words->items[i]);
		free(joined);
		joined = longer;
	}
	return joined;
}

static int load_plan(struct renode_load *load, struct err *err)
{
	struct strv words;
	strv_init(&words);
	int rc = load_pieces(load, &words, err);
	if (rc == 0) {
		load_begin_at(load, &words);
		char *macro = load_join(&words);
		strv_add(&load->commands, "pause");
		strv_addf(&load->commands, "macro reset \"%s\"", macro);
		strv_add(&load->commands, "machine Reset");
		if (load->what.run)
			strv_add(&load->commands, "start");
		free(macro);
	}
	strv_fini(&words);
	return rc;
}

static void load_next(struct renode_load *load);

static void load_on_step(void *ctx, const char *text, const struct err *err)
{
	struct renode_load *load = ctx;
	struct err told = err != NULL ? *err : (struct err)ERR_INIT;
	(void)text;
	if (err != NULL) {
		load_finish(load, &told);
		return;
	}
	load->step++;
	load_next(load);
}

static void load_end(struct renode_load *load)
{
	struct driver_link *link = load->link;
	link->events->on_reset(link->ctx, false);
	renode_set_started(link, load->what.run);
	load_finish(load, NULL);
}

static void load_next(struct renode_load *load)
{
	if (load->step < load->commands.count)
		monitor_ask(load->link->monitor, load->commands.items[load->step], RENODE_COMMAND_TIMEOUT_MS, load_on_step, load);
	else
		load_end(load);
}

/* ---------------------------------------------------------------- beginning */

static void load_on_tree(void *ctx, const char *text, const struct err *err)
{
	struct renode_load *load = ctx;
	struct err told = err != NULL ? *err : (struct err)ERR_INIT;
	if (err == NULL) {
		load->cpu = renode_first_cpu(text, &load->is_cortex_m);
		if (load->cpu == NULL)
			err_set(&told, ERR_FAILED_PRECONDITION, "no processor is among Renode's peripherals");
	}
	if (err_is_set(&told) || load_plan(load, &told) < 0)
		load_finish(load, &told);
	else
		load_next(load);
}

void renode_load_begin(struct driver_link *link, const struct driver_load *what, driver_done_fn done, void *ctx)
{
	struct renode_load *load = xcalloc(1, sizeof(*load));
	*load = (struct renode_load){ .link = link, .what = *what, .done = done, .ctx = ctx };
	strv_init(&load->commands);
	link->load = load;
	monitor_ask(link->monitor, "peripherals", RENODE_COMMAND_TIMEOUT_MS, load_on_tree, load);
}
