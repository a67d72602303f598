/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies carry the id of their command, so that one which comes after its deadline is recognised and dropped. QEMU answers in the
 * order of the commands. Input is split at newlines; a line longer than QMP_LINE_MAX ends the connection.
 */
#include "driver/qmp.h"

#include <errno.h>
#include <event2/event.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/mem.h"

#define QMP_LINE_MAX (4u << 20)
#define QMP_READ_MAX 16384

struct qmp_command {
	STAILQ_ENTRY(qmp_command) link;
	char *text; /* whole request line; of the first of a pair both lines, of the second none */
	const char *name;
	uint64_t id;
	uint32_t timeout_ms;
	qmp_reply_fn on_reply;
	void *ctx;
};
STAILQ_HEAD(qmp_queue, qmp_command);

struct qmp {
	struct event_base *base;
	int fd;
	struct event *readable, *writable, *deadline;
	struct qmp_ops ops;
	void *ctx;
	char *line;
	size_t line_len, line_size;
	struct qmp_queue queue; /* the head is the one sent, when is_busy */
	bool is_busy;
	size_t sent; /* bytes of the head's text */
	uint64_t last_id;
	int depth; /* callbacks on the stack */
	bool is_freed;
};

static void qmp_send_next(struct qmp *qmp);

static void qmp_enter(struct qmp *qmp)
{
	qmp->depth++;
}

static void qmp_destroy(struct qmp *qmp)
{
	event_free(qmp->readable);
	event_free(qmp->writable);
	event_free(qmp->deadline);
	if (qmp->fd >= 0)
		close(qmp->fd);
	free(qmp->line);
	free(qmp);
}

static void qmp_leave(struct qmp *qmp)
{
	if (--qmp->depth == 0 && qmp->is_freed)
		qmp_destroy(qmp);
}

static void qmp_finish_head(struct qmp *qmp, struct json_object *value, const struct err *err)
{
	struct qmp_command *command = STAILQ_FIRST(&qmp->queue);
	STAILQ_REMOVE_HEAD(&qmp->queue, link);
	qmp->is_busy = false;
	event_del(qmp->deadline);
	event_del(qmp->writable);
	if (command->on_reply != NULL)
		command->on_reply(command->ctx, value, err);
	free(command->text);
	free(command);
}

static void qmp_fail_all(struct qmp *qmp, const struct err *err)
{
	while (!STAILQ_EMPTY(&qmp->queue))
		qmp_finish_head(qmp, NULL, err);
}

static void qmp_close(struct qmp *qmp, const struct err *err)
{
	if (qmp->fd < 0)
		return;
	event_del(qmp->readable);
	close(qmp->fd);
	qmp->fd = -1;
	qmp_fail_all(qmp, err);
	if (!qmp->is_freed)
		qmp->ops.on_closed(qmp->ctx, err);
}

static void qmp_error_of(struct json_object *error, const char *command, struct err *err)
{
	bool is_missing = strcmp(qmp_string(error, "class"), "DeviceNotFound") == 0;
	err_set(err, is_missing ? ERR_NOT_FOUND : ERR_FAILED_PRECONDITION, "QMP %s: %s", command, qmp_string(error, "desc"));
}

static void qmp_on_reply(struct qmp *qmp, struct json_object *message)
{
	struct qmp_command *head = STAILQ_FIRST(&qmp->queue);
	struct json_object *id = json_object_object_get(message, "id"), *error = NULL;
	bool is_error = json_object_object_get_ex(message, "error", &error);
	if (head == NULL || !qmp->is_busy || id == NULL || (uint64_t)json_object_get_int64(id) != head->id)
		return; /* past its deadline */
	if (is_error) {
		struct err err = ERR_INIT;
		qmp_error_of(error, head->name, &err);
		qmp_finish_head(qmp, NULL, &err);
	} else {
		qmp_finish_head(qmp, json_object_object_get(message, "return"), NULL);
	}
	qmp_send_next(qmp);
}

static void qmp_greet(struct qmp *qmp, struct json_object *greeting)
{
	struct json_object *version = json_object_object_get(greeting, "version"), *number = json_object_object_get(version, "qemu");
	const char *package = qmp_string(version, "package");
	char text[96];
	int part[3];
	static const char *const keys[] = { "major", "minor", "micro" };
	for (size_t i = 0; i < 3; i++)
		part[i] = json_object_get_int(json_object_object_get(number, keys[i]));
	snprintf(text, sizeof(text), "%d.%d.%d%s%s%s", part[0], part[1], part[2], package[0] != '\0' ? " (" : "", package,
		 package[0] != '\0' ? ")" : "");
	qmp->ops.on_greeting(qmp->ctx, text);
}

