/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A feed owns at most one open stream. A stream that was cancelled (steal, free) still gets its on_end from the loop, so each stream
 * has a small object of its own that is cut loose from the feed then.
 */
#include "client/feed.h"

#include <stdlib.h>
#include <string.h>

#include "client/call.h"
#include "client/conn.h"
#include "wire/mem.h"

struct link {
	struct feed *feed; /* NULL: cut loose */
	struct rpc_stream *stream;
};

struct feed {
	struct conn *conn;
	struct feed_config config;
	char *instance_id, *channel;
	const struct feed_ops *ops;
	void *ctx;
	struct link *link;           /* NULL: ended */
	bool writer, paused, placed; /* placed: offset is known */
	uint64_t offset;
};

static void on_attached(struct feed *feed, const Pwemu__V1__AttachOpened *opened)
{
	feed->writer = opened->writer;
	feed->offset = opened->offset;
	feed->placed = true;
	if (feed->ops->on_opened != NULL)
		feed->ops->on_opened(feed->ctx, feed, opened);
}

static void on_data(struct feed *feed, const Pwemu__V1__Data *data)
{
	feed->offset = data->offset + data->bytes.len;
	feed->placed = true;
	feed->ops->on_data(feed->ctx, feed, data);
}

static void on_attach_reply(struct feed *feed, const Pwemu__V1__AttachReply *reply)
{
	if (reply->kind_case == PWEMU__V1__ATTACH_REPLY__KIND_DATA) {
		on_data(feed, reply->data);
	} else if (reply->kind_case == PWEMU__V1__ATTACH_REPLY__KIND_OPENED) {
		on_attached(feed, reply->opened);
	} else if (reply->kind_case == PWEMU__V1__ATTACH_REPLY__KIND_WRITER) {
		feed->writer = reply->writer->writer;
		if (feed->ops->on_writer != NULL)
			feed->ops->on_writer(feed->ctx, feed, feed->writer, reply->writer->reason);
	} else if (reply->kind_case == PWEMU__V1__ATTACH_REPLY__KIND_INPUT_TAKEN && feed->ops->on_taken != NULL) {
		feed->ops->on_taken(feed->ctx, feed, reply->input_taken);
	}
}

static void on_message(struct rpc_stream *stream, void *ctx, const ProtobufCMessage *message)
{
	(void)stream;
	struct link *link = ctx;
	if (link->feed == NULL)
		return;
	conn_progress(link->feed->conn);
	if (link->feed->config.attach) {
		on_attach_reply(link->feed, (const Pwemu__V1__AttachReply *)message);
		return;
	}
	const Pwemu__V1__ReadReply *reply = (const Pwemu__V1__ReadReply *)message;
	if (reply->data != NULL)
		on_data(link->feed, reply->data);
}

static void on_writable(struct rpc_stream *stream, void *ctx)
{
	(void)stream;
	struct link *link = ctx;
	if (link->feed != NULL && link->feed->ops->on_writable != NULL)
		link->feed->ops->on_writable(link->feed->ctx, link->feed);
}

static void on_end(struct rpc_stream *stream, void *ctx, const struct err *status)
{
	(void)stream;
	struct link *link = ctx;
	struct feed *feed = link->feed;
	free(link);
	if (feed == NULL)
		return;
	feed->link = NULL;
	feed->writer = false;
	feed->ops->on_end(feed->ctx, feed, status);
}

static const struct rpc_stream_ops stream_ops = { .on_message = on_message, .on_writable = on_writable, .on_end = on_end };

static struct rpc_stream *open_attach(struct feed *feed, Pwemu__V1__InstanceRef *instance, struct link *link)
{
	Pwemu__V1__AttachOpen open = PWEMU__V1__ATTACH_OPEN__INIT;
	Pwemu__V1__AttachRequest request = PWEMU__V1__ATTACH_REQUEST__INIT;
	open.instance = instance;
	open.channel = feed->channel;
	open.from = &feed->config.from;
	open.write = feed->config.write;
	open.steal = feed->config.steal;
	open.beside = feed->config.beside;
	request.kind_case = PWEMU__V1__ATTACH_REQUEST__KIND_OPEN;
	request.open = &open;
	return rpc_client_call(feed->conn->client, call_method(CALL_CHANNELS_ATTACH), &request.base, 0, &stream_ops, link);
}

