/* SPDX-License-Identifier: Apache-2.0 */
/* The head of the queue is the command that was sent, when is_busy. `text` is what has come since the last answer ended. */
#include "driver/monitor.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/monitor_text.h"
#include "loop/timer.h"
#include "wire/mem.h"

#define MONITOR_READ_MAX  16384
#define MONITOR_TEXT_MAX  (8u << 20) /* of an answer */
#define MONITOR_WORDS_MAX 16384      /* kept of what answers nothing */

struct monitor_command {
	STAILQ_ENTRY(monitor_command) link;
	char *line;
	uint64_t deadline_ms; /* monotonic; 0: it was told already */
	monitor_reply_fn on_reply;
	void *ctx;
};

struct monitor {
	int fd;
	bool is_prompted; /* it takes commands */
	struct event *readable, *writable;
	struct timer *deadline;
	struct monitor_ops ops;
	void *ctx;
	STAILQ_HEAD(, monitor_command) queue;
	bool is_busy;
	size_t sent; /* bytes of the head's line and its newline */
	char *text;
	size_t len, size;
	char *words;
	char prompt[MONITOR_PROMPT_MAX];
	int depth; /* callbacks on the stack */
	bool is_freed;
};

static void monitor_send_next(struct monitor *monitor);

/* ---------------------------------------------------------------- life */

static void monitor_destroy(struct monitor *monitor)
{
	event_free(monitor->readable);
	event_free(monitor->writable);
	timer_free(monitor->deadline);
	if (monitor->fd >= 0)
		close(monitor->fd);
	free(monitor->text);
	free(monitor->words);
	free(monitor);
}

static void monitor_enter(struct monitor *monitor)
{
	monitor->depth++;
}

static void monitor_leave(struct monitor *monitor)
{
	if (--monitor->depth == 0 && monitor->is_freed)
		monitor_destroy(monitor);
}

/* ---------------------------------------------------------------- the queue */

static void monitor_arm_deadline(struct monitor *monitor)
{
	uint64_t first = 0, now = clock_monotonic_ms();
	struct monitor_command *command;
	STAILQ_FOREACH (command, &monitor->queue, link)
		if (command->deadline_ms != 0 && (first == 0 || command->deadline_ms < first))
			first = command->deadline_ms;
	if (first == 0)
		timer_disarm(monitor->deadline);
	else
		timer_arm(monitor->deadline, first > now ? first - now : 0);
}

static void monitor_tell(struct monitor_command *command, const char *text, const struct err *err)
{
	monitor_reply_fn on_reply = command->on_reply;
	command->on_reply = NULL;
	command->deadline_ms = 0;
	if (on_reply != NULL)
		on_reply(command->ctx, text, err);
}

/* Taken out of the queue before it is told, so that the callback may ask and free. */
static void monitor_finish(struct monitor *monitor, struct monitor_command *command, const char *text, const struct err *err)
{
	STAILQ_REMOVE(&monitor->queue, command, monitor_command, link);
	monitor_tell(command, text, err);
	free(command->line);
	free(command);
}

static void monitor_fail_all(struct monitor *monitor, const struct err *err)
{
	monitor->is_busy = false;
	while (!STAILQ_EMPTY(&monitor->queue))
		monitor_finish(monitor, STAILQ_FIRST(&monitor->queue), "", err);
}

static void monitor_on_deadline(void *ctx)
{
	struct monitor *monitor = ctx;
	struct err err = ERR_INIT;
	struct monitor_command *command, *next;
	uint64_t now = clock_monotonic_ms();
	monitor_enter(monitor);
	for (command = STAILQ_FIRST(&monitor->queue); command != NULL && !monitor->is_freed; command = next) {
		next = STAILQ_NEXT(command, link);
		if (command->deadline_ms == 0 || command->deadline_ms > now)
			continue;
		err_set(&err, ERR_DEADLINE_EXCEEDED, "Renode has not answered \"%.*s\" in time", (int)strcspn(command->line, "\n"),
			command->line);
		if (monitor->is_busy && command == STAILQ_FIRST(&monitor->queue))
			monitor_tell(command, "", &err); /* its answer may still come */
		else
			monitor_finish(monitor, command, "", &err);
		next = STAILQ_FIRST(&monitor->queue); /* the callback may have changed the queue */
	}
	if (!monitor->is_freed)
		monitor_arm_deadline(monitor);
	monitor_leave(monitor);
}

static void monitor_close(struct monitor *monitor, const struct err *err)
{
	if (monitor->fd < 0)
		return;
	event_del(monitor->readable);
	event_del(monitor->writable);
	close(monitor->fd);
	monitor->fd = -1;
	monitor_fail_all(monitor, err);
	if (!monitor->is_freed)
		monitor->ops.on_closed(monitor->ctx, err);
}

