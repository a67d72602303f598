/* SPDX-License-Identifier: Apache-2.0 */
/* The list is written as the kernel takes it (include/linux/posix_acl_xattr.h): libacl would be one more library for one call. */
#include "base/acl.h"

#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define ACL_NAME      "system.posix_acl_access"
#define ACL_VERSION   2u
#define ACL_UNDEFINED UINT32_MAX

enum { TAG_OWNER = 0x01, TAG_USER = 0x02, TAG_GROUP = 0x04, TAG_MASK = 0x10, TAG_OTHER = 0x20 };

struct acl_entry {
	uint16_t tag, permissions;
	uint32_t id;
};

static struct acl_entry acl_entry(unsigned tag, unsigned permissions, uint32_t id)
{
	return (struct acl_entry){ htole16((uint16_t)tag), htole16((uint16_t)permissions), htole32(id) };
}

int acl_allow(int fd, uid_t uid, unsigned permissions, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "look at what is to be shared");
	struct {
		uint32_t version;
		struct acl_entry rows[5];
	} list = { htole32(ACL_VERSION),
		   {
			   acl_entry(TAG_OWNER, st.st_mode >> 6 & 7, ACL_UNDEFINED),
			   acl_entry(TAG_USER, permissions, uid),
			   acl_entry(TAG_GROUP, 0, ACL_UNDEFINED),
			   acl_entry(TAG_MASK, permissions, ACL_UNDEFINED),
			   acl_entry(TAG_OTHER, st.st_mode & 7, ACL_UNDEFINED),
		   } };
	if (fsetxattr(fd, ACL_NAME, &list, sizeof(list), 0) == 0)
		return 0;
	err_sys(err, errno, "give uid %u access", (unsigned)uid);
	if (err->sys == EOPNOTSUPP)
		err->code = ERR_UNIMPLEMENTED;
	return -1;
}
