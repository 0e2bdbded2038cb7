/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kernel images for direct boot: whatever is in them is loaded into guest memory above 1 MiB or
 * refused with a sentence.
 */
#include "vmwp/boot/boot.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM_SIZE (16u << 20)

static struct vid_memory *memory;
static struct memory_layout layout;
static int kernel_fd, initrd_fd;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	memory_layout_init(&layout, RAM_SIZE, 0, 40);
	kernel_fd = memfd_create("kernel", MFD_CLOEXEC);
	initrd_fd = memfd_create("initrd", MFD_CLOEXEC);
	if (vid_memory_new(&memory) < 0 ||
	    vid_memory_add(memory, layout.ram[0], VID_MEMORY_SMALL, false) < 0 || kernel_fd < 0 ||
	    initrd_fd < 0 || ftruncate(initrd_fd, 5000) < 0)
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct boot_config config = {
		.memory = memory,
		.layout = &layout,
		.kernel_fd = kernel_fd,
		.initrd_fd = initrd_fd,
		.command_line = "console=ttyS0",
		.rsdp = GPA(LAYOUT_ACPI),
	};
	struct boot_entry entry;
	struct failure failure = { 0 };
	int r;

	if (pwrite(kernel_fd, data, size, 0) != (ssize_t)size ||
	    ftruncate(kernel_fd, (off_t)size) < 0)
		abort();
	r = boot_load(&config, &entry, &failure);
	if (r > 0 || (r < 0 && !failure.message[0]))
		abort();
	if (r == 0 && !entry.long_mode && !entry.rsi && !entry.rbx)
		abort();
	return 0;
}
