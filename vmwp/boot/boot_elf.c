/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ELF images with a PVH note: started in 32-bit mode, without paging, at the address in the note,
 * with EBX pointing at a start info. Sources: the ELF specification; Linux
 * include/xen/interface/elfnote.h (XEN_ELFNOTE_PHYS32_ENTRY) and hvm/start_info.h.
 *
 * The loadable segments go to their physical addresses. What they leave at zero is zero already:
 * guest memory is fresh.
 */
#include "vmwp/boot/boot_loader.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define SEGMENT_MAX          64
#define NOTE_SIZE_MAX        65536u
#define NOTE_NAME            "Xen"
#define NOTE_PHYS32_ENTRY    18
#define START_INFO_MAGIC     0x336ec578u
#define INITRD_LIMIT_32      0x37ffffffull /* low memory of a 32-bit kernel */
#define PVH_COMMAND_LINE_MAX 2047

/* include/xen/interface/hvm/start_info.h, version 1. */
struct pvh_start_info {
	uint32_t magic, version, flags, module_count;
	uint64_t modules, command_line, rsdp, memory_map;
	uint32_t memory_map_entries, reserved;
};
_Static_assert(sizeof(struct pvh_start_info) == 56, "boot protocol");

struct pvh_module {
	uint64_t address, size, command_line, reserved;
};
_Static_assert(sizeof(struct pvh_module) == 32, "boot protocol");

struct pvh_map_entry {
	uint64_t base, size;
	uint32_t type, reserved;
};
_Static_assert(sizeof(struct pvh_map_entry) == 24, "boot protocol");

/* All that the loader leaves for the kernel, in one place. */
struct pvh_data {
	struct pvh_start_info info;
	struct pvh_module initrd;
	struct pvh_map_entry map[MEMORY_MAP_MAX];
};

/* What both ELF classes have in common. */
struct elf_segment {
	uint32_t type;
	uint64_t offset, address, file_size, memory_size;
};

struct elf_image {
	const struct boot_file *file;
	bool is_64_bit;
	unsigned count;
	struct elf_segment segments[SEGMENT_MAX];
};

bool boot_elf_recognise(const struct boot_image *image)
{
	return memcmp(image->head, ELFMAG, SELFMAG) == 0;
}

/* Where the program headers are, and whose they are. */
struct elf_table {
	uint64_t offset;
	unsigned machine, entry_size, count;
};

#define ELF_TABLE(header)                                                     \
	{                                                                     \
		.offset = (header).e_phoff, .machine = (header).e_machine,    \
		.entry_size = (header).e_phentsize, .count = (header).e_phnum \
	}

#define ELF_SEGMENT(header)                                                                        \
	{                                                                                          \
		.type = (header).p_type, .offset = (header).p_offset, .address = (header).p_paddr, \
		.file_size = (header).p_filesz, .memory_size = (header).p_memsz                    \
	}

static struct elf_table elf_table(const struct elf_image *elf, const struct boot_image *image)
{
	Elf64_Ehdr header_64;
	Elf32_Ehdr header_32;

	memcpy(&header_64, image->head, sizeof(header_64));
	memcpy(&header_32, image->head, sizeof(header_32));
	return elf->is_64_bit ? (struct elf_table)ELF_TABLE(header_64)
			      : (struct elf_table)ELF_TABLE(header_32);
}

static struct elf_segment elf_segment(const struct elf_image *elf, const uint8_t *entry)
{
	Elf64_Phdr header_64;
	Elf32_Phdr header_32;

	if (elf->is_64_bit) {
		memcpy(&header_64, entry, sizeof(header_64));
		return (struct elf_segment)ELF_SEGMENT(header_64);
	}
	memcpy(&header_32, entry, sizeof(header_32));
	return (struct elf_segment)ELF_SEGMENT(header_32);
}

static int elf_read_table(struct elf_image *elf, const struct boot_image *image,
			  struct failure *failure)
{
	const struct elf_table table = elf_table(elf, image);
	unsigned machine = elf->is_64_bit ? EM_X86_64 : EM_386;
	size_t entry_size = elf->is_64_bit ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	uint8_t entries[SEGMENT_MAX * sizeof(Elf64_Phdr)];
	int r;

