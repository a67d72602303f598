/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets (board configurations) by name, from JSON files. Each file is `{"targets": {"NAME": {...}}}` with pw_emu's keys plus ours:
 *
 *   "qemu-x": {
 *     "description": "one line", "architecture": "arm", "cpu": "cortex-m3", "uart": "pl011", "eol": "cr", "gdb": ["gdb-multiarch"],
 *     "memory": [{"name": "flash", "base": "0x08000000", "size": "1M", "boot": true}, ...],
 *     "qemu": {"executable": "qemu-system-arm", "machine": "x", "args": [], "load": "kernel",
 *              "channels": {"chardevs": {"serial0": {"id": "serial0", "type": "tcp", "port": 2000}, ...}, "gdb": {"type": "tcp"}, ...}},
 *     "restart": "on-failure", "hang": {"answer": "10s"}, "log": {"limit": "64M"},         (config/policy.h)
 *     "pre-start-cmds": {"NAME": ["PROGRAM", "ARGUMENT"]}, "post-start-cmds": {"NAME": {"argv": [...], "required": true}}, "from": "boot"
 *   }
 *
 * A set owns the messages it gives out; they live until target_set_free().
 */
#pragma once

#include <stddef.h>

#include "pwemu/v1/targets.pb-c.h"
#include "wire/err.h"

struct target_set;

struct target_set *target_set_new(void);
void target_set_free(struct target_set *set);

/*
 * Adds the targets of every *.json file of `dir`, in the order of their names. A file with an error contributes nothing and is kept
 * as a text (target_set_error). Fails only when the directory itself cannot be read. Pointers given out before stay valid.
 */
int target_set_load(struct target_set *set, const char *dir, struct err *err) __attribute__((warn_unused_result));

/* Sorted by name. */
size_t target_set_count(const struct target_set *set);
const Pwemu__V1__Target *target_set_at(const struct target_set *set, size_t index);
const Pwemu__V1__Target *target_set_find(const struct target_set *set, const char *name); /* NULL: there is none */

/* Files that could not be used: "FILE:LINE: PATH: what is wrong". */
size_t target_set_error_count(const struct target_set *set);
const char *target_set_error(const struct target_set *set, size_t index);

/* Sets NOT_FOUND, reason "invalid-target", with the nearest names. Returns -1. */
int target_not_found(const struct target_set *set, const char *name, struct err *err);

/*
 * Whether a target that came over the wire may be used: every string and count within its limit, names and ids of their form,
 * serial ports unique, memory ranges that do not wrap. INVALID_ARGUMENT, reason "invalid-target", otherwise.
 */
int target_validate(const Pwemu__V1__Target *target, struct err *err) __attribute__((warn_unused_result));

/*
 * Fills in what the target does not say and what is known of its machine: architecture, cpu and memory, from the preset of the same
 * machine, else the architecture from the emulator's executable; target->inferred says which. `args` are the start's further arguments:
 * where they, or the target's own, make another board of it (-m, -cpu, -machine), no preset is like it. The target must be valid.
 */
void target_infer(Pwemu__V1__Target *target, char *const *args, size_t arg_count, const struct target_set *presets);
