/* SPDX-License-Identifier: Apache-2.0 */
/* A QMP client and the QEMU that the test plays on the other end of a socket pair. */
#pragma once

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/qmp.h"
#include "wire/mem.h"

#define DEADLINE_S 30
#define GREETING   "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n"

struct box {
	struct event_base *base;
	struct qmp *qmp;
	int qemu;        /* our end */
	char seen[4096]; /* what was told, a line each */
	int free_at;     /* qmp_free() in the callback that comes with this number, from 1 */
	int told;
	bool execute_in_callback;
};

static inline void box_tell(struct box *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void box_tell(struct box *b, const char *fmt, ...)
{
	size_t used = strlen(b->seen);
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(b->seen + used, sizeof(b->seen) - used, fmt, ap);
	va_end(ap);
	if (++b->told == b->free_at) {
		struct qmp *qmp = b->qmp;
		b->qmp = NULL;
		qmp_free(qmp);
	}
}

static inline void on_reply(void *ctx, struct json_object *value, const struct err *err)
{
	struct box *b = ctx;
	if (b->execute_in_callback && b->qmp != NULL) {
		b->execute_in_callback = false;
		qmp_execute(b->qmp, "from-callback", NULL, 60000, on_reply, b);
	}
	if (err != NULL)
		box_tell(b, "failed %s: %s\n", err_code_name(err->code), err->msg);
	else
		box_tell(b, "reply %s\n", json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN));
}

static inline void on_greeting(void *ctx, const char *version)
{
	(void)version;
	box_tell(ctx, "greeting\n");
}

static inline void on_event(void *ctx, const char *name, struct json_object *data)
{
	box_tell(ctx, "event %s %s %d\n", name, qmp_string(data, "reason"), qmp_bool(data, "guest"));
}

static inline void on_closed(void *ctx, const struct err *err)
{
	box_tell(ctx, "closed %s: %s\n", err_code_name(err->code), err->msg);
}

static const struct qmp_ops ops = { .on_greeting = on_greeting, .on_event = on_event, .on_closed = on_closed };

static inline int box_setup(void **state)
{
	struct box *b = xcalloc(1, sizeof(*b));
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	b->base = event_base_new();
	b->qemu = fds[1];
	b->qmp = qmp_new(b->base, fds[0], &ops, b);
	*state = b;
	return 0;
}

static inline int box_teardown(void **state)
{
	struct box *b = *state;
	b->free_at = 0;
	qmp_free(b->qmp);
	event_base_free(b->base);
	if (b->qemu >= 0)
		close(b->qemu);
	free(b);
	return 0;
}

static inline void say(struct box *b, const char *text)
{
	size_t len = strlen(text);
	assert_int_equal(send(b->qemu, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

static inline void turn(struct box *b)
{
	event_base_loop(b->base, EVLOOP_NONBLOCK);
}

/* Turns the loop until `text` was told; fails when it was not in time. */
static inline void await(struct box *b, const char *text)
{
	time_t end = time(NULL) + DEADLINE_S;
	while (strstr(b->seen, text) == NULL) {
		if (time(NULL) > end)
			fail_msg("no \"%s\" in: %s", text, b->seen);
		struct timeval tv = { .tv_usec = 20000 };
		event_base_loopexit(b->base, &tv);
		event_base_loop(b->base, EVLOOP_ONCE);
	}
}

/* What the client has sent; "" if nothing. */
static inline const char *heard(struct box *b)
{
	static char text[8192];
	ssize_t n = recv(b->qemu, text, sizeof(text) - 1, MSG_DONTWAIT);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static inline void ask(struct box *b, const char *command)
{
	qmp_execute(b->qmp, command, NULL, 60000, on_reply, b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)
