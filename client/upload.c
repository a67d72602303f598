/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First the daemon is asked for the digest alone; what it has is not sent. What is sent goes in pieces as the stream takes them, read one
 * by one: an image is never in memory.
 */
#include "client/upload.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/call.h"
#include "client/clock.h"
#include "client/conn.h"
#include "client/say.h"
#include "client/term.h"
#include "config/sha256.h"
#include "pwemu/v1/channels.pb-c.h"
#include "wire/mem.h"

#define UPLOAD_PIECE    32768
#define UPLOAD_LARGE    (8u << 20) /* a bar at once … */
#define UPLOAD_LONG_MS  1000       /* … else after this time */
#define UPLOAD_BAR_MS   100
#define UPLOAD_IDLE_MS  60000 /* the daemon takes nothing and says nothing */
#define UPLOAD_TRIES    20    /* connections that are lost on the way */
#define UPLOAD_PROBE_MS 10000

struct upload {
	struct conn *conn;
	const char *path, *digest;
	int fd;
	uint64_t size, sent;
	uint64_t begin_ms, shown_ms, moved_ms;
	bool has_bar;
	struct rpc_stream *stream; /* NULL: the call is over */
	struct err status;
	bool is_read; /* to its end */
};

/* ---------------------------------------------------------------- the bar */

static void bar_show(struct upload *u)
{
	uint64_t now = clock_now_ms();
	if (say_is_quiet || !isatty(STDERR_FILENO) || now - u->shown_ms < UPLOAD_BAR_MS)
		return;
	if (u->size < UPLOAD_LARGE && now - u->begin_ms < UPLOAD_LONG_MS)
		return;
	const char *slash = strrchr(u->path, '/');
	u->has_bar = true;
	u->shown_ms = now;
	fprintf(stderr, "\r%.40s: uploading, %3u %% of %.1f MiB ", slash != NULL ? slash + 1 : u->path,
		(unsigned)(u->size > 0 ? u->sent * 100 / u->size : 100), (double)u->size / (1 << 20));
}

static void bar_clear(struct upload *u)
{
	if (u->has_bar)
		fputs("\r\033[K", stderr);
	u->has_bar = false;
}

/* ---------------------------------------------------------------- the stream */

static void fail(struct upload *u, const struct err *err)
{
	u->status = *err;
	if (u->stream != NULL)
		rpc_stream_cancel(u->stream);
}

static void send_piece(struct upload *u)
{
	static char bytes[UPLOAD_PIECE];
	struct err err = ERR_INIT;
	ssize_t n = pread(u->fd, bytes, sizeof(bytes), (off_t)u->sent);
	if (n < 0) {
		err_sys(&err, errno, "read \"%s\"", u->path);
		fail(u, &err);
		return;
	}
	if (n > 0) {
		Pwemu__V1__UploadRequest request = PWEMU__V1__UPLOAD_REQUEST__INIT;
		request.kind_case = PWEMU__V1__UPLOAD_REQUEST__KIND_DATA;
		request.data = (ProtobufCBinaryData){ .len = (size_t)n, .data = (uint8_t *)bytes };
		rpc_stream_send(u->stream, &request.base);
	}
	u->sent += (uint64_t)n;
	u->is_read = n == 0 || u->sent >= u->size;
	u->moved_ms = clock_now_ms();
	if (u->is_read)
		rpc_stream_half_close(u->stream);
}

static void pump(struct upload *u)
{
	while (!u->is_read && !err_is_set(&u->status) && rpc_stream_can_send(u->stream))
		send_piece(u);
	bar_show(u);
}

static void on_writable(struct rpc_stream *stream, void *ctx)
{
	(void)stream;
	pump(ctx);
}

static void on_end(struct rpc_stream *stream, void *ctx, const struct err *status)
{
	(void)stream;
	struct upload *u = ctx;
	u->stream = NULL;
	if (!err_is_set(&u->status))
		u->status = *status;
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct upload *u = ctx;
	struct err err = ERR_INIT;
	bar_show(u);
	if (u->conn->is_unwanted != NULL && u->conn->is_unwanted(u->conn->unwanted_ctx))
		err_set(&err, ERR_CANCELLED, "not sent: interrupted");
	else if (clock_now_ms() - u->moved_ms > UPLOAD_IDLE_MS)
		err_set(&err, ERR_DEADLINE_EXCEEDED, "the daemon has taken nothing for %d s", UPLOAD_IDLE_MS / 1000);
	if (err_is_set(&err) && !err_is_set(&u->status))
		fail(u, &err);
}

