/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nghttp2's callbacks. They store, count and mark; none calls mem_send, mem_recv or the owner. Each kind of abuse that nghttp2 does
 * not bound itself is counted here.
 */
#include "wire/http2_int.h"

#include <string.h>

#include "wire/buf.h"

#define CONTINUATIONS_MAX  16
#define HEADERS_KILL_BYTES (64 << 10) /* an overlong list is answered; a bomb ends the connection */
#define OUTBOUND_ACKS_MAX  256
#define SMALL_WINDOW       16 /* bytes; honest clients open a window by more, save to give back what a small answer took */
#define UPDATES_PER_FRAME  4  /* … which stock gRPC does twice for each frame that it has got */
#define FRAME_TYPES        256

/* Functions that distributions added to older releases with security fixes; headers and library may differ, so it is the linker
 * that knows. */
void nghttp2_option_set_stream_reset_rate_limit(nghttp2_option *option, uint64_t burst, uint64_t rate) __attribute__((weak));
void nghttp2_option_set_max_continuations(nghttp2_option *option, size_t val) __attribute__((weak));

static struct h2_stream *frames_stream(nghttp2_session *ng, int32_t id)
{
	return nghttp2_session_get_stream_user_data(ng, id);
}

/* ---------------------------------------------------------------- receiving */

static void frames_count_control(struct h2_session *session)
{
	if (session->config.is_server && !h2_rate_take(&session->control_frames))
		h2_session_end(session, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* Frames that bring no call forward: of few a client has need, of many only an attacker. Unknown types are allowed and are no better. */
static bool frames_is_control(const nghttp2_frame_hd *hd)
{
	switch (hd->type) {
	case NGHTTP2_DATA:
		return hd->length == 0 && (hd->flags & NGHTTP2_FLAG_END_STREAM) == 0;
	case NGHTTP2_HEADERS:       /* bounded by streams, and by resets where they are not in order */
	case NGHTTP2_CONTINUATION:  /* bounded by itself */
	case NGHTTP2_WINDOW_UPDATE: /* depends on what is in it */
		return false;
	default:
		return true;
	}
}

static int frames_on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *arg)
{
	struct h2_session *session = arg;
	(void)ng;
	if (frames_is_control(hd))
		frames_count_control(session);
	if (hd->type == NGHTTP2_RST_STREAM && session->config.is_server && !h2_rate_take(&session->client_resets))
		h2_session_end(session, NGHTTP2_ENHANCE_YOUR_CALM);
	if (hd->type != NGHTTP2_CONTINUATION)
		session->continuations = 0;
	else if (++session->continuations > CONTINUATIONS_MAX)
		h2_session_end(session, NGHTTP2_ENHANCE_YOUR_CALM);
	return 0;
}

static int frames_on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_session *session = arg;
	struct h2_stream *stream = frames_stream(ng, frame->hd.stream_id);
	if (stream == NULL && session->config.is_server && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		if (session->is_ending)
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
		stream = session->config.ops->on_open(session);
		stream->id = frame->hd.stream_id;
		h2_stream_attach(session, stream);
		nghttp2_session_set_stream_user_data(ng, stream->id, stream);
	}
	session->in_headers = true;
	if (stream != NULL)
		stream->header_bytes = 0;
	return 0;
}

static int frames_on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_len, const uint8_t *value,
			    size_t value_len, uint8_t flags, void *arg)
{
	struct h2_session *session = arg;
	struct h2_stream *stream = frames_stream(ng, frame->hd.stream_id);
	(void)flags;
	if (stream == NULL || session->is_ending)
		return 0;
	stream->header_bytes += (uint32_t)(name_len + value_len + 32); /* each is below 64 KiB and the sum is checked here */
	if (stream->header_bytes > HEADERS_KILL_BYTES)
		h2_session_end(session, NGHTTP2_ENHANCE_YOUR_CALM);
	else if (stream->header_bytes > H2_MAX_HEADERS_BYTES)
		stream->headers_too_large = true;
	else
		session->config.ops->on_header(stream, (const char *)name, name_len, (const char *)value, value_len);
	return 0;
}