static void qmp_on_message(struct qmp *qmp, struct json_object *message)
{
	struct json_object *greeting;
	if (!json_object_is_type(message, json_type_object))
		return;
	if (json_object_object_get_ex(message, "event", NULL))
		qmp->ops.on_event(qmp->ctx, qmp_string(message, "event"), json_object_object_get(message, "data"));
	else if (json_object_object_get_ex(message, "QMP", &greeting))
		qmp_greet(qmp, greeting);
	else
		qmp_on_reply(qmp, message);
}

static void qmp_on_line(struct qmp *qmp, const char *line, size_t len)
{
	struct json_tokener *tokener = json_tokener_new_ex(32);
	struct json_object *message = json_tokener_parse_ex(tokener, line, (int)len);
	if (message != NULL)
		qmp_on_message(qmp, message);
	json_object_put(message);
	json_tokener_free(tokener);
}

/* Handles the complete lines of the buffer and keeps the rest. */
static void qmp_split_lines(struct qmp *qmp)
{
	size_t start = 0;
	char *newline;
	while (!qmp->is_freed && (newline = memchr(qmp->line + start, '\n', qmp->line_len - start)) != NULL) {
		size_t end = (size_t)(newline - qmp->line);
		qmp_on_line(qmp, qmp->line + start, end - start);
		start = end + 1;
	}
	memmove(qmp->line, qmp->line + start, qmp->line_len - start);
	qmp->line_len -= start;
	if (qmp->line_len == 0) { /* an idle link keeps no buffer */
		free(qmp->line);
		qmp->line = NULL;
		qmp->line_size = 0;
	}
}

static void qmp_append(struct qmp *qmp, const char *bytes, size_t len)
{
	if (qmp->line_len + len > qmp->line_size) {
		qmp->line_size = qmp->line_len + len;
		qmp->line = xrealloc(qmp->line, qmp->line_size, 1);
	}
	memcpy(qmp->line + qmp->line_len, bytes, len);
	qmp->line_len += len;
}

/* One read; false when there is nothing more now. */
static bool qmp_read_some(struct qmp *qmp)
{
	char buf[QMP_READ_MAX];
	struct err err = ERR_INIT;
	ssize_t n = qmp->fd >= 0 ? read(qmp->fd, buf, sizeof(buf)) : -1;
	if (n < 0 && (qmp->fd < 0 || errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		if (n == 0)
			err_set(&err, ERR_UNAVAILABLE, "QMP: the emulator closed the connection");
		else
			err_sys(&err, errno, "QMP: read");
		qmp_close(qmp, &err);
		return false;
	}
	qmp_append(qmp, buf, (size_t)n);
	qmp_split_lines(qmp);
	if (qmp->line_len > QMP_LINE_MAX) {
		err_set(&err, ERR_RESOURCE_EXHAUSTED, "QMP: a line of more than %u bytes", QMP_LINE_MAX);
		qmp_close(qmp, &err);
	}
	return !qmp->is_freed && qmp->fd >= 0;
}

static void qmp_on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	struct qmp *qmp = arg;
	qmp_enter(qmp);
	(void)qmp_read_some(qmp);
	qmp_leave(qmp);
}

void qmp_drain(struct qmp *qmp)
{
	qmp_enter(qmp);
	while (qmp_read_some(qmp)) {
	}
	qmp_leave(qmp);
}

static void qmp_write_head(struct qmp *qmp)
{
	struct qmp_command *head = STAILQ_FIRST(&qmp->queue);
	size_t len = strlen(head->text);
	if (len == 0)
		return; /* it went with the one before */
	ssize_t n = send(qmp->fd, head->text + qmp->sent, len - qmp->sent, MSG_NOSIGNAL);
	if (n > 0)
		qmp->sent += (size_t)n;
	/* A broken connection shows up as EOF on the read side; anything else may be better the next time. */
	if (qmp->sent < len && (n >= 0 || (errno != EPIPE && errno != ECONNRESET)))
		event_add(qmp->writable, NULL);
}

static void qmp_on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	qmp_write_head(arg);
}

static void qmp_send_next(struct qmp *qmp)
{
	struct qmp_command *head = STAILQ_FIRST(&qmp->queue);
	if (qmp->is_busy || head == NULL || qmp->fd < 0)
		return;
	qmp->is_busy = true;
	qmp->sent = 0;
	struct timeval tv = { .tv_sec = head->timeout_ms / 1000, .tv_usec = (head->timeout_ms % 1000) * 1000 };
	event_add(qmp->deadline, &tv);
	qmp_write_head(qmp);
}

