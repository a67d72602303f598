/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the QEMU driver share that talk to a running one. */
#pragma once

#include "driver/qemu.h"

struct qmp;

/* Serials are drained by the same loop that waits, so QEMU cannot be frozen by its output for long. */
#define QEMU_COMMAND_TIMEOUT_MS 10000

struct driver_link {
	struct qmp *qmp;
	const struct driver_events *events;
	void *ctx;
	bool is_ready;
	bool is_nudging;
};

/* ---- qemu_props.c */
void qemu_list_properties(struct driver_link *link, const char *path, driver_properties_fn done, void *ctx);
void qemu_get_property(struct driver_link *link, const char *path, const char *property, driver_value_fn done, void *ctx);
void qemu_set_property(struct driver_link *link, const char *path, const char *property, const char *value, bool is_json,
		       driver_done_fn done, void *ctx);
