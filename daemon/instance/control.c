/* SPDX-License-Identifier: Apache-2.0 */
/* What users ask of the emulator of an instance that is up. */
#include "instance/priv.h"

int instance_check_up(const struct instance *inst, struct err *err)
{
	if ((inst->state == INST_RUNNING || inst->state == INST_PAUSED) && inst->link != NULL)
		return 0;
	err_set(err, ERR_FAILED_PRECONDITION, "instance \"%s\" is not running (%s)", inst->name, inst_state_row(inst->state)->name);
	return err_reason(err, "not-running");
}

int instance_act(struct instance *inst, enum driver_action action, driver_done_fn done, void *ctx, struct err *err)
{
	if (instance_check_up(inst, err) < 0)
		return -1;
	inst->driver->act(inst->link, action, done, ctx);
	return 0;
}

int instance_list_properties(struct instance *inst, const char *path, driver_properties_fn done, void *ctx, struct err *err)
{
	if (instance_check_up(inst, err) < 0)
		return -1;
	inst->driver->list_properties(inst->link, path, done, ctx);
	return 0;
}

int instance_get_property(struct instance *inst, const char *path, const char *property, driver_value_fn done, void *ctx, struct err *err)
{
	if (instance_check_up(inst, err) < 0)
		return -1;
	inst->driver->get_property(inst->link, path, property, done, ctx);
	return 0;
}

int instance_set_property(struct instance *inst, const char *path, const char *property, const char *value, bool is_json,
			  driver_done_fn done, void *ctx, struct err *err)
{
	if (instance_check_up(inst, err) < 0)
		return -1;
	inst->driver->set_property(inst->link, path, property, value, is_json, done, ctx);
	return 0;
}
