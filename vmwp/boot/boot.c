/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Direct boot: which loader a kernel needs, and what the loaders share. */
#include "vmwp/boot/boot.h"

#include "vmwp/boot/boot_loader.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const struct boot_loader {
	bool (*recognise)(const struct boot_image *image);
	int (*load)(const struct boot_config *config, const struct boot_image *image,
		    struct boot_entry *ret_entry, struct failure *failure);
} loaders[] = {
	{ boot_bzimage_recognise, boot_bzimage_load },
	{ boot_elf_recognise, boot_elf_load },
};

int boot_load(const struct boot_config *config, struct boot_entry *ret_entry,
	      struct failure *failure)
{
	struct boot_image image = { 0 };
	int r;

	r = boot_file_init(&image.file, config->kernel_fd, "The kernel", failure);
	if (r < 0)
		return r;
	r = boot_file_read(&image.file, 0, image.head, MIN(image.file.size, sizeof(image.head)),
			   failure);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(loaders); i++)
		if (loaders[i].recognise(&image))
			return loaders[i].load(config, &image, ret_entry, failure);
	return failure_set(failure, -EINVAL,
			   "The kernel is neither a Linux bzImage nor an ELF image. Give a "
			   "/boot/vmlinuz, or an uncompressed vmlinux with a PVH note.");
}

int boot_load_initrd(const struct boot_config *config, uint64_t kernel_end, uint64_t limit,
		     struct boot_initrd *ret_initrd, struct failure *failure)
{
	uint64_t end = MIN(limit, config->layout->ram[0].size), start;
	struct boot_file file;
	int r;

	if (config->initrd_fd < 0) {
		*ret_initrd = (struct boot_initrd){ .size = 0 };
		return 0;
	}
	r = boot_file_init(&file, config->initrd_fd, "The initrd", failure);
	if (r < 0)
		return r;
	start = file.size < end ? ALIGN_DOWN(end - file.size, (uint64_t)HV_PAGE_SIZE) : 0;
	if (start < kernel_end)
		return failure_set(failure, -EINVAL,
				   "The VM's memory is too small: the kernel takes the first "
				   "%" PRIu64 " MiB, and %" PRIu64
				   " MiB of initrd do not fit between that and %" PRIu64 " MiB.",
				   kernel_end >> 20, (file.size >> 20) + 1, end >> 20);
	r = boot_file_load(&file, 0, file.size, config->memory, GPA(start), failure);
	if (r < 0)
		return r;
	*ret_initrd = (struct boot_initrd){ .gpa = GPA(start), .size = file.size };
	return 0;
}

int boot_load_command_line(const struct boot_config *config, size_t max, struct failure *failure)
{
	size_t size = strlen(config->command_line), room = LAYOUT_LOW_RAM_END - LAYOUT_COMMAND_LINE;
	char *target;

	if (size > MIN(max, room - 1))
		return failure_set(failure, -EINVAL,
				   "The command line is %zu bytes long; this kernel takes %zu.",
				   size, MIN(max, room - 1));
	target = vid_memory_map(config->memory, GPA(LAYOUT_COMMAND_LINE), size + 1);
	memcpy(target, config->command_line, size + 1);
	vid_memory_mark_written(config->memory, GPA(LAYOUT_COMMAND_LINE), size + 1);
	return 0;
}
