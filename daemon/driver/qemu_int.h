/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the QEMU driver share that talk to a running one. */
#pragma once

#include "driver/qemu.h"

struct qemu_load;
struct qmp;

/* Serials are drained by the same loop that waits, so QEMU cannot be frozen by its output for long. */
#define QEMU_COMMAND_TIMEOUT_MS 10000

/* The property that was got last; NULLs: none. */
struct qemu_typed {
	char *path, *property, *type;
};
void qemu_typed_clear(struct qemu_typed *typed);

struct driver_link {
	struct qemu_typed typed;
	struct qmp *qmp;
	const struct driver_events *events;
	void *ctx;
	bool is_ready;
	bool starts_paused; /* what the boot was told */
	bool is_unsure;     /* whether that is all there is to know: QEMU has not said it yet */
	bool is_nudging;
	struct event_base *base;
	char *run_path;
	struct qemu_load *load; /* NULL: none is under way */
};

/* ---- qemu_props.c */
void qemu_list_properties(struct driver_link *link, const char *path, driver_properties_fn done, void *ctx);
void qemu_get_property(struct driver_link *link, const char *path, const char *property, driver_value_fn done, void *ctx);
void qemu_set_property(struct driver_link *link, const char *path, const char *property, const char *value, bool is_json,
		       driver_done_fn done, void *ctx);

/* ---- qemu_load.c */
void qemu_load_begin(struct driver_link *link, const struct driver_load *what, driver_done_fn done, void *ctx);
void qemu_load_on_reset(struct driver_link *link); /* by us, not by the guest */
void qemu_load_cancel(struct driver_link *link);   /* the link is about to go */
