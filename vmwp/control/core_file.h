/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The head of a core file of a guest: an ELF header, a segment of notes, and one segment for each
 * region of its memory, by guest physical address; crash(8) and makedumpfile(8) read such files.
 * What follows the head is the regions' bytes, one after the other.
 *
 * The notes are the registers of each vp (NT_PRSTATUS, in the layout of x86-64 Linux whatever the
 * guest is), and the guest's own VMCOREINFO, where it has one: see vmcoreinfo_at().
 *
 * Sources: elf(5); struct elf_prstatus of Linux (include/linux/elfcore.h); crash_core.c there for
 * VMCOREINFO, a note in pages of its own.
 */
#pragma once

#include "common/base/cc.h"
#include "vid/vid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CORE_FILE_ALIGNMENT  4096u /* of the head's size, and so of all segments */
#define CORE_FILE_REGION_MAX 1024u

/* With the name, which has 12 bytes in it; the description follows. */
#define VMCOREINFO_HEAD_SIZE 24u
#define VMCOREINFO_SIZE_MAX  4096u /* bytes of the description */

struct core_file_vp {
	struct vid_registers registers;
	struct vid_system_registers system;
};

/* All borrowed. */
struct core_file {
	const struct vid_memory_region *regions;
	size_t region_count; /* at most CORE_FILE_REGION_MAX */
	const struct core_file_vp *vps;
	uint32_t vp_count;
	const void *vmcoreinfo; /* vmcoreinfo_size bytes of text; NULL: none */
	size_t vmcoreinfo_size;
};

/* Return: 0 and the head, which the caller frees; -E2BIG; -ENOMEM. */
int core_file_head(const struct core_file *file, void **ret_head, size_t *ret_size) MUST_CHECK;

/*
 * Whether a guest's page begins with the note VMCOREINFO: the size of its text, which follows
 * VMCOREINFO_HEAD_SIZE bytes of head; 0: it does not. Looks at a private copy of the first
 * VMCOREINFO_HEAD_SIZE bytes.
 */
size_t vmcoreinfo_at(const uint8_t head[static VMCOREINFO_HEAD_SIZE]);
