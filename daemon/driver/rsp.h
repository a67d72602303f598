/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The framing of gdb's remote protocol: packets "$data#sum", notifications "%data#sum", '+', '-' and the interrupt 0x03. No I/O.
 *
 * Data on the wire may have bytes escaped with '}' and, in answers, runs shortened with '*'. The reader leaves it as it came, so that
 * it can be passed on unchanged; rsp_decode() gives its meaning.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rsp_item {
	RSP_NOTHING,      /* more bytes are needed */
	RSP_PACKET,       /* rsp_reader.data, .len */
	RSP_NOTIFICATION, /* likewise */
	RSP_ACK,          /* '+' */
	RSP_NACK,         /* '-' */
	RSP_INTERRUPT,    /* 0x03 */
	RSP_BROKEN,       /* a packet whose checksum is wrong: it is to be sent again */
	RSP_TOO_LONG,     /* a packet of more than RSP_DATA_MAX bytes: the connection is of no use any more */
};

#define RSP_DATA_MAX (256u << 10)

struct rsp_reader {
	char *data; /* of the item taken last, with a NUL behind it; the reader's, valid until the next take */
	size_t len;
	/* private */
	size_t size;
	uint8_t sum, sent_sum;
	int state;
	bool is_notification;
};

void rsp_reader_init(struct rsp_reader *reader);
void rsp_reader_fini(struct rsp_reader *reader);
/* Takes the next item from the beginning of `bytes`; returns how many of them are done with. Call it again with the rest until there is
 * none. Bytes between items are skipped. */
size_t rsp_reader_take(struct rsp_reader *reader, const void *bytes, size_t len, enum rsp_item *item);

/* Writes "$data#sum" for data that needs no escaping or has it already; `out` has room for len + RSP_FRAME_EXTRA. Returns its length. */
#define RSP_FRAME_EXTRA 4
size_t rsp_frame(char *out, const void *data, size_t len);
/* Escapes '#', '$', '}' and '*'; `out` has room for 2 * len. Returns its length. */
size_t rsp_escape(char *out, const void *data, size_t len);
/* Undoes escapes and, with `runs`, shortened runs. Returns the length of all of it, of which what `size` has room for was written. */
size_t rsp_decode(const char *data, size_t len, bool runs, char *out, size_t size);

/* Two lower-case hex digits for each byte; `out` has room for 2 * len + 1 and gets a NUL. Returns 2 * len. */
size_t rsp_to_hex(char *out, const void *bytes, size_t len);
/* The other way; false when it is not pairs of hex digits. `out` has room for len / 2. */
bool rsp_from_hex(const char *hex, size_t len, void *out);
