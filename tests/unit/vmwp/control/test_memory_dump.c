/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Core files of a guest of a few instructions on the host's KVM, read back. Skipped without one.
 */
#include "tests/unit/aborts.h"
#include "tests/unit/unit.h"
#include "tests/unit/vmwp/boot/kernel_image.h"
#include "tests/unit/vmwp/machine/guest_code.h"
#include "vmwp/chipset/chipset.h"
#include "vmwp/control/core_file.h"
#include "vmwp/control/memory_dump.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <unistd.h>

#define SECOND   1000000000ull
#define RAM_SIZE (16u << 20)
#define PATTERN  0x300000u /* where a page of the guest's is written */
#define NOTE     0x402000u

static const char note_text[] = "OSRELEASE=6.1.0-test\nPAGESIZE=4096\n";

struct fixture {
	struct loop *loop;
	struct definition *definition;
	struct resources *resources;
	struct machine *machine;
	struct kernel_image image;
	enum machine_state state;

	struct memory_dump *dump;
	int file;
	bool done;
	int result;
	uint64_t progress, size;
};

static void on_state(void *data, enum machine_state state, enum machine_reason reason,
		     const char *message)
{
	((struct fixture *)data)->state = state;
}

static void on_reset(void *data, enum machine_reason reason, const char *message)
{
}

static void on_crash(void *data, const struct hvshim_crash *crash)
{
}

static void on_vmbus(void *data, uint32_t version)
{
}

static void on_notice(void *data, const char *text)
{
}

static void on_console(void *data, bool output)
{
}

static void on_firmware(void *data, enum firmware_word word)
{
}

static const struct machine_callbacks machine_callbacks = {
	.state = on_state,
	.reset = on_reset,
	.crash = on_crash,
	.vmbus = on_vmbus,
	.notice = on_notice,
	.console = on_console,
	.firmware = on_firmware,
};

static void on_progress(void *data, uint64_t done, uint64_t size)
{
	struct fixture *f = data;

	assert_true(done >= f->progress && done <= size);
	f->progress = done;
	f->size = size;
}

static void on_done(void *data, int result)
{
	struct fixture *f = data;

	assert_false(f->done);
	f->done = true;
	f->result = result;
}

static const struct memory_dump_callbacks callbacks = { on_progress, on_done };

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(loop_new(512, &f->loop), 0);
	assert_int_equal(resources_new(&f->resources), 0);
	assert_int_equal(definition_new(&f->definition), 0);
	f->definition->memory.size = RAM_SIZE;
	f->file = memfd_create("core", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(f->file >= 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	uint64_t end = loop_now() + 60 * SECOND;

	if (f->machine)
		machine_stop(f->machine);
	while (f->machine && f->state != MACHINE_STOPPED && loop_now() < end)
		assert_int_equal(loop_run_once(f->loop, SECOND / 10), 0);
	/* What the personality still has under way ends in the loop's next iterations. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(loop_run_once(f->loop, SECOND / 1000), 0);
	machine_free(f->machine);
	loop_free(f->loop);
	memory_dump_free(f->dump);
	resources_free(f->resources);
	definition_free(f->definition);
	close(f->file);
	free(f);
	return 0;
}

static void start(struct fixture *f)
{
	static const uint8_t code[] = { 0xbb,
					0x78,
					0x56,
					0x34,
					0x12, /* mov $0x12345678, %ebx */
					GUEST_PRINT('x'),
					GUEST_HALT };
	const struct machine_config config = {
		.definition = f->definition,
		.resources = f->resources,
		.loop = f->loop,
		.callbacks = &machine_callbacks,
		.data = f,
	};
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct failure failure;
	char text[8];

	if (kvm < 0)
		skip();
	kernel_image_elf(&f->image, ELFCLASS64, code, sizeof(code));
	assert_int_equal(resources_put(f->resources, "kvm", kvm), 0);
	assert_int_equal(resources_put(f->resources, "kernel", kernel_image_file(&f->image)), 0);
	assert_int_equal(machine_new(&config, &f->machine, &failure), 0);
	assert_int_equal(machine_start(f->machine, &failure), 0);
	while (chipset_console_take(machine_chipset(f->machine), text, sizeof(text)) == 0)
		assert_int_equal(loop_run_once(f->loop, SECOND / 100), 0);
}

