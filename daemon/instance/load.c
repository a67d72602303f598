/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image loaded into the running board. A helper checks it and writes its contents to <data>/loaded.new; when the driver has written
 * them to the guest, that becomes <data>/loaded, from where a later reset has them again, also one of a later daemon, whatever has become
 * of the user's file. The next boot begins with the images of the start and forgets it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/sha256.h"
#include "instance/origin.h"
#include "instance/priv.h"
#include "instance/uploads.h"
#include "wire/mem.h"

#define LOAD_FILE "loaded"
#define LOAD_NEW  "loaded.new"

struct load {
	struct instance *inst;
	struct prepare *prepare; /* NULL: it has been looked at */
	char *path;              /* as it is to be shown; NULL: it is loaded again */
	bool run, has_entry;
	uint64_t entry;
	bool holds_debugger;
	driver_done_fn done;
	void *ctx;
};

int load_check_idle(const struct instance *inst, struct err *err)
{
	if (inst->load == NULL)
		return 0;
	err_set(err, ERR_FAILED_PRECONDITION, "an image is being loaded into instance \"%s\"; try again in a moment", inst->name);
	return err_reason(err, "busy");
}

/* The gdb stub takes one at a time. */
static int load_check_debugger(const struct instance *inst, struct err *err)
{
	const struct bridge *bridge = instance_bridge(inst, "gdb");
	const char *holder = bridge != NULL ? bridge_holder(bridge) : NULL;
	if (!inst->is_debugged && holder == NULL)
		return 0;
	err_set(err, ERR_FAILED_PRECONDITION,
		"instance \"%s\" has a debugger (%s), through which images are loaded: use its `load`, or end it", inst->name,
		holder != NULL ? holder : "of an earlier daemon");
	return err_reason(err, "busy");
}

static void load_hold_debugger(struct load *load, bool hold)
{
	struct bridge *bridge = instance_bridge(load->inst, "gdb");
	if (bridge == NULL || load->holds_debugger == hold)
		return;
	load->holds_debugger = hold;
	(hold ? bridge_hold : bridge_next)(bridge);
}

/* ---------------------------------------------------------------- ends */

static void load_keep(struct load *load)
{
	struct instance *inst = load->inst;
	if (load->path == NULL)
		return;
	if (renameat(inst->log_dir, LOAD_NEW, inst->log_dir, LOAD_FILE) < 0)
		log_warn(&inst->scope, "a reset will not load the image again: %s", strerror(errno));
	free(inst->loaded_path);
	inst->loaded_path = load->path;
	load->path = NULL;
	inst->loaded_entry = load->entry;
	inst->loaded_has_entry = load->has_entry;
	log_info(&inst->scope, "loaded \"%s\"", inst->loaded_path);
	store_save(inst);
	instance_changed(inst);
}

static void load_free(struct load *load)
{
	load->inst->load = NULL;
	prepare_cancel(load->prepare);
	free(load->path);
	free(load);
}

static void load_finish(struct load *load, const struct err *err)
{
	struct instance *inst = load->inst;
	driver_done_fn done = load->done;
	void *ctx = load->ctx;
	load_hold_debugger(load, false);
	if (err == NULL)
		load_keep(load);
	else if (inst->log_dir >= 0)
		(void)unlinkat(inst->log_dir, LOAD_NEW, 0);
	load_free(load);
	done(ctx, err);
}

void load_cancel(struct instance *inst)
{
	struct err err = ERR_INIT;
	err_set(&err, ERR_CANCELLED, "the emulator has ended");
	if (inst->load != NULL && inst->load->prepare != NULL) /* else the driver says it */
		load_finish(inst->load, &err);
}

/* ---------------------------------------------------------------- the driver's part */

static void load_on_done(void *ctx, const struct err *err)
{
	load_finish(ctx, err);
}

static int load_write(struct load *load, struct err *err)
{
	struct instance *inst = load->inst;
	if (instance_check_up(inst, err) < 0 || load_check_debugger(inst, err) < 0)
		return -1;
	struct driver_load what = {
		.fd = openat(inst->log_dir, load->path != NULL ? LOAD_NEW : LOAD_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC),
		.target = inst->target,
		.has_entry = load->has_entry,
		.entry = load->entry,
		.has_boot_image = inst->request->n_images > 0,
		.run = load->run,
	};
	if (what.fd < 0)
		return err_sys(err, errno, "what was loaded into instance \"%s\" is gone, load it again", inst->name);
	load_hold_debugger(load, true);
	inst->driver->load(inst->link, &what, load_on_done, load);
	return 0;
}

