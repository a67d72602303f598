/* SPDX-License-Identifier: Apache-2.0 */
#include "channel/endpoint.h"
#include <string.h>
#include <unistd.h>
void endpoint_fds_close(struct endpoint_fds *fds)
{
	int *all[] = { &fds->listener, &fds->master, &fds->slave, &fds->cursor };
	for (int i = 0; i < 4; i++) { if (*all[i] >= 0) close(*all[i]); *all[i] = -1; }
}
static const char *const names[] = { "none", "tcp", "pty" };
const char *endpoint_kind_name(enum endpoint_kind kind) { return names[kind]; }
bool endpoint_kind_parse(const char *name, enum endpoint_kind *out)
{
	if (!*name) { *out = ENDPOINT_NONE; return true; }
	for (int i = 0; i < 3; i++) if (!strcmp(names[i], name)) { *out = (enum endpoint_kind)i; return true; }
	return false;
}
int endpoint_make_tcp(uint16_t wanted, uint32_t first, uint32_t last, struct endpoint_fds *fds, uint16_t *port, struct err *err)
{ (void)wanted; (void)first; (void)last; (void)fds; (void)port; return err_set(err, ERR_UNIMPLEMENTED, "no tcp"); }
int endpoint_make_pty(int log_dir, const char *channel, uid_t uid, struct endpoint_fds *fds, char path[ENDPOINT_PATH_MAX], struct err *err)
{ (void)log_dir; (void)channel; (void)uid; (void)fds; (void)path; return err_set(err, ERR_UNIMPLEMENTED, "no pty"); }
int endpoint_open(const struct endpoint_config *config, bool adopted, struct endpoint **out, struct err *err)
{ (void)config; (void)adopted; (void)out; return err_set(err, ERR_UNIMPLEMENTED, "no endpoint"); }
void endpoint_begin_boot(struct endpoint *endpoint) { (void)endpoint; }
void endpoint_free(struct endpoint *endpoint) { (void)endpoint; }
unsigned endpoint_party_count(const struct endpoint *endpoint) { (void)endpoint; return 0; }
