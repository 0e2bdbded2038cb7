/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading of files that make a guest boot. */
#include "vmwp/boot/boot_file.h"

#include "vmwp/base/memory_layout.h"

#include "common/base/file.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int boot_file_init(struct boot_file *file, int fd, const char *name, struct failure *failure)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return failure_set(failure, -errno, "%s cannot be looked at: %s.", name,
				   strerror(errno));
	if (!S_ISREG(status.st_mode))
		return failure_set(failure, -EINVAL, "%s is not a regular file.", name);
	*file = (struct boot_file){ .fd = fd, .size = (uint64_t)status.st_size, .name = name };
	return 0;
}

int boot_file_read(const struct boot_file *file, uint64_t offset, void *buffer, size_t size,
		   struct failure *failure)
{
	uint64_t end;
	ssize_t n;

	if (ADD_OVERFLOWS(offset, size, &end) || end > file->size)
		return failure_set(failure, -EINVAL,
				   "%s is truncated: %" PRIu64 " bytes where its header promises "
				   "%zu at offset %" PRIu64 ".",
				   file->name, file->size, size, offset);
	n = file_read_at(file->fd, offset, buffer, size);
	if (n < 0)
		return failure_set(failure, (int)n, "%s cannot be read: %s.", file->name,
				   strerror((int)-n));
	if ((size_t)n < size)
		return failure_set(failure, -EIO, "%s shrank while it was read.", file->name);
	return 0;
}

int boot_file_load(const struct boot_file *file, uint64_t offset, uint64_t size,
		   struct vid_memory *memory, gpa_t gpa, struct failure *failure)
{
	void *target = gpa.value >= LAYOUT_1MIB ? vid_memory_map(memory, gpa, size) : NULL;
	int r;

	if (!target)
		return failure_set(failure, -EINVAL,
				   "%s wants %" PRIu64 " bytes at guest address 0x%" PRIx64
				   ", where the VM has no memory to load to.",
				   file->name, size, gpa.value);
	r = boot_file_read(file, offset, target, size, failure);
	if (r < 0)
		return r;
	vid_memory_mark_written(memory, gpa, size);
	return 0;
}
