/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often to wake: 10 ms after the input came, then after twice the time up to 1 s, ten times; the guest may just not read. Where
 * a wake was what helped, the rest is helped along every millisecond, since such a UART takes one byte a wake. New output after a
 * pause is worth three more.
 *
 * A FIFO does not tell when it is nearly empty: who writes at the pace of the guest looks every millisecond while it reads, every 20 ms
 * while it does not.
 */
#include "channel/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define INPUT_DELAY_MS     10
#define INPUT_DELAY_MAX_MS 1000
#define INPUT_WAKES_MAX    10
#define INPUT_WAKES_OUTPUT 3 /* of these, left after new output */
#define INPUT_PACE_MAX_MS  20

static int input_unread(const struct input *input)
{
	int n = 0;
	return ioctl(input->fd, FIONREAD, &n) < 0 ? 0 : n;
}

static void input_watch(struct input *input, unsigned delay_ms)
{
	input->delay_ms = delay_ms;
	struct timeval delay = { delay_ms / 1000, (suseconds_t)(delay_ms % 1000) * 1000 };
	event_add(&input->watch, &delay);
}

static void input_on_watch(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct input *input = ctx;
	int before = input->unread_bytes;
	input->unread_bytes = input_unread(input);
	if (input->unread_bytes == 0) {
		input->wakes = 0;
		return;
	}
	if (input->unread_bytes < before) {
		unsigned delay_ms = input->wakes > 0 ? 1 : INPUT_DELAY_MS;
		input->wakes = 0;
		input_watch(input, delay_ms);
		return;
	}
	if (input->wakes == INPUT_WAKES_MAX)
		return;
	input->wakes++;
	unsigned delay_ms = input->delay_ms * 2;
	input_watch(input, delay_ms < INPUT_DELAY_MAX_MS ? delay_ms : INPUT_DELAY_MAX_MS);
	input->ops->on_stuck(input->ctx);
}

static void input_on_room(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct input *input = ctx;
	input->ops->on_room(input->ctx);
}

static void input_watch_pace(struct input *input, unsigned delay_ms)
{
	input->pace_ms = delay_ms;
	struct timeval delay = { 0, (suseconds_t)delay_ms * 1000 };
	event_add(&input->pace, &delay);
}

static void input_on_pace(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct input *input = ctx;
	int unread = input_unread(input);
	unsigned slower_ms = input->pace_ms * 2 < INPUT_PACE_MAX_MS ? input->pace_ms * 2 : INPUT_PACE_MAX_MS;
	bool is_read = unread < input->paced_bytes;
	input->paced_bytes = unread;
	if (unread <= INPUT_PACE_BYTES / 2)
		input->ops->on_pace(input->ctx);
	else
		input_watch_pace(input, is_read ? 1 : slower_ms);
}

void input_init(struct input *input, struct event_base *base, const struct input_ops *ops, void *ctx)
{
	*input = (struct input){ .ops = ops, .ctx = ctx, .fd = -1 };
	event_assign(&input->room, base, -1, EV_WRITE, input_on_room, input);
	event_assign(&input->watch, base, -1, EV_TIMEOUT, input_on_watch, input);
	event_assign(&input->pace, base, -1, EV_TIMEOUT, input_on_pace, input);
}

void input_open(struct input *input, int fd)
{
	input->fd = fd;
	input->wakes = 0;
	event_assign(&input->room, event_get_base(&input->watch), fd, EV_WRITE, input_on_room, input);
	/* An earlier daemon's bytes may still lie there. */
	input->unread_bytes = input_unread(input);
	if (input->unread_bytes > 0)
		input_watch(input, INPUT_DELAY_MS);
}

void input_close(struct input *input)
{
	if (input->fd < 0)
		return;
	event_del(&input->room);
	event_del(&input->watch);
	event_del(&input->pace);
	close(input->fd);
	input->fd = -1;
}

bool input_is_open(const struct input *input)
{
	return input->fd >= 0;
}

/* New bytes restart the count, but never put off a wake that is due: somebody may type without pause. */
static void input_wrote(struct input *input, size_t taken)
{
	bool is_watched = event_pending(&input->watch, EV_TIMEOUT, NULL);
	input->wakes = 0;
	input->unread_bytes = is_watched ? input->unread_bytes + (int)taken : input_unread(input);
	if (!is_watched || input->delay_ms > INPUT_DELAY_MS)
		input_watch(input, INPUT_DELAY_MS);
}

size_t input_write(struct input *input, const void *buf, size_t len)
{
	if (input->fd < 0)
		return 0;
	size_t taken = 0;
	while (taken < len) {
		ssize_t n = write(input->fd, (const char *)buf + taken, len - taken);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		taken += (size_t)n;
	}
	if (taken > 0)
		input_wrote(input, taken);
	return taken;
}

size_t input_write_paced(struct input *input, const void *buf, size_t len)
{
	if (input->fd < 0)
		return 0;
	int unread = input_unread(input);
	size_t room = unread < INPUT_PACE_BYTES ? (size_t)(INPUT_PACE_BYTES - unread) : 0;
	return input_write(input, buf, len < room ? len : room);
}

ssize_t input_splice(struct input *input, int from, size_t max)
{
	ssize_t n;
	if (input->fd < 0)
		return 0;
	do
		n = splice(from, NULL, input->fd, NULL, max, SPLICE_F_NONBLOCK);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		input_wrote(input, (size_t)n);
	return n >= 0 ? n : errno == EAGAIN ? 0 : -errno;
}

void input_await_room(struct input *input)
{
	if (input->fd >= 0)
		event_add(&input->room, NULL);
}

void input_forget_room(struct input *input)
{
	event_del(&input->room);
}

void input_await_pace(struct input *input)
{
	if (input->fd < 0)
		return;
	input->paced_bytes = input_unread(input);
	input_watch_pace(input, 1);
}

void input_forget_pace(struct input *input)
{
	event_del(&input->pace);
}

void input_saw_output(struct input *input)
{
	if (input->fd < 0 || input->unread_bytes == 0)
		return;
	if (input->wakes > INPUT_WAKES_MAX - INPUT_WAKES_OUTPUT)
		input->wakes = INPUT_WAKES_MAX - INPUT_WAKES_OUTPUT;
	if (!event_pending(&input->watch, EV_TIMEOUT, NULL) || input->delay_ms > INPUT_DELAY_MS)
		input_watch(input, INPUT_DELAY_MS);
}
