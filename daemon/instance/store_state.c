/* SPDX-License-Identifier: Apache-2.0 */
/*
 * <state>/data/<id>/record.state: what changes when a guest begins to run, is paused and goes on, beside a record that stays as it is. To
 * replace the record, as it is done for everything else, makes the file system begin to write it to the disk there and then, which takes
 * longer than all the rest of a pause; this file is written over in place. It belongs to the very record whose hash it names: to any other
 * it says nothing, and so does one that a power cut has damaged. Running and paused are all the same to the host's next boot.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "instance/priv.h"
#include "instance/store_state.h"
#include "wire/codec.h"
#include "wire/mem.h"

#define STATE_FILE       "record.state"
#define STATE_HEADER     "pwemu-state 1 "
#define STATE_HEADER_MAX 80
#define STATE_MAX        1024 /* a reason is the longest part */

static void state_copy(Pwemu__V1__Record *to, const Pwemu__V1__Record *from)
{
	to->state = from->state;
	to->reason = from->reason;
	to->state_since_ns = from->state_since_ns;
	to->started_ns = from->started_ns;
	to->began_ns = from->began_ns;
}

uint64_t store_hash_of_rest(const Pwemu__V1__Record *record)
{
	Pwemu__V1__Record rest = *record, none = PWEMU__V1__RECORD__INIT;
	state_copy(&rest, &none);
	rest.n_channel_rows = 0; /* put in below, without what the logs themselves know */
	size_t len = pwemu__v1__record__get_packed_size(&rest);
	uint8_t *bytes = xmalloc(len + 1);
	pwemu__v1__record__pack(&rest, bytes);
	uint64_t hash = hash_bytes(bytes, len);
	free(bytes);
	for (size_t i = 0; i < record->n_channel_rows; i++) {
		Pwemu__V1__RecordChannel row = *record->channel_rows[i];
		row.offset = row.first_offset = 0;
		len = pwemu__v1__record_channel__get_packed_size(&row);
		bytes = xmalloc(len + 1);
		pwemu__v1__record_channel__pack(&row, bytes);
		hash = (hash * 31) ^ hash_bytes(bytes, len);
		free(bytes);
	}
	return hash;
}

/* The only header that this content can have; returns its length. */
static size_t state_header(char out[STATE_HEADER_MAX], uint64_t record_hash, const uint8_t *body, size_t len)
{
	return (size_t)snprintf(out, STATE_HEADER_MAX, STATE_HEADER "%016" PRIx64 " %zu %016" PRIx64 "\n", record_hash, len,
				hash_bytes(body, len));
}

int store_state_put(int dir, uint64_t record_hash, const Pwemu__V1__Record *record)
{
	Pwemu__V1__Record part = PWEMU__V1__RECORD__INIT;
	uint8_t body[STATE_MAX], bytes[STATE_HEADER_MAX + STATE_MAX];
	state_copy(&part, record);
	size_t len = pwemu__v1__record__get_packed_size(&part);
	if (len > sizeof(body))
		return -1;
	pwemu__v1__record__pack(&part, body);
	size_t head = state_header((char *)bytes, record_hash, body, len);
	memcpy(bytes + head, body, len);
	int fd = openat(dir, STATE_FILE, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	ssize_t n = fd >= 0 ? pwrite(fd, bytes, head + len, 0) : -1;
	if (fd >= 0)
		close(fd);
	return n == (ssize_t)(head + len) ? 0 : -1;
}

static Pwemu__V1__Record *state_decode(uint64_t record_hash, const uint8_t *bytes, size_t size)
{
	char header[STATE_HEADER_MAX];
	const uint8_t *newline = memchr(bytes, '\n', size < STATE_HEADER_MAX ? size : STATE_HEADER_MAX);
	const char *second = newline != NULL ? memchr(bytes + strlen(STATE_HEADER), ' ', STATE_HEADER_MAX - strlen(STATE_HEADER)) : NULL;
	if (newline == NULL || second == NULL || second > (const char *)newline)
		return NULL;
	size_t head = (size_t)(newline + 1 - bytes), len = strtoul(second, NULL, 10);
	if (len > size - head || state_header(header, record_hash, newline + 1, len) != head || memcmp(header, bytes, head) != 0)
		return NULL;
	return (Pwemu__V1__Record *)msg_unpack(&pwemu__v1__record__descriptor, newline + 1, len);
}

void store_state_apply(const char *record_path, uint64_t record_hash, Pwemu__V1__Record *record)
{
	uint8_t bytes[STATE_HEADER_MAX + STATE_MAX + 1];
	char *path = xasprintf("%s.state", record_path);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd >= 0 ? read(fd, bytes, sizeof(bytes) - 1) : 0;
	if (fd >= 0)
		close(fd);
	free(path);
	bytes[n > 0 ? n : 0] = '\0';
	Pwemu__V1__Record *part = n > (ssize_t)strlen(STATE_HEADER) ? state_decode(record_hash, bytes, (size_t)n) : NULL;
	if (part == NULL)
		return;
	Pwemu__V1__Record old = *record;
	state_copy(record, part);
	state_copy(part, &old); /* is freed with it */
	pwemu__v1__record__free_unpacked(part, NULL);
}