static uint8_t *memory(struct fixture *f, uint64_t gpa, size_t size)
{
	return vid_memory_map(machine_memory(f->machine), GPA(gpa), size);
}

static void put_note(struct fixture *f, uint64_t gpa, const char *text, uint32_t size)
{
	const Elf64_Nhdr head = { .n_namesz = 11, .n_descsz = size };
	uint8_t *at = memory(f, gpa, 4096);

	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), "VMCOREINFO", 11);
	memcpy(at + VMCOREINFO_HEAD_SIZE, text, strlen(text));
}

static int begin(struct fixture *f)
{
	int fd = dup(f->file), r;

	r = memory_dump_new(f->machine, f->loop, fd, &callbacks, f, &f->dump);
	if (r)
		close(fd);
	return r;
}

static void finish(struct fixture *f)
{
	uint64_t end = loop_now() + 60 * SECOND;

	while (!f->done && loop_now() < end)
		assert_int_equal(loop_run_once(f->loop, SECOND / 10), 0);
	assert_true(f->done);
}

static void read_at(struct fixture *f, void *buffer, size_t size, uint64_t offset)
{
	assert_int_equal(pread(f->file, buffer, size, (off_t)offset), (ssize_t)size);
}

/* Where the file has a byte of the guest's memory; its size is checked. */
static uint64_t place_of(struct fixture *f, uint64_t gpa)
{
	uint64_t place = 0;
	Elf64_Ehdr header;
	struct stat stat;

	read_at(f, &header, sizeof(header), 0);
	assert_memory_equal(header.e_ident, ELFMAG, SELFMAG);
	assert_int_equal(header.e_type, ET_CORE);
	assert_int_equal(fstat(f->file, &stat), 0);
	for (unsigned i = 0; i < header.e_phnum; i++) {
		Elf64_Phdr segment;

		read_at(f, &segment, sizeof(segment), header.e_phoff + i * sizeof(segment));
		assert_true(segment.p_offset + segment.p_filesz <= (uint64_t)stat.st_size);
		/* With an alignment it would be a netdump, to crash(8). */
		assert_true(segment.p_type != PT_LOAD || segment.p_align == 0);
		if (segment.p_type == PT_LOAD && gpa >= segment.p_paddr &&
		    gpa - segment.p_paddr < segment.p_memsz)
			place = segment.p_offset + gpa - segment.p_paddr;
	}
	assert_true(place > 0);
	return place;
}

/* The description of the first note of that type. Return: its size; 0: there is none. */
static size_t find_note(struct fixture *f, uint32_t type, uint8_t *buffer, size_t size)
{
	Elf64_Phdr segment;
	uint64_t at;

	read_at(f, &segment, sizeof(segment), sizeof(Elf64_Ehdr));
	assert_int_equal(segment.p_type, PT_NOTE);
	for (at = segment.p_offset; at < segment.p_offset + segment.p_filesz;) {
		Elf64_Nhdr note;

		read_at(f, &note, sizeof(note), at);
		at += sizeof(note) + ALIGN_UP(note.n_namesz, 4);
		if (note.n_type == type) {
			assert_in_range(note.n_descsz, 1, size);
			read_at(f, buffer, note.n_descsz, at);
			return note.n_descsz;
		}
		at += ALIGN_UP(note.n_descsz, 4);
	}
	return 0;
}