static void fill_begin(const struct upload *u, Pwemu__V1__UploadBegin *begin, Pwemu__V1__UploadRequest *request)
{
	const char *slash = strrchr(u->path, '/');
	pwemu__v1__upload_begin__init(begin);
	pwemu__v1__upload_request__init(request);
	begin->sha256 = (char *)(uintptr_t)u->digest;
	begin->size = u->size;
	begin->name = (char *)(uintptr_t)(slash != NULL ? slash + 1 : u->path);
	request->kind_case = PWEMU__V1__UPLOAD_REQUEST__KIND_BEGIN;
	request->begin = begin;
}

static int stream_all(struct upload *u, struct err *err)
{
	static const struct rpc_stream_ops ops = { .on_writable = on_writable, .on_end = on_end };
	static const struct timeval tick = { .tv_usec = UPLOAD_BAR_MS * 1000L };
	Pwemu__V1__UploadBegin begin;
	Pwemu__V1__UploadRequest request;
	fill_begin(u, &begin, &request);
	u->sent = 0;
	u->is_read = false;
	u->status = (struct err)ERR_INIT;
	u->moved_ms = clock_now_ms();
	u->stream = rpc_client_call(u->conn->client, call_method(CALL_CHANNELS_UPLOAD), &request.base, 0, &ops, u);
	struct event *timer = event_new(u->conn->base, -1, EV_PERSIST, on_tick, u);
	event_add(timer, &tick);
	pump(u);
	while (u->stream != NULL)
		event_base_loop(u->conn->base, EVLOOP_ONCE);
	event_free(timer);
	bar_clear(u);
	if (!err_is_set(&u->status))
		return 0;
	*err = u->status;
	return -1;
}

/* 1: it is there. */
static int probe(const struct upload *u, struct err *err)
{
	Pwemu__V1__UploadBegin begin;
	Pwemu__V1__UploadRequest request;
	ProtobufCMessage *reply = NULL;
	fill_begin(u, &begin, &request);
	if (call_unary(u->conn, CALL_CHANNELS_UPLOAD, &request.base, UPLOAD_PROBE_MS, &reply, err) < 0)
		return -1;
	bool present = ((const Pwemu__V1__UploadReply *)reply)->present;
	protobuf_c_message_free_unpacked(reply, NULL);
	return present;
}

static int send_image(struct upload *u, struct err *err)
{
	for (int i = 0;; i++) {
		int there = probe(u, err);
		if (there > 0)
			return 0;
		if (there == 0)
			say_detail("uploading \"%s\", %.1f MiB", u->path, (double)u->size / (1 << 20));
		if (there == 0 && stream_all(u, err) == 0)
			return 0;
		if (!conn_is_lost(u->conn, err) || i == UPLOAD_TRIES)
			return err_prefix(err, "image \"%s\" cannot be sent to the daemon", u->path);
		*err = (struct err)ERR_INIT;
		if (conn_reopen(u->conn, err) < 0)
			return -1;
	}
}

/* ---------------------------------------------------------------- the image */

static int look_at(struct upload *u, char hex[SHA256_HEX], struct err *err)
{
	struct stat st;
	u->fd = open(u->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (u->fd < 0 || fstat(u->fd, &st) < 0)
		return err_sys(err, errno, "image \"%s\"", u->path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID_ARGUMENT, "image \"%s\" is %s", u->path,
			       S_ISDIR(st.st_mode) ? "a directory; name the firmware file in it" : "no regular file");
	if (st.st_size == 0)
		return err_set(err, ERR_INVALID_ARGUMENT, "image \"%s\" is empty; did the build fail?", u->path);
	if (sha256_file(u->path, hex) < 0)
		return err_sys(err, errno, "read \"%s\"", u->path);
	u->size = (uint64_t)st.st_size;
	return 0;
}

int upload_image(struct conn *conn, Pwemu__V1__Image *image, struct err *err)
{
	char hex[SHA256_HEX];
	struct upload u = { .conn = conn, .path = image->path, .digest = hex, .fd = -1, .begin_ms = clock_now_ms() };
	int rc = look_at(&u, hex, err);
	if (rc == 0)
		rc = send_image(&u, err);
	if (u.fd >= 0)
		close(u.fd);
	if (rc < 0)
		return -1;
	upload_forget(image);
	image->digest = xstrdup(hex);
	image->size = u.size;
	return 0;
}

void upload_forget(Pwemu__V1__Image *image)
{
	if (image->digest != NULL && image->digest[0] != '\0')
		free(image->digest);
	image->digest = (char *)(uintptr_t)protobuf_c_empty_string;
}