static void qmp_on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	struct qmp *qmp = arg;
	struct qmp_command *head = STAILQ_FIRST(&qmp->queue);
	struct err err = ERR_INIT;
	err_set(&err, ERR_DEADLINE_EXCEEDED, "QMP %s: no answer within %u ms", head->name, head->timeout_ms);
	qmp_enter(qmp);
	if (qmp->sent < strlen(head->text))
		qmp_close(qmp, &err); /* half a request was sent: the connection is of no use any more */
	else
		qmp_finish_head(qmp, NULL, &err);
	head = STAILQ_FIRST(&qmp->queue);
	if (head != NULL && head->text[0] == '\0')
		qmp_finish_head(qmp, NULL, &err); /* the second of a pair, which stands behind the first */
	qmp_send_next(qmp);
	qmp_leave(qmp);
}

struct qmp *qmp_new(struct event_base *base, int fd, const struct qmp_ops *ops, void *ctx)
{
	struct qmp *qmp = xcalloc(1, sizeof(*qmp));
	qmp->base = base;
	qmp->fd = fd;
	qmp->ops = *ops;
	qmp->ctx = ctx;
	STAILQ_INIT(&qmp->queue);
	qmp->readable = event_new(base, fd, EV_READ | EV_PERSIST, qmp_on_readable, qmp);
	qmp->writable = event_new(base, fd, EV_WRITE, qmp_on_writable, qmp);
	qmp->deadline = event_new(base, -1, 0, qmp_on_deadline, qmp);
	event_add(qmp->readable, NULL);
	return qmp;
}

void qmp_free(struct qmp *qmp)
{
	if (qmp == NULL || qmp->is_freed)
		return;
	struct err err = ERR_INIT;
	err_set(&err, ERR_CANCELLED, "QMP: the connection was given up");
	qmp_enter(qmp);
	qmp->is_freed = true;
	qmp_close(qmp, &err);
	qmp_leave(qmp);
}

static struct qmp_command *qmp_command_new(struct qmp *qmp, const struct qmp_ask *ask, void *ctx)
{
	struct qmp_command *entry = xcalloc(1, sizeof(*entry));
	entry->id = ++qmp->last_id;
	entry->name = ask->command;
	entry->timeout_ms = ask->timeout_ms;
	entry->on_reply = ask->on_reply;
	entry->ctx = ctx;
	/* No blanks: QEMU reads its monitor byte by byte. */
	entry->text = xasprintf("{\"execute\":\"%s\",\"id\":%llu%s%s}\n", ask->command, (unsigned long long)entry->id,
				ask->arguments != NULL ? ",\"arguments\":" : "", ask->arguments != NULL ? ask->arguments : "");
	return entry;
}

static bool qmp_is_open(const struct qmp *qmp, const struct qmp_ask *ask, void *ctx)
{
	struct err err = ERR_INIT;
	if (qmp->fd >= 0)
		return true;
	err_set(&err, ERR_UNAVAILABLE, "QMP %s: the emulator has closed the connection", ask->command);
	if (ask->on_reply != NULL)
		ask->on_reply(ctx, NULL, &err);
	return false;
}

void qmp_execute(struct qmp *qmp, const char *command, const char *arguments, uint32_t timeout_ms, qmp_reply_fn on_reply, void *ctx)
{
	const struct qmp_ask ask = { command, arguments, timeout_ms, on_reply };
	if (!qmp_is_open(qmp, &ask, ctx))
		return;
	struct qmp_command *entry = qmp_command_new(qmp, &ask, ctx);
	STAILQ_INSERT_TAIL(&qmp->queue, entry, link);
	qmp_send_next(qmp);
}

void qmp_execute_pair(struct qmp *qmp, const struct qmp_ask asks[2], void *ctx)
{
	if (!qmp_is_open(qmp, &asks[0], ctx)) {
		(void)qmp_is_open(qmp, &asks[1], ctx);
		return;
	}
	struct qmp_command *first = qmp_command_new(qmp, &asks[0], ctx), *second = qmp_command_new(qmp, &asks[1], ctx);
	char *both = xasprintf("%s%s", first->text, second->text);
	free(first->text);
	first->text = both;
	second->text[0] = '\0';
	STAILQ_INSERT_TAIL(&qmp->queue, first, link);
	STAILQ_INSERT_TAIL(&qmp->queue, second, link);
	qmp_send_next(qmp);
}

const char *qmp_string(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;
	if (object == NULL || !json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_string))
		return "";
	return json_object_get_string(value);
}

bool qmp_bool(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;
	if (object == NULL || !json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_boolean))
		return false;
	return json_object_get_boolean(value);
}
