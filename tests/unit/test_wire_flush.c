/* SPDX-License-Identifier: Apache-2.0 */
/* A server's session against a reader of our making: what is ready to go leaves, whenever the reader takes what came before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "grpc/reflection/v1/reflection.pb-c.h"
#include "wire/http2.h"
#include "wire/mem.h"

typedef Grpc__Reflection__V1__ErrorResponse note;
#define NOTE_INIT     GRPC__REFLECTION__V1__ERROR_RESPONSE__INIT
#define MESSAGE_BYTES 10000
#define MESSAGES      2000
#define TURNS_MAX     100000              /* far above what it takes */
#define SOCKET_BYTES  (4 * IO_HIGH_BYTES) /* the kernel gives what it allows, which is enough for IO_HIGH_BYTES at once */

struct fixture {
	struct event_base *base;
	struct h2_session session;
	struct h2_stream stream;
	int reader;
	unsigned messages;  /* handed to the stream */
	unsigned overtaken; /* the reader took everything between the stop of the output and the turn after it */
	size_t bytes;       /* read */
	bool has_responded;
};

static void reader_drain(struct fixture *fx)
{
	static char bytes[64 << 10];
	ssize_t n;
	while ((n = recv(fx->reader, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		fx->bytes += (size_t)n;
}

static struct fixture *fixture_of(struct h2_session *session)
{
	return (struct fixture *)((char *)session - offsetof(struct fixture, session));
}

static struct h2_stream *on_open(struct h2_session *session)
{
	return &fixture_of(session)->stream;
}

static void on_header(struct h2_stream *stream, const char *name, size_t name_len, const char *value, size_t value_len)
{
	(void)stream, (void)name, (void)name_len, (void)value, (void)value_len;
}

static void on_output_end(struct h2_stream *stream)
{
	(void)stream;
}

/* As calls do: fills the stream as long as it may. */
static void on_ready(struct h2_stream *stream)
{
	struct fixture *fx = fixture_of(stream->session);
	nghttp2_nv status = { (uint8_t *)":status", (uint8_t *)"200", 7, 3, NGHTTP2_NV_FLAG_NONE };
	note message = NOTE_INIT;
	char text[MESSAGE_BYTES + 1];
	memset(text, 'x', MESSAGE_BYTES);
	text[MESSAGE_BYTES] = '\0';
	message.error_message = text;
	if (!fx->has_responded)
		h2_stream_respond(stream, &status, 1, true);
	fx->has_responded = true;
	stream->wants_writable = true;
	for (; fx->messages < MESSAGES && h2_stream_can_send(stream); fx->messages++)
		h2_stream_send(stream, &message.base);
	if (!fx->session.io.is_blocked || io_queued(&fx->session.io) < IO_HIGH_BYTES)
		return;
	reader_drain(fx);
	fx->overtaken++;
}

static void on_free(struct h2_stream *stream)
{
	(void)stream;
}

static void on_dead(struct h2_session *session)
{
	(void)session;
}

static const struct h2_ops ops = {
	.on_open = on_open,
	.on_header = on_header,
	.on_output_end = on_output_end,
	.on_ready = on_ready,
	.on_free = on_free,
	.on_dead = on_dead,
};

/* A client that says what it wants and that its windows are no limit. */
static void reader_ask(int fd)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_session *ng;
	nghttp2_settings_entry window = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, NGHTTP2_MAX_WINDOW_SIZE };
	nghttp2_nv headers[] = {
		{ (uint8_t *)":method", (uint8_t *)"POST", 7, 4, NGHTTP2_NV_FLAG_NONE },
		{ (uint8_t *)":scheme", (uint8_t *)"http", 7, 4, NGHTTP2_NV_FLAG_NONE },
		{ (uint8_t *)":path", (uint8_t *)"/x", 5, 2, NGHTTP2_NV_FLAG_NONE },
		{ (uint8_t *)":authority", (uint8_t *)"x", 10, 1, NGHTTP2_NV_FLAG_NONE },
	};
	const uint8_t *bytes;
	ssize_t n;
	nghttp2_session_callbacks_new(&callbacks);
	nghttp2_session_client_new(&ng, callbacks, NULL);
	nghttp2_submit_settings(ng, NGHTTP2_FLAG_NONE, &window, 1);
	nghttp2_submit_window_update(ng, NGHTTP2_FLAG_NONE, 0, 1 << 30);
	assert_true(nghttp2_submit_request(ng, NULL, headers, 4, NULL, NULL) > 0);
	while ((n = nghttp2_session_mem_send(ng, &bytes)) > 0)
		assert_int_equal(write(fd, bytes, (size_t)n), n);
	nghttp2_session_del(ng);
	nghttp2_session_callbacks_del(callbacks);
}

/* The reader is fast just when the output has stopped and a turn is due: then no event follows that would say that it goes on. */
static void test_overtaken_by_the_reader(void **state)
{
	(void)state;
	struct fixture *fx = xcalloc(1, sizeof(*fx));
	struct h2_config config = { .is_server = true, .ops = &ops };
	int fds[2], size = SOCKET_BYTES;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	fx->base = event_base_new();
	fx->reader = fds[1];
	reader_ask(fx->reader);
	h2_session_init(&fx->session, fx->base, fds[0], &config);
	for (unsigned turn = 0; fx->bytes < (size_t)MESSAGES * MESSAGE_BYTES && turn < TURNS_MAX; turn++) {
		event_base_loop(fx->base, EVLOOP_NONBLOCK);
		if (!fx->session.is_scheduled)
			reader_drain(fx);
	}
	assert_true(fx->overtaken > 0);
	assert_true(fx->bytes >= (size_t)MESSAGES * MESSAGE_BYTES);
	h2_session_fini(&fx->session);
	event_base_free(fx->base);
	close(fx->reader);
	free(fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overtaken_by_the_reader),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
