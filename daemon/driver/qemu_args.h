/* SPDX-License-Identifier: Apache-2.0 */
/* What arguments of QEMU's, given by target and user, ask of the host. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Whether one of them may reach for the host's network, so that a network of its own would take something from this QEMU. In doubt yes. */
bool qemu_args_want_network(char *const *args, size_t count);

/* The argument for which QEMU starts a process while it starts ("tap,id=n0"), NULL: none does. The string is one of `args`. */
const char *qemu_args_start_process(char *const *args, size_t count);
