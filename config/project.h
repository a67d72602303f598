/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A project's configuration. A pigweed.json has it as Pigweed's pw_emu wants it, {"pw": {"pw_emu": {...}}}; a pwemu.json holds what is
 * inside of that. Any other file is taken for the first when it has a member "pw", else for the second when it has one of its keys.
 *
 *   gdb, emulators, target_files, targets       target_files: of {"targets": {...}}, relative to the file that names them. A target of
 *                                               a later file replaces that of an earlier one, those of the file itself replace all
 *   qemu, renode: {executable, args, channels}  defaults; args come before the target's
 *   targets.T                                   the keys of config/target.h and: base, semihosting, timeout, expect, fail, file, env
 *
 * type of a channel: its own, else targets.T.qemu.channels.type, else qemu.channels.NAME.type, else qemu.channels.type, else tcp in a
 * pigweed.json, none in a pwemu.json.
 *
 * A pigweed.json may be newer than this program: a key that it does not know is told, and ignored; in a pwemu.json it is an error. Other
 * targets than the one that is asked for are not looked at.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "config/origin.h"
#include "pwemu/v1/targets.pb-c.h"
#include "wire/err.h"

struct project;

struct project_ops {
	/* Something that is ignored: "FILE:LINE: PATH: unknown key ...". NULL: nobody wants to know. */
	void (*on_warning)(void *ctx, const struct err *what);
	/* An error, after which reading goes on where it can. NULL: the first error ends it. */
	void (*on_error)(void *ctx, const struct err *what);
	/* The preset of that name, to be freed by us, for `base`. NULL: there are none. */
	int (*preset)(void *ctx, const char *name, Pwemu__V1__Target **out, struct err *err);
	void *ctx;
};

/*
 * Reads the files, not the targets in them. *out is NULL when the file has no configuration, unless that is required. `ops` is copied.
 * Errors read "FILE:LINE: PATH: what is wrong".
 */
int project_open(const char *path, bool is_required, const struct project_ops *ops, struct project **out, struct err *err)
	__attribute__((warn_unused_result));
/* The same from memory; `path` says which file it would be. */
int project_parse(const char *path, const char *text, size_t len, bool is_required, const struct project_ops *ops, struct project **out,
		  struct err *err) __attribute__((warn_unused_result));
void project_free(struct project *project); /* takes NULL */

size_t project_count(const struct project *project);
/* In the order of the files. */
const char *project_name(const struct project *project, size_t index);
bool project_has(const struct project *project, const char *name);

/*
 * The target of that name, resolved and checked, into *out, to be freed with pwemu__v1__target__free_unpacked. NOT_FOUND (reason
 * invalid-target) with the nearest names where there is none. `runner` chooses the emulator; NULL: the target's first. `origins` gets
 * who set what, where it is not NULL.
 */
int project_target(struct project *project, const char *name, const char *runner, struct origins *origins, Pwemu__V1__Target **out,
		   struct err *err) __attribute__((warn_unused_result));

/* Resolves every target for every emulator it has. With on_error each error goes there, and the number of them is returned; otherwise
 * -1 for the first one. */
int project_check(struct project *project, struct err *err) __attribute__((warn_unused_result));
