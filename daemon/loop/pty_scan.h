/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether somebody has a PTY's slave open, from /proc: for a daemon that has not seen who opened it. Finds processes it may look into:
 * its own user's, all for root. The daemon's own description does not count, whoever holds it (shims do), nor does any held by a shim.
 *
 * /proc is walked in small steps from the loop, once for all scans that are wanted at that time.
 */
#pragma once

#include <stdbool.h>

struct event_base;
struct pty_scan;

/* on_done: once, from the loop; the scan is gone then. path, slave: the slave's; slave stays the caller's. */
struct pty_scan *pty_scan_start(struct event_base *base, const char *path, int slave, void (*on_done)(void *ctx, bool is_open), void *ctx);
void pty_scan_cancel(struct pty_scan *scan); /* no callback follows; takes NULL */
