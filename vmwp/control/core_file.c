/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The head of a core file. */
#include "vmwp/control/core_file.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/user.h>

#define VMCOREINFO_NAME "VMCOREINFO"

_Static_assert(sizeof(struct elf_prstatus) == 336, "as the kernel has it");
_Static_assert(sizeof(elf_gregset_t) == sizeof(struct user_regs_struct), "the same registers");
_Static_assert(VMCOREINFO_HEAD_SIZE == sizeof(Elf64_Nhdr) + 12, "the name, with its padding");

static size_t note_size(size_t name_size, size_t description_size)
{
	return sizeof(Elf64_Nhdr) + ALIGN_UP(name_size, 4) + ALIGN_UP(description_size, 4);
}

/* Return: where the next one goes. */
static uint8_t *note_write(uint8_t *at, const char *name, uint32_t type, const void *description,
			   size_t size)
{
	Elf64_Nhdr head = {
		.n_namesz = (Elf64_Word)strlen(name) + 1,
		.n_descsz = (Elf64_Word)size,
		.n_type = type,
	};

	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), name, head.n_namesz);
	memcpy(at + sizeof(head) + ALIGN_UP(head.n_namesz, 4), description, size);
	return at + note_size(head.n_namesz, size);
}

static struct user_regs_struct registers_of(const struct core_file_vp *vp)
{
	const struct vid_registers *registers = &vp->registers;
	const struct vid_system_registers *system = &vp->system;

	return (struct user_regs_struct){
		.r15 = registers->r15,
		.r14 = registers->r14,
		.r13 = registers->r13,
		.r12 = registers->r12,
		.rbp = registers->rbp,
		.rbx = registers->rbx,
		.r11 = registers->r11,
		.r10 = registers->r10,
		.r9 = registers->r9,
		.r8 = registers->r8,
		.rax = registers->rax,
		.rcx = registers->rcx,
		.rdx = registers->rdx,
		.rsi = registers->rsi,
		.rdi = registers->rdi,
		.orig_rax = registers->rax,
		.rip = registers->rip,
		.cs = system->cs.selector,
		.eflags = registers->rflags,
		.rsp = registers->rsp,
		.ss = system->ss.selector,
		.fs_base = system->fs.base,
		.gs_base = system->gs.base,
		.ds = system->ds.selector,
		.es = system->es.selector,
		.fs = system->fs.selector,
		.gs = system->gs.selector,
	};
}

static uint8_t *write_notes(const struct core_file *file, uint8_t *at)
{
	for (uint32_t i = 0; i < file->vp_count; i++) {
		struct user_regs_struct registers = registers_of(&file->vps[i]);
		/* Process 0 is the idle one: nobody takes it for a process of the guest's. */
		struct elf_prstatus status = { .pr_pid = (pid_t)i + 1 };

		memcpy(&status.pr_reg, &registers, sizeof(registers));
		at = note_write(at, "CORE", NT_PRSTATUS, &status, sizeof(status));
	}
	if (file->vmcoreinfo)
		at = note_write(at, VMCOREINFO_NAME, 0, file->vmcoreinfo, file->vmcoreinfo_size);
	return at;
}

static size_t notes_size(const struct core_file *file)
{
	size_t size = file->vp_count * note_size(sizeof("CORE"), sizeof(struct elf_prstatus));

	if (file->vmcoreinfo)
		size += note_size(sizeof(VMCOREINFO_NAME), file->vmcoreinfo_size);
	return size;
}

static void write_segments(const struct core_file *file, Elf64_Phdr *segments, size_t notes_at,
			   size_t head_size)
{
	uint64_t offset = head_size;

	segments[0] = (Elf64_Phdr){
		.p_type = PT_NOTE,
		.p_offset = notes_at,
		.p_filesz = notes_size(file),
		.p_memsz = notes_size(file),
		.p_align = 4,
	};
	for (size_t i = 0; i < file->region_count; i++) {
		segments[1 + i] = (Elf64_Phdr){
			.p_type = PT_LOAD,
			.p_flags = PF_R | PF_W | PF_X,
			.p_offset = offset,
			.p_paddr = file->regions[i].gpa.value,
			.p_filesz = file->regions[i].size,
			.p_memsz = file->regions[i].size,
			/* crash(8) takes one with an alignment for a netdump of old. */
			.p_align = 0,
		};
		offset += file->regions[i].size;
	}
}

int core_file_head(const struct core_file *file, void **ret_head, size_t *ret_size)
{
	size_t segments_size = (1 + file->region_count) * sizeof(Elf64_Phdr);
	size_t notes_at = sizeof(Elf64_Ehdr) + segments_size;
	size_t size = ALIGN_UP(notes_at + notes_size(file), (size_t)CORE_FILE_ALIGNMENT);
	Elf64_Ehdr header = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(header),
		.e_ehsize = sizeof(header),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = (Elf64_Half)(1 + file->region_count),
	};
	uint8_t *head;

	if (file->region_count > CORE_FILE_REGION_MAX ||
	    file->vmcoreinfo_size > VMCOREINFO_SIZE_MAX)
		return -E2BIG;
	head = calloc(1, size);
	if (!head)
		return -ENOMEM;
	memcpy(head, &header, sizeof(header));
	write_segments(file, (Elf64_Phdr *)(head + sizeof(header)), notes_at, size);
	write_notes(file, head + notes_at);
	*ret_head = head;
	*ret_size = size;
	return 0;
}

size_t vmcoreinfo_at(const uint8_t head[static VMCOREINFO_HEAD_SIZE])
{
	Elf64_Nhdr note;

	memcpy(&note, head, sizeof(note));
	if (note.n_namesz != sizeof(VMCOREINFO_NAME) || note.n_type != 0 ||
	    note.n_descsz > VMCOREINFO_SIZE_MAX - VMCOREINFO_HEAD_SIZE ||
	    memcmp(head + sizeof(note), VMCOREINFO_NAME, sizeof(VMCOREINFO_NAME)) != 0)
		return 0;
	return note.n_descsz;
}
