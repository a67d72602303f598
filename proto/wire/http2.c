/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session: input goes through nghttp2 into the streams, then one turn hands out what is ready and flushes once. Turns asked for
 * from elsewhere are timers of zero length rather than activated events: libevent would run activated events before it polls again,
 * and one busy connection could starve all others.
 */
#include "wire/http2_int.h"

#include <string.h>
#include <time.h>

#include "wire/buf.h"

#define READY_PER_TURN 256
#define FLUSH_ROUNDS   4    /* each up to IO_HIGH_BYTES; then the others have their turn */
#define CONTROL_BURST  2000 /* frames of a client that bring no call forward: SETTINGS, PING, PRIORITY, empty ones */
#define CONTROL_RATE   200
#define CANCEL_BURST   900 /* RST_STREAM from a client. Below nghttp2's own limit, which would call it an internal error */
#define CANCEL_RATE    90
#define RESET_BURST    1000 /* streams a client made us reset; 400 calls at once are above the stream limit for a moment */
#define RESET_RATE     100
#define LINGER_MS      1000 /* how long a client that was served to the end may take to close */

uint64_t h2_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool h2_rate_take(struct h2_rate *rate)
{
	uint64_t now = h2_now_ms();
	uint64_t gained = (now - rate->last_ms) * rate->per_second / 1000;
	if (gained > 0) {
		rate->left = gained >= rate->burst - rate->left ? rate->burst : rate->left + (uint32_t)gained;
		rate->last_ms = now;
	}
	if (rate->left == 0)
		return false;
	rate->left--;
	return true;
}

/* ---------------------------------------------------------------- the end */

/* One round: frames up to the high-water mark. Whether it stopped there, with more to come. */
static bool session_produce(struct h2_session *session)
{
	while (io_queued(&session->io) < IO_HIGH_BYTES) {
		const uint8_t *data;
		ssize_t n = nghttp2_session_mem_send(session->ng, &data);
		if (n < 0)
			session->is_ending = true;
		if (n <= 0)
			break;
		buf_require(evbuffer_add(session->io.out, data, (size_t)n) == 0);
	}
	return io_queued(&session->io) >= IO_HIGH_BYTES;
}

void h2_session_end(struct h2_session *session, uint32_t error_code)
{
	if (session->is_ending || session->is_dead)
		return;
	session->is_ending = true;
	if (error_code != NGHTTP2_NO_ERROR)
		nghttp2_session_terminate_session(session->ng, error_code);
	h2_session_schedule(session);
}

static void session_last_words(struct h2_session *session)
{
	if (session->io.is_blocked || session->io.is_write_broken)
		return;
	if (!session->is_lingering)
		session_produce(session);
	io_write(&session->io);
}

static void session_close(struct h2_session *session)
{
	session->is_dead = true;
	session->is_ending = false;
	event_del(&session->turn);
	session->is_scheduled = false;
	event_del(&session->stall);
	event_del(&session->alive);
	nghttp2_session_del(session->ng);
	session->ng = NULL;
	io_fini(&session->io);
}

static void session_run_ready(struct h2_session *session, unsigned budget)
{
	struct h2_stream *stream;
	while ((stream = TAILQ_FIRST(&session->ready)) != NULL && budget-- > 0) {
		TAILQ_REMOVE(&session->ready, stream, ready_link);
		stream->is_ready = false;
		if (!stream->done)
			session->config.ops->on_ready(stream);
		if (stream->done && stream->closed)
			h2_stream_free(stream);
	}
}

static void session_bury(struct h2_session *session)
{
	struct h2_stream *stream;
	session_last_words(session);
	session_close(session);
	session->busy++;
	TAILQ_FOREACH (stream, &session->streams, link) {
		if (!stream->closed)
			stream->error_code = H2_LOST;
		stream->closed = true;
		h2_stream_mark(stream);
	}
	session_run_ready(session, UINT32_MAX);
	session->busy--;
	if (TAILQ_EMPTY(&session->streams))
		session->config.ops->on_dead(session);
}

/* What had arrived whole before the connection went may still wait in paused streams. */
static void session_turn_dead(struct h2_session *session)
{
	bool had_streams = !TAILQ_EMPTY(&session->streams);
	session->busy++;
	session_run_ready(session, UINT32_MAX);
	session->busy--;
	if (had_streams && TAILQ_EMPTY(&session->streams))
		session->config.ops->on_dead(session);
}

void h2_session_end_now(struct h2_session *session, uint32_t error_code)
{
	if (session->is_dead)
		return;
	h2_session_end(session, error_code);
	session_bury(session);
}

/* ---------------------------------------------------------------- turn */

