/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must be looked at in the user's files before a start: the emulator's program in the user's PATH, the images, the working
 * directory. A helper process does it, with a deadline, so that no slow file system ever stops the daemon.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/user.h"
#include "driver/driver.h"
#include "wire/err.h"

#define PREPARE_PATH_MAX   4096
#define PREPARE_IMAGES_MAX 16
#define PREPARE_CALLS_MAX  64

struct event_base;
struct prepare;

/* What the helper found. Travels through a pipe as it is. */
struct prepare_result {
	struct err err; /* ERR_OK: all is well */
	char user[64];  /* name of the user it ran as; "": not asked for, or he has none */
	char program[PREPARE_PATH_MAX];
	bool has_no_sandbox; /* it is a QEMU that was built without seccomp */
	uint32_t image_count;
	struct {
		uint32_t kind; /* of struct driver_image */
		uint64_t address, entry;
	} images[PREPARE_IMAGES_MAX];
	uint32_t call_count;
	uint32_t calls[PREPARE_CALLS_MAX]; /* addresses of `bkpt 0xab` */
};

/* Needed until prepare_begin returns. */
struct prepare_spec {
	const Pwemu__V1__Target *target;
	const Pwemu__V1__StartRequest *request;
	const char *executable;
	const char *install;     /* where it comes from, for people */
	const char *working_dir; /* made with its parents, 0700 */
	const struct user *user; /* who looks; NULL: the daemon's own user */
	const char *state_dir;   /* where uploaded images are … */
	uid_t uid;               /* … of this user */
};

/* Whose PATH and directory count: NULL for the daemon's own, which are those of a client elsewhere. */
const Pwemu__V1__Environment *prepare_environment(const Pwemu__V1__StartRequest *request);

/* on_done comes once, from the loop, save after prepare_cancel. */
int prepare_begin(struct event_base *base, const struct prepare_spec *spec, void (*on_done)(void *ctx, const struct prepare_result *result),
		  void *ctx, struct prepare **out, struct err *err) __attribute__((warn_unused_result));
/* A program as it was found. */
struct prepare_program {
	int sys; /* 0, or why it cannot be executed */
	char path[PREPARE_PATH_MAX];
};
/* Looks for programs in the user's PATH; relative ones from his directory, where none is given from `dir`. environment NULL: the daemon's
 * own (of a user elsewhere). on_done comes once, with as
 * many rows as names or with an error, from the loop, save after prepare_cancel. */
int prepare_programs(struct event_base *base, const struct user *user, const Pwemu__V1__Environment *environment, const char *dir,
		     const char *const *names, size_t count,
		     void (*on_done)(void *ctx, const struct prepare_program *rows, const struct err *err), void *ctx, struct prepare **out,
		     struct err *err) __attribute__((warn_unused_result));
void prepare_cancel(struct prepare *prepare); /* takes NULL */

/* ---- an image for a running board */

/* What the helper found; likewise. */
struct prepare_loaded {
	struct err err;
	uint32_t kind;  /* of struct driver_image */
	uint64_t entry; /* of an ELF or hex file, where it has one; of a raw binary its address */
};

struct prepare_load_spec {
	const Pwemu__V1__Target *target;
	const Pwemu__V1__Image *image;
	const char *file;        /* contents of an uploaded one; NULL: the image's path has them */
	const uint64_t *offset;  /* as in LoadRequest; NULL: none */
	int out_fd;              /* an empty file that gets the pieces (struct driver_piece) */
	const struct user *user; /* who looks; NULL: the daemon's own user */
};

/* Checks it against the board as at a start and writes its contents to out_fd. As prepare_begin. */
int prepare_load_begin(struct event_base *base, const struct prepare_load_spec *spec,
		       void (*on_done)(void *ctx, const struct prepare_loaded *loaded), void *ctx, struct prepare **out, struct err *err)
	__attribute__((warn_unused_result));
