/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/shim.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

const char *spec_next(const char *string)
{
	return string + strlen(string) + 1;
}

static bool counts_are_sane(const struct shim_spec *head, size_t size)
{
	return head->magic == SHIM_SPEC_MAGIC && head->version == SHIM_SPEC_VERSION && head->size == size &&
	       head->group_count <= SHIM_GROUPS_MAX && head->fd_count <= SHIM_FDS_MAX && head->held_count <= SHIM_HELD_MAX &&
	       head->join_count <= SHIM_JOIN_MAX && head->has_cgroup <= 1 && head->kept_size <= size && head->argc >= 1 &&
	       head->argc <= size && head->envc <= size;
}

/* Exactly `count` strings from `at` to `end`. */
static bool strings_fit(const char *at, const char *end, uint64_t count)
{
	for (; count > 0; count--) {
		const char *nul = at < end ? memchr(at, '\0', (size_t)(end - at)) : NULL;
		if (nul == NULL)
			return false;
		at = nul + 1;
	}
	return at == end;
}

static bool kept_is_sane(const struct spec *spec)
{
	const char *mark = spec_next(spec->kept);
	return spec->kept[0] != '\0' && strlen(spec->kept) <= SHIM_NAME_MAX && strchr(spec->kept, '/') == NULL &&
	       strlen(mark) <= SHIM_MARK_MAX;
}

static bool spec_check(struct spec *spec, const char *data, size_t size)
{
	const struct shim_spec *head = (const struct shim_spec *)(const void *)data;
	if (!counts_are_sane(head, size))
		return false;
	size_t arrays = sizeof(*head) + (head->group_count + (size_t)head->fd_count) * sizeof(uint32_t);
	if (arrays > size || head->kept_size > size - arrays)
		return false;
	spec->head = head;
	spec->groups = (const uint32_t *)(const void *)(data + sizeof(*head));
	spec->child_fds = spec->groups + head->group_count;
	spec->kept = data + arrays;
	spec->program = spec->kept + head->kept_size;
	for (uint32_t i = 0; i < head->fd_count; i++)
		if (spec->child_fds[i] > SHIM_CHILD_FD_MAX)
			return false;
	return strings_fit(spec->kept, spec->program, 2 + (uint64_t)head->held_count) &&
	       strings_fit(spec->program, data + size, 2 + (uint64_t)head->argc + head->envc) && kept_is_sane(spec);
}

bool spec_map(int fd, struct spec *spec)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return false;
	errno = EINVAL;
	if (st.st_size < (off_t)sizeof(struct shim_spec) || st.st_size > (off_t)SHIM_SPEC_MAX)
		return false;
	size_t size = (size_t)st.st_size;
	char *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return false;
	if (spec_check(spec, data, size))
		return true;
	munmap(data, size);
	errno = EINVAL;
	return false;
}

void spec_unmap(struct spec *spec)
{
	munmap((void *)(uintptr_t)spec->head, spec->head->size);
	spec->head = NULL;
}