static void test_whole(void **state)
{
	struct fixture *f = *state;
	struct user_regs_struct registers;
	struct elf_prstatus status;
	uint8_t bytes[4096];
	struct stat stat;

	start(f);
	assert_int_equal(begin(f), MACHINE_E_STATE);
	assert_int_equal(machine_pause(f->machine), 0);
	memset(memory(f, PATTERN, 4096), 0xa5, 4096);
	put_note(f, NOTE, note_text, sizeof(note_text) - 1);
	assert_int_equal(begin(f), 0);
	finish(f);
	assert_int_equal(f->result, 0);
	assert_int_equal(f->progress, RAM_SIZE);
	assert_int_equal(f->size, RAM_SIZE);

	read_at(f, bytes, sizeof(bytes), place_of(f, PATTERN));
	assert_memory_equal(bytes, memory(f, PATTERN, 4096), sizeof(bytes));
	read_at(f, bytes, sizeof(bytes), place_of(f, RAM_SIZE - sizeof(bytes)));
	assert_int_equal(find_note(f, 0, bytes, sizeof(bytes)), sizeof(note_text) - 1);
	assert_memory_equal(bytes, note_text, sizeof(note_text) - 1);
	assert_int_equal(find_note(f, NT_PRSTATUS, (uint8_t *)&status, sizeof(status)),
			 sizeof(status));
	memcpy(&registers, &status.pr_reg, sizeof(registers));
	assert_int_equal(registers.rbx, 0x12345678);
	/* Zeros take no room. */
	assert_int_equal(fstat(f->file, &stat), 0);
	assert_true(stat.st_size > RAM_SIZE);
	assert_true(stat.st_blocks * 512 < RAM_SIZE / 2);
}

/*
 * What is none is not taken for one: no text of a kernel's, sizes beyond the page and the memory.
 */
static void test_hostile_notes(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[4096];

	start(f);
	assert_int_equal(machine_pause(f->machine), 0);
	put_note(f, NOTE, "something else", 40);
	put_note(f, NOTE + 0x1000, note_text, 0);
	put_note(f, NOTE + 0x2000, note_text, 5);
	put_note(f, NOTE + 0x3000, note_text, VMCOREINFO_SIZE_MAX + 1);
	put_note(f, NOTE + 0x4000, note_text, UINT32_MAX);
	assert_int_equal(begin(f), 0);
	finish(f);
	assert_int_equal(f->result, 0);
	assert_int_equal(find_note(f, 0, bytes, sizeof(bytes)), 0);
}

static void test_files_that_are_none(void **state)
{
	struct fixture *f = *state;
	struct memory_dump *dump;
	char path[64];
	int pipes[2], fd;

	start(f);
	assert_int_equal(machine_pause(f->machine), 0);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(memory_dump_new(f->machine, f->loop, pipes[1], &callbacks, f, &dump),
			 -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(memory_dump_new(f->machine, f->loop, fd, &callbacks, f, &dump), -EINVAL);
	close(fd);
	assert_int_equal(ftruncate(f->file, 1), 0);
	assert_int_equal(begin(f), -EINVAL);
}

static void test_no_room(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_int_equal(machine_pause(f->machine), 0);
	assert_int_equal(fcntl(f->file, F_ADD_SEALS, F_SEAL_GROW), 0);
	assert_int_equal(begin(f), 0);
	finish(f);
	assert_int_equal(f->result, -EPERM);
}

static void test_cancelled(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_int_equal(machine_pause(f->machine), 0);
	assert_int_equal(begin(f), 0);
	memory_dump_cancel(f->dump);
	finish(f);
	assert_int_equal(f->result, -ECANCELED);
	assert_int_equal(machine_resume(f->machine), 0);
}

static void free_dump(void *data)
{
	memory_dump_free(data);
}

static void test_freed_before_it_is_done(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_int_equal(machine_pause(f->machine), 0);
	assert_int_equal(begin(f), 0);
	assert_true(aborts(free_dump, f->dump));
	memory_dump_cancel(f->dump);
	finish(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
		TEST(test_whole),   TEST(test_hostile_notes), TEST(test_files_that_are_none),
		TEST(test_no_room), TEST(test_cancelled),     TEST(test_freed_before_it_is_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