static struct rpc_stream *open_read(struct feed *feed, Pwemu__V1__InstanceRef *instance, struct link *link)
{
	Pwemu__V1__ReadRequest request = PWEMU__V1__READ_REQUEST__INIT;
	request.instance = instance;
	request.channel = feed->channel;
	request.from = &feed->config.from;
	request.follow = feed->config.follow;
	request.times = feed->config.times;
	request.one_boot = feed->config.one_boot;
	struct rpc_stream *stream =
		rpc_client_call(feed->conn->client, call_method(CALL_CHANNELS_READ), &request.base, 0, &stream_ops, link);
	rpc_stream_half_close(stream);
	return stream;
}

static void open_stream(struct feed *feed)
{
	Pwemu__V1__InstanceRef instance = PWEMU__V1__INSTANCE_REF__INIT;
	instance.id = feed->instance_id;
	struct link *link = xcalloc(1, sizeof(*link));
	link->feed = feed;
	feed->link = link;
	link->stream = feed->config.attach ? open_attach(feed, &instance, link) : open_read(feed, &instance, link);
	if (feed->paused)
		rpc_stream_pause_input(link->stream);
}

static void cut_loose(struct feed *feed)
{
	if (feed->link == NULL)
		return;
	struct link *link = feed->link;
	link->feed = NULL;
	feed->link = NULL;
	rpc_stream_cancel(link->stream);
}

struct feed *feed_new(struct conn *conn, const struct feed_config *config, const struct feed_ops *ops, void *ctx)
{
	struct feed *feed = xcalloc(1, sizeof(*feed));
	feed->conn = conn;
	feed->config = *config;
	feed->instance_id = xstrdup(config->instance_id);
	feed->channel = xstrdup(config->channel != NULL ? config->channel : "");
	feed->ops = ops;
	feed->ctx = ctx;
	open_stream(feed);
	return feed;
}

void feed_free(struct feed *feed)
{
	if (feed == NULL)
		return;
	cut_loose(feed);
	free(feed->instance_id);
	free(feed->channel);
	free(feed);
}

bool feed_has_ended(const struct feed *feed)
{
	return feed->link == NULL;
}

bool feed_is_writer(const struct feed *feed)
{
	return feed->writer;
}

uint64_t feed_offset(const struct feed *feed)
{
	return feed->offset;
}

void feed_pause(struct feed *feed)
{
	if (feed->paused || feed->link == NULL)
		return;
	feed->paused = true;
	rpc_stream_pause_input(feed->link->stream);
}

void feed_resume(struct feed *feed)
{
	if (!feed->paused || feed->link == NULL)
		return;
	feed->paused = false;
	rpc_stream_resume_input(feed->link->stream);
}

bool feed_can_send(const struct feed *feed)
{
	return feed->link != NULL && rpc_stream_can_send(feed->link->stream);
}

void feed_send_part(struct feed *feed, const void *bytes, size_t len, bool more)
{
	if (feed->link == NULL)
		return;
	Pwemu__V1__AttachRequest request = PWEMU__V1__ATTACH_REQUEST__INIT;
	request.kind_case = PWEMU__V1__ATTACH_REQUEST__KIND_INPUT;
	request.input.data = (uint8_t *)(uintptr_t)bytes;
	request.input.len = len;
	request.more = more;
	rpc_stream_send(feed->link->stream, &request.base);
}

void feed_send(struct feed *feed, const void *bytes, size_t len)
{
	if (len > 0)
		feed_send_part(feed, bytes, len, false);
}

struct feed_config feed_continuation(const struct feed *feed)
{
	struct feed_config config = feed->config;
	config.instance_id = feed->instance_id;
	config.channel = feed->channel;
	config.steal = false;
	if (feed->placed) {
		config.from = (Pwemu__V1__Position)PWEMU__V1__POSITION__INIT;
		config.from.at_case = PWEMU__V1__POSITION__AT_OFFSET;
		config.from.offset = feed->offset;
	}
	return config;
}

void feed_steal(struct feed *feed)
{
	if (feed->link == NULL || !feed->config.attach)
		return;
	cut_loose(feed);
	feed->config.from = feed_continuation(feed).from;
	feed->config.write = feed->config.steal = true;
	open_stream(feed);
}