	if (table.machine != machine || table.entry_size != entry_size || table.count > SEGMENT_MAX)
		return failure_set(failure, -EINVAL,
				   "The kernel's ELF header is not that of an %s image with at "
				   "most %d segments.",
				   elf->is_64_bit ? "x86-64" : "i386", SEGMENT_MAX);
	r = boot_file_read(elf->file, table.offset, entries, table.count * entry_size, failure);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < table.count; i++)
		elf->segments[i] = elf_segment(elf, entries + i * entry_size);
	elf->count = table.count;
	return 0;
}

static int elf_read_segments(struct elf_image *elf, const struct boot_image *image,
			     struct failure *failure)
{
	uint8_t class = image->head[EI_CLASS];

	if (image->head[EI_DATA] != ELFDATA2LSB)
		return failure_set(failure, -EINVAL, "The kernel is a big-endian ELF image.");
	if (class != ELFCLASS64 && class != ELFCLASS32)
		return failure_set(failure, -EINVAL,
				   "The kernel is an ELF image of unknown class.");
	elf->is_64_bit = class == ELFCLASS64;
	return elf_read_table(elf, image, failure);
}

/* Loads one segment. *kernel_end: raised to its end. */
static int elf_load_segment(const struct elf_image *elf, const struct elf_segment *segment,
			    struct vid_memory *memory, uint64_t *kernel_end,
			    struct failure *failure)
{
	if (segment->file_size > segment->memory_size || segment->address < LAYOUT_1MIB ||
	    !vid_memory_map(memory, GPA(segment->address), segment->memory_size))
		return failure_set(failure, -EINVAL,
				   "The kernel has a segment of %" PRIu64
				   " bytes for guest address "
				   "0x%" PRIx64 ", where the VM has no memory to load to.",
				   segment->memory_size, segment->address);
	*kernel_end = MAX(*kernel_end, segment->address + segment->memory_size);
	if (!segment->file_size)
		return 0;
	return boot_file_load(elf->file, segment->offset, segment->file_size, memory,
			      GPA(segment->address), failure);
}

static int elf_load_segments(const struct elf_image *elf, struct vid_memory *memory,
			     uint64_t *ret_kernel_end, struct failure *failure)
{
	uint64_t end = 0;

	for (unsigned i = 0; i < elf->count; i++) {
		int r;

		if (elf->segments[i].type != PT_LOAD || !elf->segments[i].memory_size)
			continue;
		r = elf_load_segment(elf, &elf->segments[i], memory, &end, failure);
		if (r < 0)
			return r;
	}
	if (!end)
		return failure_set(failure, -EINVAL, "The kernel has no segment to load.");
	*ret_kernel_end = end;
	return 0;
}

/* Finds the PVH entry among the notes. Return: true if it is there. */
static bool elf_search_notes(const uint8_t *notes, size_t size, uint64_t *ret_entry)
{
	Elf64_Nhdr note; /* the same in both classes */
	size_t at = 0;

	while (size - at >= sizeof(note)) {
		size_t name, descriptor, next;

		memcpy(&note, notes + at, sizeof(note));
		name = at + sizeof(note);
		descriptor = name + ALIGN_UP((size_t)note.n_namesz, 4);
		next = descriptor + ALIGN_UP((size_t)note.n_descsz, 4);
		if (note.n_namesz > size || note.n_descsz > size || next > size)
			return false;
		if (note.n_type == NOTE_PHYS32_ENTRY && note.n_namesz == sizeof(NOTE_NAME) &&
		    memcmp(notes + name, NOTE_NAME, sizeof(NOTE_NAME)) == 0 &&
		    (note.n_descsz == 4 || note.n_descsz == 8)) {
			*ret_entry = 0;
			memcpy(ret_entry, notes + descriptor, note.n_descsz);
			return true;
		}
		at = next;
	}
	return false;
}

