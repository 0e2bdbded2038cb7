/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Kernel images made for tests. */
#include "tests/unit/vmwp/boot/kernel_image.h"

#include "tests/unit/unit.h"

#include <elf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SETUP_SECTORS 4
#define SECTOR        512
#define HLT           0xf4

void kernel_image_set(struct kernel_image *image, size_t offset, uint64_t value, size_t size)
{
	memcpy(image->bytes + offset, &value, size);
}

/* Offsets: Linux Documentation/arch/x86/boot.rst. */
void kernel_image_bzimage(struct kernel_image *image)
{
	size_t payload = 4096;

	memset(image, 0, sizeof(*image));
	image->size = (SETUP_SECTORS + 1) * SECTOR + payload;
	kernel_image_set(image, 0x1f1, SETUP_SECTORS, 1);
	kernel_image_set(image, 0x1f4, payload / 16, 4);
	kernel_image_set(image, 0x1fe, 0xaa55, 2);
	kernel_image_set(image, 0x200, 0x6aeb, 2); /* a jump over the header */
	memcpy(image->bytes + 0x202, "HdrS", 4);
	kernel_image_set(image, 0x206, 0x20f, 2);
	kernel_image_set(image, 0x211, 0x01, 1); /* loaded high */
	kernel_image_set(image, 0x22c, 0x7fffffff, 4);
	kernel_image_set(image, 0x230, 0x200000, 4);
	kernel_image_set(image, 0x234, 1, 1); /* relocatable */
	kernel_image_set(image, 0x236, 1, 2); /* 64-bit entry */
	kernel_image_set(image, 0x238, 2047, 4);
	kernel_image_set(image, 0x258, 0x1000000, 8);
	kernel_image_set(image, 0x260, 0x300000, 4);
	memset(image->bytes + (SETUP_SECTORS + 1) * SECTOR, HLT, payload);
}

/* Elf32 and Elf64 differ in nearly every offset, so each has its own function. */
static void elf_fill_64(struct kernel_image *image, size_t note, size_t note_size, size_t code,
			size_t code_size)
{
	const Elf64_Ehdr header = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
				    .e_type = ET_EXEC,
				    .e_machine = EM_X86_64,
				    .e_version = EV_CURRENT,
				    .e_entry = KERNEL_IMAGE_ADDRESS,
				    .e_phoff = sizeof(Elf64_Ehdr),
				    .e_ehsize = sizeof(Elf64_Ehdr),
				    .e_phentsize = sizeof(Elf64_Phdr),
				    .e_phnum = 2 };
	const Elf64_Phdr headers[2] = {
		{ .p_type = PT_LOAD,
		  .p_offset = code,
		  .p_paddr = KERNEL_IMAGE_ADDRESS,
		  .p_filesz = code_size,
		  .p_memsz = code_size + 4096 },
		{ .p_type = PT_NOTE,
		  .p_offset = note,
		  .p_filesz = note_size,
		  .p_memsz = note_size },
	};

	memcpy(image->bytes, &header, sizeof(header));
	memcpy(image->bytes + sizeof(header), headers, sizeof(headers));
}

static void elf_fill_32(struct kernel_image *image, size_t note, size_t note_size, size_t code,
			size_t code_size)
{
	const Elf32_Ehdr header = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, 1 },
				    .e_type = ET_EXEC,
				    .e_machine = EM_386,
				    .e_version = EV_CURRENT,
				    .e_entry = KERNEL_IMAGE_ADDRESS,
				    .e_phoff = sizeof(Elf32_Ehdr),
				    .e_ehsize = sizeof(Elf32_Ehdr),
				    .e_phentsize = sizeof(Elf32_Phdr),
				    .e_phnum = 2 };
	const Elf32_Phdr headers[2] = {
		{ .p_type = PT_LOAD,
		  .p_offset = (uint32_t)code,
		  .p_paddr = KERNEL_IMAGE_ADDRESS,
		  .p_filesz = (uint32_t)code_size,
		  .p_memsz = (uint32_t)code_size + 4096 },
		{ .p_type = PT_NOTE,
		  .p_offset = (uint32_t)note,
		  .p_filesz = (uint32_t)note_size,
		  .p_memsz = (uint32_t)note_size },
	};

	memcpy(image->bytes, &header, sizeof(header));
	memcpy(image->bytes + sizeof(header), headers, sizeof(headers));
}

void kernel_image_elf(struct kernel_image *image, int elf_class, const void *code, size_t size)
{
	/* One note of somebody else's first. */
	const uint32_t notes[] = { 4, 4, 1,  0x00756e47, 0,
				   4, 4, 18, 0x006e6558, KERNEL_IMAGE_ADDRESS };
	size_t at_note = 512, at_code = 4096;

	assert_true(at_code + size <= sizeof(image->bytes));
	memset(image, 0, sizeof(*image));
	image->size = at_code + size;
	if (elf_class == ELFCLASS64)
		elf_fill_64(image, at_note, sizeof(notes), at_code, size);
	else
		elf_fill_32(image, at_note, sizeof(notes), at_code, size);
	memcpy(image->bytes + at_note, notes, sizeof(notes));
	memcpy(image->bytes + at_code, code, size);
}

int kernel_image_file(const struct kernel_image *image)
{
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, image->bytes, image->size), (ssize_t)image->size);
	return fd;
}
