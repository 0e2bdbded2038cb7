/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Linux bzImages, by the 64-bit or the 32-bit boot protocol.
 *
 * A bzImage is a setup part, of which only the header at 0x1f1 matters here, and the protected-mode
 * part, a decompressor that moves itself out of its own way. `init_size` bytes from the load
 * address are the kernel's until it has read its memory map; the initrd stays clear of them.
 * Source: Linux Documentation/arch/x86/boot.rst.
 */
#include "vmwp/boot/boot_loader.h"

#include <asm/bootparam.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#define HEADER_OFFSET      offsetof(struct boot_params, hdr)
#define HEADER_MAGIC       0x53726448u /* "HdrS" */
#define BOOT_FLAG          0xaa55
#define PROTOCOL_MINIMUM   0x020a /* has init_size and pref_address; Linux 2.6.31 */
#define PROTOCOL_XLOAD     0x020c /* has xloadflags */
#define ENTRY_64           0x200  /* from the load address */
#define LOADER_UNDEFINED   0xff
#define DEFAULT_SETUP_SIZE 4 /* sectors, where the header says 0 */
#define SECTOR             512u
#define VERSION_BASE       0x200 /* of the header's kernel_version */

_Static_assert(HEADER_OFFSET == 0x1f1, "boot protocol");
_Static_assert(sizeof(struct boot_params) == 4096, "boot protocol");

static struct setup_header bzimage_header(const struct boot_image *image)
{
	struct setup_header header;

	memcpy(&header, image->head + HEADER_OFFSET, sizeof(header));
	return header;
}

bool boot_bzimage_recognise(const struct boot_image *image)
{
	struct setup_header header = bzimage_header(image);

	return header.boot_flag == BOOT_FLAG && header.header == HEADER_MAGIC;
}

static bool bzimage_is_64_bit(const struct setup_header *header)
{
	return header->version >= PROTOCOL_XLOAD && (header->xloadflags & XLF_KERNEL_64);
}

static int bzimage_check(const struct setup_header *header, struct failure *failure)
{
	if (header->version < PROTOCOL_MINIMUM)
		return failure_set(failure, -EINVAL,
				   "The kernel speaks boot protocol %u.%02u; 2.10 (Linux 2.6.31) "
				   "is the oldest that is supported.",
				   header->version >> 8, header->version & 0xff);
	if (!(header->loadflags & LOADED_HIGH))
		return failure_set(failure, -EINVAL,
				   "The kernel is a zImage, which loads below 1 MiB; only "
				   "bzImages are supported.");
	if (header->relocatable_kernel &&
	    (!header->kernel_alignment ||
	     (header->kernel_alignment & (header->kernel_alignment - 1))))
		return failure_set(failure, -EINVAL,
				   "The kernel's header asks for an alignment of %#x, which is no "
				   "power of two.",
				   header->kernel_alignment);
	return 0;
}

/* What it uses from its load address on, until it knows the memory map. */
static uint64_t bzimage_extent(const struct setup_header *header)
{
	return MAX((uint64_t)header->init_size, (uint64_t)header->syssize * 16);
}

/* Where it prefers to be, or as low as it can where memory is short. */
static int bzimage_place(const struct setup_header *header, uint64_t ram_end, uint64_t *ret_address,
			 struct failure *failure)
{
	uint64_t size = bzimage_extent(header), address = header->pref_address, end;

	if (header->relocatable_kernel && (ADD_OVERFLOWS(address, size, &end) || end > ram_end))
		address = ALIGN_UP(LAYOUT_1MIB, (uint64_t)header->kernel_alignment);
	if (address < LAYOUT_1MIB || ADD_OVERFLOWS(address, size, &end) || end > ram_end)
		return failure_set(failure, -EINVAL,
				   "The kernel needs %" PRIu64 " MiB of memory at guest address "
				   "0x%" PRIx64 "; the VM has %" PRIu64 " MiB there.",
				   (size >> 20) + 1, address,
				   ram_end > address ? (ram_end - address) >> 20 : 0);
	*ret_address = address;
	return 0;
}

static void bzimage_fill_map(const struct memory_layout *layout, struct boot_params *params)
{
	struct memory_map_entry entries[MEMORY_MAP_MAX];
	size_t count = memory_layout_map(layout, entries);

	for (size_t i = 0; i < count; i++)
		params->e820_table[i] = (struct boot_e820_entry){ .addr = entries[i].base,
								  .size = entries[i].size,
								  .type = entries[i].type };
	params->e820_entries = (uint8_t)count;
}