static int elf_find_entry(const struct elf_image *elf, uint64_t *ret_entry, struct failure *failure)
{
	AUTO_FREE uint8_t *notes = malloc(NOTE_SIZE_MAX);

	if (!notes)
		return -ENOMEM;
	for (unsigned i = 0; i < elf->count; i++) {
		const struct elf_segment *segment = &elf->segments[i];
		size_t size = (size_t)MIN(segment->file_size, (uint64_t)NOTE_SIZE_MAX);
		int r;

		if (segment->type != PT_NOTE)
			continue;
		r = boot_file_read(elf->file, segment->offset, notes, size, failure);
		if (r < 0)
			return r;
		if (elf_search_notes(notes, size, ret_entry))
			return 0;
	}
	return failure_set(failure, -EINVAL,
			   "The kernel is an ELF image without a PVH entry note. Linux has one "
			   "when built with CONFIG_PVH.");
}

/* The entry must be in what was loaded: elsewhere the vp would run through zeros. */
static bool elf_is_loaded(const struct elf_image *elf, uint64_t address)
{
	for (unsigned i = 0; i < elf->count; i++) {
		const struct elf_segment *segment = &elf->segments[i];

		if (segment->type == PT_LOAD && address >= segment->address &&
		    address - segment->address < segment->file_size)
			return true;
	}
	return false;
}

static void pvh_fill_map(const struct memory_layout *layout, struct pvh_data *data)
{
	struct memory_map_entry entries[MEMORY_MAP_MAX];
	size_t count = memory_layout_map(layout, entries);

	for (size_t i = 0; i < count; i++)
		data->map[i] = (struct pvh_map_entry){ .base = entries[i].base,
						       .size = entries[i].size,
						       .type = entries[i].type };
	data->info.memory_map_entries = (uint32_t)count;
}

static void pvh_write(const struct boot_config *config, const struct boot_initrd *initrd)
{
	struct pvh_data data = {
		.info = { .magic = START_INFO_MAGIC,
			  .version = 1,
			  .module_count = initrd->size ? 1 : 0,
			  .modules = initrd->size
					     ? LAYOUT_PVH_INFO + offsetof(struct pvh_data, initrd)
					     : 0,
			  .command_line = LAYOUT_COMMAND_LINE,
			  .rsdp = config->rsdp.value,
			  .memory_map = LAYOUT_PVH_INFO + offsetof(struct pvh_data, map) },
		.initrd = { .address = initrd->gpa.value, .size = initrd->size },
	};

	pvh_fill_map(config->layout, &data);
	memcpy(vid_memory_map(config->memory, GPA(LAYOUT_PVH_INFO), sizeof(data)), &data,
	       sizeof(data));
	vid_memory_mark_written(config->memory, GPA(LAYOUT_PVH_INFO), sizeof(data));
}

int boot_elf_load(const struct boot_config *config, const struct boot_image *image,
		  struct boot_entry *ret_entry, struct failure *failure)
{
	struct elf_image elf = { .file = &image->file };
	uint64_t entry, kernel_end;
	struct boot_initrd initrd;
	int r;

	r = elf_read_segments(&elf, image, failure);
	if (r < 0)
		return r;
	r = elf_find_entry(&elf, &entry, failure);
	if (r < 0)
		return r;
	if (!elf_is_loaded(&elf, entry))
		return failure_set(failure, -EINVAL,
				   "The kernel's PVH entry, 0x%" PRIx64 ", is in none of its "
				   "segments.",
				   entry);
	r = elf_load_segments(&elf, config->memory, &kernel_end, failure);
	if (r < 0)
		return r;
	r = boot_load_initrd(config, kernel_end, elf.is_64_bit ? LAYOUT_HOLE : INITRD_LIMIT_32,
			     &initrd, failure);
	if (r < 0)
		return r;
	r = boot_load_command_line(config, PVH_COMMAND_LINE_MAX, failure);
	if (r < 0)
		return r;
	pvh_write(config, &initrd);
	*ret_entry = (struct boot_entry){ .rip = entry, .rbx = LAYOUT_PVH_INFO };
	return 0;
}
