/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A project's configuration: {"pw": {"pw_emu": {...}}} as Pigweed's pw_emu has it, plus the keys of config/target.h in its targets.
 *
 *   qemu.{executable, args}     defaults; args come before the target's
 *   type of a chardev           targets.T.qemu.channels.chardevs.NAME.type, else targets.T.qemu.channels.type,
 *                               else qemu.channels.NAME.type, else qemu.channels.type, else "tcp"
 *
 * The file may be newer than this program: a key that it does not know is told, and ignored. Other targets than the one that is asked
 * for are not looked at.
 */
#pragma once

#include "pwemu/v1/targets.pb-c.h"
#include "wire/err.h"

struct project_ops {
	/* A key was ignored: "FILE:LINE: PATH: unknown key ...". */
	void (*on_unknown)(void *ctx, const struct err *what);
	void *ctx;
};

/* Reads the target of that name, checked, into *out, to be freed with pwemu__v1__target__free_unpacked; NULL when the file has none.
 * Errors read "FILE:LINE: PATH: what is wrong". */
int project_target(const char *path, const char *name, const struct project_ops *ops, Pwemu__V1__Target **out, struct err *err)
	__attribute__((warn_unused_result));