static int frames_on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *arg)
{
	struct h2_session *session = arg;
	struct h2_stream *stream = frames_stream(ng, id);
	(void)flags;
	nghttp2_session_consume_connection(ng, len);
	if (stream == NULL || stream->in_ignored || session->is_ending)
		return 0;
	msg_reader_feed(&stream->in, data, len);
	stream->not_given_back += (uint32_t)len;
	h2_stream_mark(stream);
	return 0;
}

static void frames_on_settings(struct h2_session *session, const nghttp2_frame *frame)
{
	if ((frame->hd.flags & NGHTTP2_FLAG_ACK) || session->is_settled)
		return;
	session->is_settled = true;
	if (session->config.ops->on_settled != NULL)
		session->config.ops->on_settled(session);
}

/* Gives back next to nothing: of a window that stays as good as closed, or more often than we have sent something. */
static bool frames_is_idle_update(struct h2_session *session, const nghttp2_frame *frame)
{
	int32_t id = frame->hd.stream_id;
	if (!session->config.is_server || frame->window_update.window_size_increment >= SMALL_WINDOW)
		return false;
	int32_t open = id == 0 ? nghttp2_session_get_remote_window_size(session->ng)
			       : nghttp2_session_get_stream_remote_window_size(session->ng, id);
	if ((open >= 0 && open < SMALL_WINDOW) || session->small_updates >= UPDATES_PER_FRAME * session->frames_sent)
		return true;
	session->small_updates++;
	return false;
}

static int frames_on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_session *session = arg;
	struct h2_stream *stream;
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA:
		session->in_headers = false;
		stream = frames_stream(ng, frame->hd.stream_id);
		if (frame->hd.type == NGHTTP2_DATA && frame->hd.length > 0 && frame->hd.length == frame->data.padlen)
			frames_count_control(session); /* nothing but padding */
		if (stream == NULL)
			break;
		if (frame->hd.type == NGHTTP2_HEADERS)
			stream->headers_done = true;
		if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
			stream->in_end = true;
		h2_stream_mark(stream);
		break;
	case NGHTTP2_SETTINGS:
		frames_on_settings(session, frame);
		break;
	case NGHTTP2_WINDOW_UPDATE:
		if (frames_is_idle_update(session, frame))
			frames_count_control(session);
		break;
	default:
		break;
	}
	return 0;
}

static int frames_on_close(nghttp2_session *ng, int32_t id, uint32_t error_code, void *arg)
{
	struct h2_stream *stream = frames_stream(ng, id);
	(void)arg;
	if (stream == NULL)
		return 0;
	if (!stream->headers_done)
		stream->session->in_headers = false;
	stream->closed = true;
	stream->error_code = error_code;
	h2_stream_mark(stream);
	return 0;
}

/* Types that we do not know are nothing to us, but they are to be counted, and only those that are asked for come to frames_on_begin_frame.
 */
static int frames_unpack_unknown(nghttp2_session *ng, void **payload, const nghttp2_frame_hd *hd, void *arg)
{
	(void)ng;
	(void)payload;
	(void)hd;
	(void)arg;
	return NGHTTP2_ERR_CANCEL;
}

/* ---------------------------------------------------------------- sending */

static int frames_on_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_session *session = arg;
	if (!session->config.is_server)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA)
		session->frames_sent++;
	if (frame->hd.type == NGHTTP2_RST_STREAM) {
		/* what a client provoked by breaking rules; not our own cancelling of calls that are over */
		uint32_t code = frame->rst_stream.error_code;
		if (code != NGHTTP2_NO_ERROR && code != NGHTTP2_CANCEL && !h2_rate_take(&session->resets))
			h2_session_end(session, NGHTTP2_ENHANCE_YOUR_CALM);
	} else if (frame->hd.type == NGHTTP2_HEADERS && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
		/* The answer is complete, whatever the client still wanted to say. */
		struct h2_stream *stream = frames_stream(ng, frame->hd.stream_id);
		if (stream != NULL && !stream->in_end)
			nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR);
	}
	return 0;
}