/* ---------------------------------------------------------------- sending */

static void monitor_write(struct monitor *monitor)
{
	struct monitor_command *head = STAILQ_FIRST(&monitor->queue);
	size_t len = strlen(head->line); /* with its newline */
	ssize_t n = send(monitor->fd, head->line + monitor->sent, len - monitor->sent, MSG_NOSIGNAL);
	if (n > 0)
		monitor->sent += (size_t)n;
	/* A broken connection shows up as EOF on the read side. */
	if (monitor->sent < len && (n >= 0 || errno == EAGAIN || errno == EINTR))
		event_add(monitor->writable, NULL);
}

static void monitor_on_writable(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct monitor *monitor = ctx;
	if (monitor->is_busy)
		monitor_write(monitor);
}

static void monitor_send_next(struct monitor *monitor)
{
	if (monitor->is_busy || !monitor->is_prompted || monitor->fd < 0 || STAILQ_EMPTY(&monitor->queue))
		return;
	monitor->is_busy = true;
	monitor->sent = 0;
	monitor_write(monitor);
}

/* ---------------------------------------------------------------- receiving */

/* What answers nothing; the oldest goes. */
static void monitor_keep_words(struct monitor *monitor, size_t len)
{
	char *fresh = monitor_normal(monitor->text, len);
	char *joined = xasprintf("%s%s%s", monitor->words != NULL ? monitor->words : "", fresh, fresh[0] != '\0' ? "\n" : "");
	size_t total = strlen(joined), drop = total > MONITOR_WORDS_MAX ? total - MONITOR_WORDS_MAX : 0;
	free(fresh);
	free(monitor->words);
	memmove(joined, joined + drop, total - drop + 1);
	monitor->words = joined;
}

static void monitor_forget(struct monitor *monitor, size_t len)
{
	if (monitor->len > len)
		memmove(monitor->text, monitor->text + len, monitor->len - len);
	monitor->len -= len;
	if (monitor->len > 0)
		return;
	free(monitor->text); /* an idle monitor keeps no buffer */
	monitor->text = NULL;
	monitor->size = 0;
}

static void monitor_answer(struct monitor *monitor, const char *from, size_t prompt_len)
{
	struct err err = ERR_INIT;
	size_t len = (size_t)(monitor->text + monitor->len - from) - prompt_len;
	char *text = monitor_normal(from, len);
	monitor_forget(monitor, monitor->len);
	monitor->is_busy = false;
	bool is_error = monitor_find_error(text, &err);
	monitor_finish(monitor, STAILQ_FIRST(&monitor->queue), text, is_error ? &err : NULL);
	free(text);
}

static void monitor_first_prompt(struct monitor *monitor, size_t prompt_len)
{
	monitor_keep_words(monitor, monitor->len - prompt_len);
	monitor_forget(monitor, monitor->len);
	monitor->is_prompted = true;
	monitor->ops.on_prompt(monitor->ctx);
}

/* A prompt ends an answer only when the command's echo was seen. */
static void monitor_look(struct monitor *monitor)
{
	size_t prompt_len = monitor_find_prompt(monitor->text, monitor->len);
	struct monitor_command *head = monitor->is_busy ? STAILQ_FIRST(&monitor->queue) : NULL;
	if (prompt_len == 0)
		return;
	memcpy(monitor->prompt, monitor->text + monitor->len - prompt_len, prompt_len);
	monitor->prompt[prompt_len] = '\0';
	if (!monitor->is_prompted) {
		monitor_first_prompt(monitor, prompt_len);
	} else if (head == NULL) {
		monitor_keep_words(monitor, monitor->len - prompt_len);
		monitor_forget(monitor, monitor->len);
	} else {
		char *line = xasprintf("%.*s", (int)strcspn(head->line, "\n"), head->line);
		const char *from = monitor_find_echo(monitor->text, monitor->len, line);
		free(line);
		if (from != NULL)
			monitor_answer(monitor, from, prompt_len);
	}
	if (!monitor->is_freed) {
		monitor_arm_deadline(monitor);
		monitor_send_next(monitor);
	}
}

static void monitor_append(struct monitor *monitor, const char *bytes, size_t len)
{
	if (monitor->len + len > monitor->size) {
		monitor->size = 2 * (monitor->len + len);
		monitor->text = xrealloc(monitor->text, monitor->size, 1);
	}
	memcpy(monitor->text + monitor->len, bytes, len);
	monitor->len += len;
}

