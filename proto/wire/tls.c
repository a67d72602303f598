/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/tls.h"

#include <dlfcn.h>
#include <unistd.h>

static int tls_missing(const char *module, struct err *err)
{
	const char *why = dlerror();
	if (access(module, F_OK) < 0)
		err_set(err, ERR_FAILED_PRECONDITION, "network addresses need \"%s\", which is not installed", module);
	else
		err_set(err, ERR_FAILED_PRECONDITION, "network addresses need \"%s\", which cannot be loaded: %s; install %s", module,
			why != NULL ? why : "unknown reason", TLS_PACKAGE);
	return err_reason(err, "no-tls");
}

int tls_load(const char *module, const struct tls_ops **out, struct err *err)
{
	static const struct tls_ops *loaded;
	if (loaded == NULL) {
		void *handle = dlopen(module, RTLD_NOW | RTLD_LOCAL); /* stays */
		if (handle == NULL)
			return tls_missing(module, err);
		const struct tls_ops *ops = dlsym(handle, TLS_SYMBOL);
		if (ops == NULL || ops->version != TLS_VERSION) {
			dlclose(handle);
			return err_set(err, ERR_FAILED_PRECONDITION, "\"%s\" is of another version of pwemu; install it again", module);
		}
		loaded = ops;
	}
	*out = loaded;
	return 0;
}
