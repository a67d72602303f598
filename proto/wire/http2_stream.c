/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: two queues of framed messages with flow control on both. */
#include "wire/http2_int.h"

#include "wire/buf.h"

/* A paused reader may make us hold this much in its stream; see rpc_server_config.stall_timeout_ms. */
#define MARK_BYTES (2 * (size_t)H2_SEND_HIGH_BYTES)

void h2_stream_attach(struct h2_session *session, struct h2_stream *stream)
{
	stream->session = session;
	TAILQ_INSERT_TAIL(&session->streams, stream, link);
}

void h2_stream_mark(struct h2_stream *stream)
{
	struct h2_session *session = stream->session;
	if (stream->is_ready)
		return;
	stream->is_ready = true;
	TAILQ_INSERT_TAIL(&session->ready, stream, ready_link);
	h2_session_schedule(session);
}

void h2_stream_free(struct h2_stream *stream)
{
	struct h2_session *session = stream->session;
	if (stream->is_ready)
		TAILQ_REMOVE(&session->ready, stream, ready_link);
	TAILQ_REMOVE(&session->streams, stream, link);
	if (stream->out != NULL) {
		h2_stream_account(stream, h2_stream_queued(stream));
		if (stream->is_over_mark)
			session->over_mark--;
		evbuffer_free(stream->out);
	}
	msg_reader_fini(&stream->in);
	session->config.ops->on_free(stream);
	if (TAILQ_EMPTY(&session->streams) && !session->is_dead && session->config.ops->on_idle != NULL)
		session->config.ops->on_idle(session);
}

void h2_stream_done(struct h2_stream *stream)
{
	stream->done = true;
	stream->in_ignored = true;
	msg_reader_fini(&stream->in);
	if (stream->closed)
		h2_stream_mark(stream); /* the turn frees it */
}

/* ---------------------------------------------------------------- output */

size_t h2_stream_queued(const struct h2_stream *stream)
{
	return stream->out != NULL ? evbuffer_get_length(stream->out) : 0;
}

static void stream_check_mark(struct h2_stream *stream)
{
	bool is_over = h2_stream_queued(stream) > MARK_BYTES;
	if (is_over == stream->is_over_mark)
		return;
	stream->is_over_mark = is_over;
	stream->session->over_mark += is_over ? 1 : (size_t)-1;
}

void h2_stream_account(struct h2_stream *stream, size_t removed)
{
	stream->session->stream_bytes -= removed;
	stream_check_mark(stream);
}

/* Many slow streams share the connection's limit: when a quarter is taken, each may have one message waiting and no more. */
bool h2_stream_can_send(const struct h2_stream *stream)
{
	const struct h2_session *session = stream->session;
	size_t limit = session->config.max_queued_bytes;
	size_t queued = h2_stream_queued(stream);
	if (limit > 0 && session->stream_bytes > limit / 4)
		return queued == 0;
	return queued <= H2_SEND_HIGH_BYTES;
}

static void stream_kick(struct h2_stream *stream)
{
	if (stream->deferred && !stream->closed && stream->session->ng != NULL) {
		stream->deferred = false;
		nghttp2_session_resume_data(stream->session->ng, stream->id);
	}
	h2_session_schedule(stream->session);
}

static ssize_t stream_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t len, uint32_t *flags, nghttp2_data_source *source,
			   void *arg)
{
	struct h2_session *session = arg;
	struct h2_stream *stream = source->ptr;
	size_t queued = h2_stream_queued(stream);
	(void)ng;
	(void)id;
	(void)buf;
	if (queued == 0 && !stream->out_end) {
		stream->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (queued > len || !stream->out_end)
		return (ssize_t)(queued < len ? queued : len);
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (session->config.is_server) {
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		session->config.ops->on_output_end(stream);
	}
	return (ssize_t)queued;
}

const nghttp2_data_source_read_callback h2_stream_read = stream_read;

int h2_stream_request(struct h2_session *session, struct h2_stream *stream, const nghttp2_nv *headers, size_t count)
{
	nghttp2_data_provider data = { .source.ptr = stream, .read_callback = stream_read };
	if (session->ng == NULL || session->is_ending)
		return -1;
	int32_t id = nghttp2_submit_request(session->ng, NULL, headers, count, &data, stream);
	if (id < 0)
		return -1;
	stream->id = id;
	h2_stream_attach(session, stream);
	h2_session_schedule(session);
	return 0;
}

void h2_stream_respond(struct h2_stream *stream, const nghttp2_nv *headers, size_t count, bool has_data)
{
	nghttp2_data_provider data = { .source.ptr = stream, .read_callback = stream_read };
	if (stream->closed || stream->session->ng == NULL)
		return;
	nghttp2_submit_response(stream->session->ng, stream->id, headers, count, has_data ? &data : NULL);
	h2_session_schedule(stream->session);
}

void h2_stream_trailers(struct h2_stream *stream, const nghttp2_nv *trailers, size_t count)
{
	nghttp2_submit_trailer(stream->session->ng, stream->id, trailers, count);
}

void h2_stream_send(struct h2_stream *stream, const ProtobufCMessage *message)
{
	struct h2_session *session = stream->session;
	if (stream->closed || stream->out_end || session->is_ending || session->is_dead)
		return;
	if (stream->out == NULL)
		stream->out = buf_new();
	size_t before = h2_stream_queued(stream);
	msg_pack(stream->out, message);
	session->stream_bytes += h2_stream_queued(stream) - before;
	stream_check_mark(stream);
	size_t limit = session->config.max_queued_bytes;
	if (limit > 0 && session->stream_bytes + io_queued(&session->io) > limit)
		h2_session_end(session, NGHTTP2_ENHANCE_YOUR_CALM);
	stream_kick(stream);
}

void h2_stream_end_output(struct h2_stream *stream)
{
	stream->out_end = true;
	stream_kick(stream);
}

/* Once: for a request still in nghttp2's queue the first reset drops it, a second would be sent, for a stream the peer has not seen. */
void h2_stream_reset(struct h2_stream *stream, uint32_t error_code)
{
	if (stream->closed || stream->is_reset || stream->session->ng == NULL)
		return;
	stream->is_reset = true;
	nghttp2_submit_rst_stream(stream->session->ng, NGHTTP2_FLAG_NONE, stream->id, error_code);
	h2_session_schedule(stream->session);
}

/* ---------------------------------------------------------------- input */

void h2_stream_give_back(struct h2_stream *stream)
{
	struct h2_session *session = stream->session;
	msg_reader_trim(&stream->in);
	if (stream->not_given_back == 0)
		return;
	if (!stream->closed && !stream->in_end && session->ng != NULL) {
		nghttp2_session_consume_stream(session->ng, stream->id, stream->not_given_back);
		h2_session_schedule(session);
	}
	stream->not_given_back = 0;
}