void h2_session_schedule(struct h2_session *session)
{
	static const struct timeval now = { 0, 0 };
	if (session->busy > 0 || session->is_scheduled)
		return;
	session->is_scheduled = true;
	evtimer_add(&session->turn, &now);
}

static void session_delay(struct event *event, uint32_t ms)
{
	struct timeval delay = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };
	evtimer_add(event, &delay);
}

static void session_watch_stall(struct h2_session *session)
{
	bool is_waiting = session->io.is_blocked || session->over_mark > 0;
	uint32_t ms = session->config.stall_timeout_ms;
	if (ms == 0 || is_waiting == session->is_stall_armed)
		return;
	session->is_stall_armed = is_waiting;
	if (!is_waiting) {
		event_del(&session->stall);
		return;
	}
	session->stall_written = io_written(&session->io);
	session->stall_moved = session->data_moved;
	session_delay(&session->stall, ms);
}

static void session_on_stall(evutil_socket_t fd, short what, void *arg)
{
	struct h2_session *session = arg;
	(void)fd;
	(void)what;
	session->is_stall_armed = false;
	bool is_socket_stuck = session->io.is_blocked && io_written(&session->io) == session->stall_written;
	bool is_stream_stuck = session->over_mark > 0 && session->data_moved == session->stall_moved;
	if (session->is_lingering)
		h2_session_end_now(session, NGHTTP2_NO_ERROR);
	else if (is_socket_stuck || is_stream_stuck)
		h2_session_end_now(session, NGHTTP2_ENHANCE_YOUR_CALM);
	else
		session_watch_stall(session);
}

/*
 * All is said. Nothing is owed to a client that broke the rules. But a server that closed now would make the client's next write fail (a
 * window update, say), and clients give up the answers they have not read when that happens; so it only says that it is done and lets the
 * client close.
 */
static void session_finish(struct h2_session *session)
{
	if (!session->is_going_away || session->io.is_write_broken) {
		session->is_ending = true;
		return;
	}
	session->is_lingering = true;
	io_end_output(&session->io);
	session_delay(&session->stall, LINGER_MS);
}

/* Blocked output goes on with on_drained. But when what was blocked leaves here, that event does not come any more: what the mark held
 * back has to follow, here or in the next turn. */
static void session_flush(struct h2_session *session)
{
	bool is_held_back = true;
	for (int round = 0; is_held_back && round < FLUSH_ROUNDS && !session->is_ending; round++) {
		is_held_back = session_produce(session);
		io_write(&session->io);
		if (session->io.is_blocked)
			is_held_back = false;
	}
	session->has_more = is_held_back;
	if (!nghttp2_session_want_read(session->ng) && !nghttp2_session_want_write(session->ng) && io_queued(&session->io) == 0)
		session_finish(session);
	else
		session_watch_stall(session);
}

void h2_session_turn(struct h2_session *session)
{
	if (session->busy > 0)
		return;
	if (session->is_scheduled) {
		session->is_scheduled = false;
		event_del(&session->turn);
	}
	if (session->is_dead) {
		session_turn_dead(session);
		return;
	}
	session->busy++;
	if (!session->is_ending)
		session_run_ready(session, READY_PER_TURN);
	if (!session->is_ending && !session->is_lingering)
		session_flush(session);
	session->busy--;
	if (session->is_ending)
		session_bury(session);
	else if (session->has_more || !TAILQ_EMPTY(&session->ready))
		h2_session_schedule(session);
}

static void session_on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct h2_session *session = arg;
	(void)fd;
	(void)what;
	session->is_scheduled = false;
	h2_session_turn(session);
}

/* ---------------------------------------------------------------- input */

