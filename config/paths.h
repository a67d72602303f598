/* SPDX-License-Identifier: Apache-2.0 */
/* Where things are: sockets and state of the user's daemon, and the parts of an installation relative to the running program. */
#pragma once

#include "wire/err.h"

#define PATHS_MAX 1024

struct paths {
	char runtime_dir[PATHS_MAX];        /* $XDG_RUNTIME_DIR/pwemu, else /tmp/pwemu-<uid> */
	char control_socket[PATHS_MAX];     /* <runtime_dir>/control.sock */
	char state_dir[PATHS_MAX];          /* $XDG_STATE_HOME/pwemu, else ~/.local/state/pwemu, else <runtime_dir>/state in /tmp */
	char fallback_state_dir[PATHS_MAX]; /* used by the daemon when state_dir cannot be written */
	char daemon[PATHS_MAX];             /* pwemud */
	char shim[PATHS_MAX];               /* pwemu-shim */
	char tls_module[PATHS_MAX];         /* pwemu-tls.so */
	char targets_dir[PATHS_MAX];        /* presets */
	char run_dir[PATHS_MAX];            /* of run directories; "": <state_dir>/run */
	char contexts[PATHS_MAX];           /* $XDG_CONFIG_HOME/pwemu/contexts.json, else in ~/.config; "" without a home */
	char settings[PATHS_MAX];           /* $XDG_CONFIG_HOME/pwemu/pwemud.json, else in ~/.config; "" without a home */
};

/* Changes those of the daemon to a whole-host daemon's: under /run/pwemu, /var/lib/pwemu and /etc/pwemu. */
void paths_use_system(struct paths *paths);

/* The socket of a whole-host daemon. */
#define PATHS_SYSTEM_SOCKET "/run/pwemu/control.sock"

/* Fills in all paths from the environment and /proc/self/exe; touches nothing. */
int paths_init(struct paths *paths, struct err *err) __attribute__((warn_unused_result));

/* Makes a directory and its parents, 0700, and refuses one that is not ours or that others can write. */
int paths_make_private_dir(const char *dir, struct err *err) __attribute__((warn_unused_result));

/* The same for one that all users of the host may pass through, 0711. */
int paths_make_public_dir(const char *dir, struct err *err) __attribute__((warn_unused_result));

/* Makes the runtime directory so. */
int paths_make_runtime_dir(const struct paths *paths, struct err *err) __attribute__((warn_unused_result));