/* A request that could not leave (the server said GOAWAY) has no stream for nghttp2, so nothing else would close ours. */
static int frames_on_not_sent(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *arg)
{
	struct h2_session *session = arg;
	struct h2_stream *stream;
	(void)ng;
	(void)error;
	if (frame->hd.type != NGHTTP2_HEADERS || session->config.is_server)
		return 0;
	TAILQ_FOREACH (stream, &session->streams, link) {
		if (stream->id != frame->hd.stream_id)
			continue;
		stream->closed = true;
		stream->error_code = NGHTTP2_REFUSED_STREAM;
		h2_stream_mark(stream);
		break;
	}
	return 0;
}

/* nghttp2 makes a buffer of this size even though we send without copying, so no more than there is to send. */
static ssize_t frames_read_length(nghttp2_session *ng, uint8_t type, int32_t id, int32_t session_window, int32_t stream_window,
				  uint32_t max_frame, void *arg)
{
	struct h2_stream *stream = frames_stream(ng, id);
	size_t len = stream != NULL ? h2_stream_queued(stream) : 0;
	(void)type;
	(void)session_window;
	(void)stream_window;
	(void)arg;
	if (len > H2_MAX_FRAME_BYTES)
		len = H2_MAX_FRAME_BYTES;
	if (len > max_frame)
		len = max_frame;
	return len > 0 ? (ssize_t)len : 1;
}

static int frames_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t len, nghttp2_data_source *source,
			    void *arg)
{
	struct h2_session *session = arg;
	struct h2_stream *stream = source->ptr;
	(void)ng;
	(void)frame;
	if (io_queued(&session->io) >= IO_HIGH_BYTES)
		return NGHTTP2_ERR_WOULDBLOCK;
	if (h2_stream_queued(stream) < len)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	buf_require(evbuffer_add(session->io.out, head, 9) == 0);
	if (len == 0)
		return 0;
	buf_require(evbuffer_remove_buffer(stream->out, session->io.out, len) == (int)len);
	session->data_moved += len;
	h2_stream_account(stream, len);
	if (stream->wants_writable && h2_stream_can_send(stream))
		h2_stream_mark(stream);
	return 0;
}

/* ---------------------------------------------------------------- set-up */

static nghttp2_option *frames_options(void)
{
	nghttp2_option *option;
	buf_require(nghttp2_option_new(&option) == 0);
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_no_closed_streams(option, 1);
	nghttp2_option_set_max_outbound_ack(option, OUTBOUND_ACKS_MAX);
	nghttp2_option_set_max_settings(option, 16);
	for (unsigned type = NGHTTP2_CONTINUATION + 1; type < FRAME_TYPES; type++)
		nghttp2_option_set_user_recv_extension_type(option, (uint8_t)type);
	if (nghttp2_option_set_stream_reset_rate_limit != NULL)
		nghttp2_option_set_stream_reset_rate_limit(option, 1000, 100);
	if (nghttp2_option_set_max_continuations != NULL)
		nghttp2_option_set_max_continuations(option, CONTINUATIONS_MAX);
	return option;
}

nghttp2_session *h2_frames_new(struct h2_session *session)
{
	nghttp2_session_callbacks *cb;
	nghttp2_session *ng = NULL;
	nghttp2_option *option = frames_options();
	buf_require(nghttp2_session_callbacks_new(&cb) == 0);
	nghttp2_session_callbacks_set_on_begin_frame_callback(cb, frames_on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, frames_on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, frames_on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, frames_on_data);
	nghttp2_session_callbacks_set_unpack_extension_callback(cb, frames_unpack_unknown);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, frames_on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, frames_on_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, frames_on_sent);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, frames_on_not_sent);
	nghttp2_session_callbacks_set_data_source_read_length_callback(cb, frames_read_length);
	nghttp2_session_callbacks_set_send_data_callback(cb, frames_send_data);
	int rv = session->config.is_server ? nghttp2_session_server_new2(&ng, cb, session, option)
					   : nghttp2_session_client_new2(&ng, cb, session, option);
	buf_require(rv == 0);
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(option);
	return ng;
}