static void load_on_looked_at(void *ctx, const struct prepare_loaded *loaded)
{
	struct load *load = ctx;
	struct err err = loaded->err;
	load->prepare = NULL;
	load->entry = loaded->entry;
	load->has_entry = loaded->kind != DRIVER_IMAGE_HEX || loaded->entry != 0;
	if (err_is_set(&err) || load_write(load, &err) < 0)
		load_finish(load, &err);
}

/* ---------------------------------------------------------------- the beginning */

static struct load *load_new(struct instance *inst, driver_done_fn done, void *ctx)
{
	struct load *load = xcalloc(1, sizeof(*load));
	load->inst = inst;
	load->done = done;
	load->ctx = ctx;
	inst->load = load;
	return load;
}

static int load_look_at(struct load *load, const Pwemu__V1__LoadRequest *request, const struct user *user, struct err *err)
{
	struct instance *inst = load->inst;
	char *file = NULL;
	struct prepare_load_spec spec = { .target = inst->target, .image = request->image, .user = inst->env->is_system ? user : NULL };
	if (request->image->digest[0] != '\0')
		spec.file = file = uploads_path(inst->env->state_dir, user->uid, request->image->digest);
	if (request->shift_case == PWEMU__V1__LOAD_REQUEST__SHIFT_OFFSET)
		spec.offset = &request->offset;
	spec.out_fd = openat(inst->log_dir, LOAD_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	int rc = -1;
	if (spec.out_fd < 0)
		err_sys(err, errno, "make \"%s\" of instance \"%s\"", LOAD_NEW, inst->name);
	else
		rc = prepare_load_begin(inst->env->base, &spec, load_on_looked_at, load, &load->prepare, err);
	if (spec.out_fd >= 0)
		close(spec.out_fd);
	free(file);
	return rc;
}

static int load_check_image(const Pwemu__V1__LoadRequest *request, struct err *err)
{
	const Pwemu__V1__Image *image = request->image;
	if (image == NULL || image->path[0] != '/' || (image->digest[0] != '\0' && !sha256_is_hex(image->digest))) {
		err_set(err, ERR_INVALID_ARGUMENT, "load: the image needs an absolute path, and a digest where it was uploaded");
		return err_reason(err, "invalid-image");
	}
	if (image->digest[0] != '\0' || request->instance == NULL || !origin_is_elsewhere(request->instance->origin))
		return 0;
	err_set(err, ERR_FAILED_PRECONDITION, "\"%.300s\" is on the client's machine: it has to be uploaded", image->path);
	return err_reason(err, "image-elsewhere");
}

int instance_load(struct instance *inst, const Pwemu__V1__LoadRequest *request, const struct user *user, driver_done_fn done, void *ctx,
		  struct err *err)
{
	if (instance_check_up(inst, err) < 0 || load_check_idle(inst, err) < 0 || load_check_debugger(inst, err) < 0)
		return -1;
	if (load_check_image(request, err) < 0)
		return -1;
	struct load *load = load_new(inst, done, ctx);
	load->path = xstrdup(request->image->path);
	load->run = !request->pause;
	if (load_look_at(load, request, user, err) == 0)
		return 0;
	load_free(load);
	return -1;
}

bool load_resets(struct instance *inst, driver_done_fn done, void *ctx)
{
	struct err err = ERR_INIT;
	if (inst->loaded_path == NULL)
		return false;
	if (load_check_debugger(inst, &err) < 0) {
		instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_WARNING, NULL, NULL,
			      "reset under a debugger: what was loaded is not written again, the board boots what it has");
		return false;
	}
	struct load *load = load_new(inst, done, ctx);
	load->run = inst->state == INST_RUNNING;
	load->entry = inst->loaded_entry;
	load->has_entry = inst->loaded_has_entry;
	if (load_write(load, &err) < 0)
		load_finish(load, &err);
	return true;
}

void load_forget(struct instance *inst)
{
	if (inst->loaded_path == NULL)
		return;
	free(inst->loaded_path);
	inst->loaded_path = NULL;
	if (inst->log_dir >= 0)
		(void)unlinkat(inst->log_dir, LOAD_FILE, 0);
}
