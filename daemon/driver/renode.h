/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver for Renode: renode_plan.c (command line and set-up), renode_link.c (the console: set-up, actions, end), renode_uart.c
 * (serial channels), renode_gdb.c, renode_user.c (monitor channel), renode_props.c, renode_load.c, renode_end.c (why it ended).
 */
#pragma once

#include "driver/driver.h"

extern const struct driver_ops renode_driver;

int renode_plan(const struct driver_start *start, struct plan *plan, struct err *err);
void renode_classify(const struct driver_death *death, struct driver_verdict *out);
