/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/tail.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "wire/mem.h"

#define TAIL_PIECE  65536
#define TAIL_ROUNDS 16        /* pieces in one callback */
#define TAIL_PUNCH  (1 << 20) /* given back to the disk at once */

struct tail {
	int file, fifo, notify;
	off_t punched;
	struct event grown, writable, again;
};

/* What lies in the FIFO are the pages of the file: only what was read there is given back, since what of a page is punched becomes zero. */
static void tail_give_back(struct tail *tail)
{
	static long page;
	int waiting = 0;
	page = page != 0 ? page : sysconf(_SC_PAGESIZE);
	if (ioctl(tail->fifo, FIONREAD, &waiting) < 0)
		return;
	off_t done = lseek(tail->file, 0, SEEK_CUR) - waiting;
	done -= done % page;
	if (done - tail->punched < TAIL_PUNCH)
		return;
	(void)fallocate(tail->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, tail->punched, done - tail->punched);
	tail->punched = done;
}

static void tail_move(struct tail *tail)
{
	static const struct timeval at_once = { 0, 0 };
	ssize_t n = 1;
	for (int i = 0; i < TAIL_ROUNDS && n > 0; i++)
		n = splice(tail->file, NULL, tail->fifo, NULL, TAIL_PIECE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	bool is_full = n < 0 && errno == EAGAIN;
	tail_give_back(tail);
	if (n > 0)
		event_add(&tail->again, &at_once);
	else if (is_full)
		event_add(&tail->writable, NULL);
	else
		event_add(&tail->grown, NULL); /* also after an error: more may come */
}

static void tail_on_grown(evutil_socket_t fd, short what, void *ctx)
{
	char events[4096];
	(void)what;
	while (read(fd, events, sizeof(events)) > 0) { /* each says the same */
	}
	tail_move(ctx);
}

static void tail_on_event(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	tail_move(ctx);
}

int tail_new(struct event_base *base, int file, int fifo, struct tail **out, struct err *err)
{
	char path[32]; /* whatever has its name by now, this is it */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	int notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (notify < 0 || inotify_add_watch(notify, path, IN_MODIFY) < 0) {
		int sys = errno;
		if (notify >= 0)
			close(notify);
		return err_sys(err, sys, "watch a file that grows");
	}
	struct tail *tail = xcalloc(1, sizeof(*tail));
	tail->file = file;
	tail->fifo = fifo;
	tail->notify = notify;
	event_assign(&tail->grown, base, notify, EV_READ, tail_on_grown, tail);
	event_assign(&tail->writable, base, fifo, EV_WRITE, tail_on_event, tail);
	event_assign(&tail->again, base, -1, EV_TIMEOUT, tail_on_event, tail);
	tail_move(tail); /* after the watch: what comes now is told */
	*out = tail;
	return 0;
}

void tail_drain(struct tail *tail)
{
	event_del(&tail->again);
	event_del(&tail->writable);
	event_del(&tail->grown);
	tail_move(tail);
}

void tail_free(struct tail *tail)
{
	if (tail == NULL)
		return;
	event_del(&tail->grown);
	event_del(&tail->writable);
	event_del(&tail->again);
	close(tail->file);
	close(tail->fifo);
	close(tail->notify);
	free(tail);
}
