/* SPDX-License-Identifier: Apache-2.0 */
/* The driver for QEMU: qemu_argv.c (the plan), qemu_link.c (QMP), qemu_props.c (properties), qemu_end.c (why it ended). */
#pragma once

#include "driver/driver.h"

#define QEMU_SANDBOX "-sandbox"

extern const struct driver_ops qemu_driver;

int qemu_plan(const struct driver_start *start, struct plan *plan, struct err *err);
void qemu_classify(const struct driver_death *death, struct driver_verdict *out);