static void monitor_on_end(struct monitor *monitor, ssize_t n)
{
	struct err err = ERR_INIT;
	int sys = errno;
	monitor_keep_words(monitor, monitor->len);
	monitor_forget(monitor, monitor->len);
	if (n == 0 || sys == ECONNRESET)
		err_set(&err, ERR_UNAVAILABLE, "Renode has closed its console");
	else
		err_sys(&err, sys, "read Renode's console");
	monitor_close(monitor, &err);
}

/* One read; false when there is nothing more now. */
static bool monitor_read(struct monitor *monitor)
{
	char buf[MONITOR_READ_MAX];
	ssize_t n = monitor->fd >= 0 ? read(monitor->fd, buf, sizeof(buf)) : -1;
	if (n < 0 && (monitor->fd < 0 || errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		monitor_on_end(monitor, n);
		return false;
	}
	monitor_append(monitor, buf, (size_t)n);
	monitor_look(monitor);
	if (!monitor->is_freed && monitor->len > MONITOR_TEXT_MAX) {
		struct err err = ERR_INIT;
		err_set(&err, ERR_RESOURCE_EXHAUSTED, "Renode's console has printed more than %u bytes without a prompt", MONITOR_TEXT_MAX);
		monitor_close(monitor, &err);
	}
	return !monitor->is_freed && monitor->fd >= 0;
}

static void monitor_on_readable(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct monitor *monitor = ctx;
	monitor_enter(monitor);
	(void)monitor_read(monitor);
	monitor_leave(monitor);
}

void monitor_drain(struct monitor *monitor)
{
	monitor_enter(monitor);
	while (monitor_read(monitor)) {
	}
	monitor_leave(monitor);
}

/* ---------------------------------------------------------------- for the driver */

struct monitor *monitor_new(struct event_base *base, int fd, bool is_fresh, const struct monitor_ops *ops, void *ctx)
{
	struct monitor *monitor = xcalloc(1, sizeof(*monitor));
	monitor->fd = fd;
	monitor->is_prompted = !is_fresh;
	monitor->ops = *ops;
	monitor->ctx = ctx;
	memcpy(monitor->prompt, "(monitor) ", sizeof("(monitor) "));
	STAILQ_INIT(&monitor->queue);
	monitor->readable = event_new(base, fd, EV_READ | EV_PERSIST, monitor_on_readable, monitor);
	monitor->writable = event_new(base, fd, EV_WRITE, monitor_on_writable, monitor);
	monitor->deadline = timer_new(base, monitor_on_deadline, monitor);
	event_add(monitor->readable, NULL);
	return monitor;
}

void monitor_free(struct monitor *monitor)
{
	if (monitor == NULL || monitor->is_freed)
		return;
	struct err err = ERR_INIT;
	err_set(&err, ERR_CANCELLED, "the connection to Renode's console was given up");
	monitor_enter(monitor);
	monitor->is_freed = true;
	monitor_close(monitor, &err);
	monitor_leave(monitor);
}

static int monitor_check(const struct monitor *monitor, const char *command, struct err *err)
{
	if (monitor->fd < 0)
		return err_set(err, ERR_UNAVAILABLE, "Renode has closed its console");
	if (command[strspn(command, " ")] == '\0') /* it has no echo that could be told from nothing */
		return err_set(err, ERR_INVALID_ARGUMENT, "an empty command for Renode");
	if (strlen(command) > MONITOR_COMMAND_MAX)
		return err_set(err, ERR_INVALID_ARGUMENT, "a command for Renode of more than %d bytes", MONITOR_COMMAND_MAX);
	for (const char *at = command; *at != '\0'; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			return err_set(err, ERR_INVALID_ARGUMENT, "a command for Renode with the control character 0x%02x: \"%.80s\"",
				       (unsigned char)*at, command);
	return 0;
}

void monitor_ask(struct monitor *monitor, const char *command, uint32_t timeout_ms, monitor_reply_fn on_reply, void *ctx)
{
	struct err err = ERR_INIT;
	if (monitor_check(monitor, command, &err) < 0) {
		if (on_reply != NULL)
			on_reply(ctx, "", &err);
		return;
	}
	struct monitor_command *entry = xcalloc(1, sizeof(*entry));
	entry->line = xasprintf("%s\n", command);
	entry->deadline_ms = clock_monotonic_ms() + timeout_ms;
	entry->on_reply = on_reply;
	entry->ctx = ctx;
	STAILQ_INSERT_TAIL(&monitor->queue, entry, link);
	monitor_arm_deadline(monitor);
	monitor_send_next(monitor);
}

void monitor_close_input(struct monitor *monitor)
{
	if (monitor->fd >= 0)
		(void)shutdown(monitor->fd, SHUT_WR);
}

const char *monitor_prompt(const struct monitor *monitor)
{
	return monitor->prompt;
}

const char *monitor_words(struct monitor *monitor)
{
	return monitor->words != NULL ? monitor->words : "";
}