/* Messages that wait because their stream is paused, or are not yet whole, count like queued output. */
static void session_check_input(struct h2_session *session)
{
	size_t limit = session->config.max_queued_bytes;
	size_t sum = session->stream_bytes;
	struct h2_stream *stream;
	if (limit == 0)
		return;
	TAILQ_FOREACH (stream, &session->streams, link)
		sum += msg_reader_bytes(&stream->in);
	if (sum > limit + IO_READ_BYTES)
		h2_session_end(session, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void session_receive(struct h2_session *session, const uint8_t *data, size_t len)
{
	ssize_t n = nghttp2_session_mem_recv(session->ng, data, len);
	if (n == NGHTTP2_ERR_FLOODED) /* more answers wait than OUTBOUND_ACKS_MAX */
		h2_session_end(session, NGHTTP2_ENHANCE_YOUR_CALM);
	else if (n < 0)
		session->is_ending = true;
}

static void session_on_input(void *ctx, const uint8_t *data, size_t len)
{
	struct h2_session *session = ctx;
	session->heard++;
	session->busy++; /* no turn is scheduled: it follows */
	if (!session->is_ending && !session->is_lingering)
		session_receive(session, data, len);
	session_check_input(session);
	session->busy--;
	h2_session_turn(session);
}

static void session_on_drained(void *ctx)
{
	h2_session_turn(ctx);
}

static void session_on_lost(void *ctx, int sys)
{
	struct h2_session *session = ctx;
	(void)sys;
	session->io.is_write_broken = true;
	h2_session_end_now(session, NGHTTP2_NO_ERROR);
}

static const struct io_ops session_io_ops = {
	.on_input = session_on_input,
	.on_drained = session_on_drained,
	.on_lost = session_on_lost,
};

/* ---------------------------------------------------------------- whether the peer is there */

static void session_on_alive(evutil_socket_t fd, short what, void *arg)
{
	struct h2_session *session = arg;
	(void)fd;
	(void)what;
	bool is_silent = session->heard == session->alive_heard;
	if (is_silent && session->is_asked) {
		session->io.is_write_broken = true; /* no last words to nobody */
		h2_session_end_now(session, NGHTTP2_NO_ERROR);
		return;
	}
	session->alive_heard = session->heard;
	session->is_asked = is_silent;
	session_delay(&session->alive, is_silent ? session->alive_answer_ms : session->alive_ask_ms);
	if (is_silent && nghttp2_submit_ping(session->ng, NGHTTP2_FLAG_NONE, NULL) == 0)
		h2_session_schedule(session);
}

void h2_session_keep_alive(struct h2_session *session, uint32_t ask_ms, uint32_t answer_ms)
{
	session->alive_ask_ms = ask_ms;
	session->alive_answer_ms = answer_ms;
	session->alive_heard = session->heard;
	session->is_asked = false;
	if (!session->is_dead)
		session_delay(&session->alive, ask_ms);
}

/* ---------------------------------------------------------------- life */

static void session_submit_settings(struct h2_session *session)
{
	nghttp2_settings_entry server[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_MAX_STREAMS },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_SERVER_STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_FRAME_SIZE, H2_MAX_FRAME_BYTES },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_MAX_HEADERS_BYTES },
	};
	nghttp2_settings_entry client[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_CLIENT_STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_FRAME_SIZE, H2_MAX_FRAME_BYTES },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_MAX_HEADERS_BYTES },
	};
	_Static_assert(sizeof(server) == sizeof(client), "one count for both");
	nghttp2_submit_settings(session->ng, NGHTTP2_FLAG_NONE, session->config.is_server ? server : client,
				sizeof(server) / sizeof(server[0]));
	nghttp2_session_set_local_window_size(session->ng, NGHTTP2_FLAG_NONE, 0, H2_CONNECTION_WINDOW);
}

void h2_session_init(struct h2_session *session, struct event_base *base, int fd, const struct h2_config *config)
{
	*session = (struct h2_session){ .base = base, .config = *config };
	TAILQ_INIT(&session->streams);
	TAILQ_INIT(&session->ready);
	uint64_t now = h2_now_ms();
	session->control_frames = (struct h2_rate){ CONTROL_BURST, CONTROL_BURST, CONTROL_RATE, now };
	session->client_resets = (struct h2_rate){ CANCEL_BURST, CANCEL_BURST, CANCEL_RATE, now };
	session->resets = (struct h2_rate){ RESET_BURST, RESET_BURST, RESET_RATE, now };
	evtimer_assign(&session->turn, base, session_on_turn, session);
	evtimer_assign(&session->stall, base, session_on_stall, session);
	evtimer_assign(&session->alive, base, session_on_alive, session);
	session->ng = h2_frames_new(session);
	session_submit_settings(session);
	if (config->tls != NULL)
		io_init_tls(&session->io, config->tls, config->is_server, &session_io_ops, session);
	else
		io_init(&session->io, base, fd, config->is_server, &session_io_ops, session);
	session->config.tls = NULL;
	h2_session_schedule(session);
}

void h2_session_fini(struct h2_session *session)
{
	struct h2_stream *stream;
	if (session->base == NULL)
		return;
	if (!session->is_dead) {
		session_last_words(session);
		session_close(session);
	}
	session->busy++; /* nothing is scheduled any more */
	event_del(&session->turn);
	while ((stream = TAILQ_FIRST(&session->streams)) != NULL)
		h2_stream_free(stream);
}

void h2_session_go_away(struct h2_session *session)
{
	if (session->is_dead || session->is_ending || session->is_lingering)
		return;
	session->is_going_away = session->config.is_server;
	nghttp2_submit_goaway(session->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session->ng), NGHTTP2_NO_ERROR, NULL,
			      0);
	h2_session_schedule(session);
}