/* The header's length is in its own jump instruction, at 0x201; the rest stays zero. */
static void bzimage_copy_header(const struct boot_image *image, struct boot_params *params)
{
	size_t end = 0x202u + image->head[0x201];

	memcpy((uint8_t *)params + HEADER_OFFSET, image->head + HEADER_OFFSET,
	       MIN(end - HEADER_OFFSET, sizeof(params->hdr)));
}

static void bzimage_write_params(const struct boot_config *config, const struct boot_image *image,
				 uint64_t address, const struct boot_initrd *initrd)
{
	struct boot_params *params =
		vid_memory_map(config->memory, GPA(LAYOUT_BOOT_PARAMS), sizeof(struct boot_params));

	memset(params, 0, sizeof(*params));
	bzimage_copy_header(image, params);
	params->hdr.type_of_loader = LOADER_UNDEFINED;
	params->hdr.loadflags &= (uint8_t)~CAN_USE_HEAP;
	params->hdr.code32_start = (uint32_t)address;
	params->hdr.cmd_line_ptr = LAYOUT_COMMAND_LINE;
	params->hdr.ramdisk_image = (uint32_t)initrd->gpa.value;
	params->hdr.ramdisk_size = (uint32_t)initrd->size;
	params->acpi_rsdp_addr = config->rsdp.value;
	bzimage_fill_map(config->layout, params);
	vid_memory_mark_written(config->memory, GPA(LAYOUT_BOOT_PARAMS), sizeof(*params));
}

static unsigned bzimage_setup_size(const struct setup_header *header)
{
	return ((header->setup_sects ? header->setup_sects : DEFAULT_SETUP_SIZE) + 1) * SECTOR;
}

static bool bzimage_take_number(const char **at, uint32_t *ret_number)
{
	const char *first = *at;

	for (*ret_number = 0; isdigit((unsigned char)**at) && *at - first < 4; (*at)++)
		*ret_number = *ret_number * 10 + (uint32_t)(**at - '0');
	return *at > first;
}

/* The setup part has a text that begins with the release, "6.1.0-32-amd64 (…)", or has none. */
static int bzimage_read_release(const struct boot_image *image, const struct setup_header *header,
				uint32_t *ret_release, struct failure *failure)
{
	char text[16] = "";
	const char *at = text;
	uint32_t offset = header->kernel_version + VERSION_BASE;
	uint32_t major, minor;
	int r;

	*ret_release = 0;
	if (header->kernel_version == 0 || offset + sizeof(text) - 1 > bzimage_setup_size(header))
		return 0;
	r = boot_file_read(&image->file, offset, text, sizeof(text) - 1, failure);
	if (r < 0)
		return r;
	if (bzimage_take_number(&at, &major) && *at++ == '.' && bzimage_take_number(&at, &minor))
		*ret_release = BOOT_LINUX(major, minor);
	return 0;
}

int boot_bzimage_load(const struct boot_config *config, const struct boot_image *image,
		      struct boot_entry *ret_entry, struct failure *failure)
{
	struct setup_header header = bzimage_header(image);
	bool long_mode = bzimage_is_64_bit(&header);
	struct boot_initrd initrd;
	uint64_t address;
	uint32_t release;
	int r;

	r = bzimage_check(&header, failure);
	if (r < 0)
		return r;
	r = bzimage_read_release(image, &header, &release, failure);
	if (r < 0)
		return r;
	r = bzimage_place(&header, config->layout->ram[0].size, &address, failure);
	if (r < 0)
		return r;
	r = boot_file_load(&image->file, bzimage_setup_size(&header), (uint64_t)header.syssize * 16,
			   config->memory, GPA(address), failure);
	if (r < 0)
		return r;
	r = boot_load_initrd(config, address + bzimage_extent(&header),
			     (uint64_t)header.initrd_addr_max + 1, &initrd, failure);
	if (r < 0)
		return r;
	r = boot_load_command_line(config, header.cmdline_size, failure);
	if (r < 0)
		return r;
	bzimage_write_params(config, image, address, &initrd);
	*ret_entry = (struct boot_entry){
		.linux_release = release,
		.long_mode = long_mode,
		.rip = address + (long_mode ? ENTRY_64 : 0),
		.rsi = LAYOUT_BOOT_PARAMS,
	};
	return 0;
}
