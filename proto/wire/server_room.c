/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room for one more connection where there is none: of those that wait for nothing the one that is worth least goes, of the user who has
 * most of them, the one that was used longest ago. So thousands of idle or half-made connections, of whomever, keep nobody out. Where all
 * are in use, a user who has many gives way to one who has few.
 */
#include "wire/server_int.h"

#define ROOM_USERS    64 /* who come first in the list are counted apart; others never have "most" */
#define ROOM_FRESH_MS 1000
#define ROOM_SHARE    4 /* one in use goes for somebody who has less than this part of it */

/* From the first to go to the last. */
enum room_worth {
	ROOM_REFUSED, /* not admitted; it was to be told why */
	ROOM_IDLE,    /* no call, or none whose headers are complete; perhaps not even the first words */
	ROOM_FRESH,   /* the same, but it came or was used just now: it may be about to say something */
	ROOM_IN_USE,  /* calls, or something that lives as long as the connection */
	ROOM_WORTH_COUNT
};

struct room_user {
	uid_t uid;
	size_t count;
};

struct room {
	struct room_user users[ROOM_USERS];
	size_t user_count;
};

static size_t room_of(const struct room *room, uid_t uid)
{
	for (size_t i = 0; i < room->user_count; i++)
		if (room->users[i].uid == uid)
			return room->users[i].count;
	return 0;
}

static void room_count(struct room *room, uid_t uid)
{
	for (size_t i = 0; i < room->user_count; i++) {
		if (room->users[i].uid == uid) {
			room->users[i].count++;
			return;
		}
	}
	if (room->user_count < ROOM_USERS)
		room->users[room->user_count++] = (struct room_user){ uid, 1 };
}

static enum room_worth room_worth(const struct rpc_conn *conn)
{
	const struct rpc_server_config *config = &conn->server->config;
	const struct h2_stream *stream;
	if (conn->refused != NULL)
		return ROOM_REFUSED;
	TAILQ_FOREACH (stream, &conn->h2.streams, link)
		if (stream->headers_done)
			return ROOM_IN_USE;
	if (config->is_needed != NULL && config->is_needed(config->ctx, &conn->peer))
		return ROOM_IN_USE;
	return h2_now_ms() - conn->used_ms < ROOM_FRESH_MS ? ROOM_FRESH : ROOM_IDLE;
}

/* The first to go of all but `newcomer`; the list is in the order of their last use. */
static struct rpc_conn *room_find(struct rpc_server *server, const struct rpc_conn *newcomer, const struct room *room,
				  enum room_worth *worth)
{
	struct rpc_conn *conn, *found = NULL;
	size_t most = 0;
	TAILQ_FOREACH (conn, &server->conns, link) {
		enum room_worth own = conn != newcomer ? room_worth(conn) : ROOM_WORTH_COUNT;
		size_t count = room_of(room, conn->peer.uid);
		if (own == ROOM_WORTH_COUNT || (found != NULL && (own > *worth || (own == *worth && count <= most))))
			continue;
		found = conn;
		*worth = own;
		most = count;
	}
	return found;
}

/* One without a call comes again when it has something to say. */
static void room_end(struct rpc_conn *conn, enum room_worth worth)
{
	if (worth < ROOM_IN_USE && TAILQ_EMPTY(&conn->h2.streams))
		h2_session_go_away(&conn->h2);
	h2_session_end_now(&conn->h2, worth == ROOM_IDLE || worth == ROOM_FRESH ? NGHTTP2_NO_ERROR : NGHTTP2_ENHANCE_YOUR_CALM);
}

bool server_make_room(struct rpc_server *server, struct rpc_conn *newcomer)
{
	struct room room = { .user_count = 0 };
	enum room_worth worth = ROOM_WORTH_COUNT;
	struct rpc_conn *conn;
	TAILQ_FOREACH (conn, &server->conns, link)
		room_count(&room, conn->peer.uid);
	conn = newcomer == NULL || newcomer->refused == NULL ? room_find(server, newcomer, &room, &worth) : newcomer;
	if (conn != NULL && worth == ROOM_IN_USE) {
		bool gives_way = newcomer != NULL && room_of(&room, newcomer->peer.uid) < room_of(&room, conn->peer.uid) / ROOM_SHARE;
		conn = gives_way ? conn : newcomer;
	}
	if (conn == NULL || (newcomer == NULL && worth >= ROOM_FRESH))
		return false;
	room_end(conn, conn != newcomer ? worth : ROOM_REFUSED);
	return true;
}
