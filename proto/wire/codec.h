/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC's framing of messages (flag, length, bytes) and the texts in its headers: timeouts, percent-encoded messages. */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct evbuffer;

#define MSG_HEADER_BYTES 5

enum msg_result {
	MSG_NONE,       /* no whole message is there */
	MSG_READY,      /* one was taken */
	MSG_TOO_LARGE,  /* its header announces more than the limit; known before the bytes arrive */
	MSG_COMPRESSED, /* we announce no compression, so nobody may use it */
	MSG_MALFORMED,  /* the flag byte is neither 0 nor 1 */
	MSG_RESULT_COUNT
};

/* Collects bytes until messages are whole. A zeroed one with a limit is ready; idle it owns no memory. */
struct msg_reader {
	uint8_t *data;
	size_t start, end, cap;
	uint32_t limit_bytes;
};

void msg_reader_fini(struct msg_reader *reader); /* leaves it empty and usable */
void msg_reader_feed(struct msg_reader *reader, const uint8_t *data, size_t len);
/* Takes the next message; *data points into the reader until it is fed, read or trimmed again. An error stays. */
enum msg_result msg_reader_next(struct msg_reader *reader, const uint8_t **data, size_t *len);
size_t msg_reader_bytes(const struct msg_reader *reader);
/* Gives memory back when nothing is stored. */
void msg_reader_trim(struct msg_reader *reader);

/*
 * Decodes what others have written; NULL when it is no such message. Fields that we do not know are dropped: some of those that
 * protobuf-c keeps it could not read again once it has written them, and such a message could not be copied. To be freed with
 * protobuf_c_message_free_unpacked.
 */
ProtobufCMessage *msg_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len);

/* Appends the framed message. */
void msg_pack(struct evbuffer *out, const ProtobufCMessage *message);

/* The header grpc-timeout: "100m" is 100 ms. Rounded up to milliseconds. */
int timeout_parse(const char *text, size_t len, uint64_t *timeout_ms) __attribute__((warn_unused_result));
#define TIMEOUT_TEXT_MAX 16
void timeout_format(uint32_t timeout_ms, char text[static TIMEOUT_TEXT_MAX]);

/* The trailer grpc-message. The encoded text is the caller's to free; decoding never fails and never overflows. */
char *percent_encode(const char *text);
void percent_decode(const char *text, size_t len, char *out, size_t out_size);
