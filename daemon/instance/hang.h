/* SPDX-License-Identifier: Apache-2.0 */
/* Notices that an instance hangs: its emulator does not answer though its output is taken, or a channel is silent for too long. */
#pragma once

struct hang;
struct instance;

/* For an instance with a link to its emulator; NULL when the policy in force has nothing to look for. */
struct hang *hang_new(struct instance *inst);
/* After the link is gone: a question to the emulator may be on its way until then. Takes NULL. */
void hang_free(struct hang *hang);
/* The instance is in another state: it is looked at while it is up, silence counts while the guest runs. Takes NULL. */
void hang_state_changed(struct hang *hang);
