/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images that clients elsewhere have sent: <state>/images/<uid>/<SHA-256>. A file is there whole or not at all. It stays as long as a
 * record names it; of the others the oldest go when a user's new one needs the room.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/err.h"

struct registry;
struct settings;
struct upload;
struct uploads;

struct uploads_config {
	const char *state_dir;
	const struct settings *settings;
	const struct registry *registry; /* whose instances use images; all three outlive the store */
};

#define UPLOADS_AT_ONCE 16 /* of one user */

/* Removes what unfinished uploads of an earlier daemon have left. */
struct uploads *uploads_new(const struct uploads_config *config);
void uploads_free(struct uploads *uploads); /* after its uploads; takes NULL */

/* Path of an image, whether it is there or not, to be freed. The digest must be one (sha256_is_hex). */
char *uploads_path(const char *state_dir, uid_t uid, const char *digest);
/* Whether it is there, with that size; counts as a use. */
bool uploads_has(struct uploads *uploads, uid_t uid, const char *digest, uint64_t size);
/* RESOURCE_EXHAUSTED (upload-limit) for an image that will never be taken. */
int uploads_check(const struct uploads *uploads, uint64_t size, struct err *err) __attribute__((warn_unused_result));

/* Makes room for an image and its file. RESOURCE_EXHAUSTED (upload-limit, upload-store, disk-full) says which limit. */
struct upload *upload_new(struct uploads *uploads, uid_t uid, const char *digest, uint64_t size, struct err *err);
int upload_add(struct upload *upload, const void *bytes, size_t len, struct err *err) __attribute__((warn_unused_result));
uint64_t upload_received(const struct upload *upload);
/* All of it has come: it is checked and is there from now on. INVALID_ARGUMENT (upload-mismatch) when it is not what was announced. */
int upload_finish(struct upload *upload, struct err *err) __attribute__((warn_unused_result));
void upload_free(struct upload *upload); /* one that was not finished leaves nothing; takes NULL */
