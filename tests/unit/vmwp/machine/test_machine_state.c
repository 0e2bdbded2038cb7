/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A machine is saved in the middle of its work, and its guest goes on in another one, on the host's
 * KVM. Skipped without one.
 */
#include "common/definition/cpu_features.h"
#include "common/wire/tlfs.h"
#include "tests/unit/vmwp/machine/moved_machine.h"
#include "vmwp/boot/acpi.h"
#include "vmwp/chipset/chipset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_AT 0x300000u

/*
 * Says who it is, has a reference TSC page, and counts for ever how often it has looked at the
 * reference counter. Were that ever less than before, it would fault.
 */
static const uint8_t counting_code[] = {
	GUEST_WRMSR(0x000, 0x81, 1),
	0xb9,
	0x21,
	0x00,
	0x00,
	0x40, /* mov $REFERENCE_TSC, %ecx */
	0xba,
	0x00,
	0x00,
	0x00,
	0x00, /* mov $0, %edx */
	0xb8,
	0x01,
	0x00,
	0x30,
	0x00, /* mov $(PAGE_AT | enable), %eax */
	0x0f,
	0x30, /* wrmsr */
	0xb9,
	0x20,
	0x00,
	0x00,
	0x40, /* again: mov $REFERENCE_COUNT, %ecx */
	0x0f,
	0x32, /* rdmsr */
	0x89,
	0xc6, /* mov %eax, %esi */
	0x89,
	0xd7, /* mov %edx, %edi */
	0x2b,
	0x35,
	0x04,
	0x00,
	0x20,
	0x00, /* sub 0x200004, %esi */
	0x1b,
	0x3d,
	0x08,
	0x00,
	0x20,
	0x00, /* sbb 0x200008, %edi */
	0x72,
	0x13, /* jc over to the fault */
	0xa3,
	0x04,
	0x00,
	0x20,
	0x00, /* mov %eax, 0x200004 */
	0x89,
	0x15,
	0x08,
	0x00,
	0x20,
	0x00, /* mov %edx, 0x200008 */
	0xff,
	0x05,
	0x00,
	0x00,
	0x20,
	0x00, /* incl 0x200000 */
	GUEST_LOOP(42),
	GUEST_FAULT,
};

static int setup(void **state)
{
	int r = fixture_new(state, counting_code, sizeof(counting_code));
	struct fixture *fixture = *state;

	fixture->definition->hyper_v[ENLIGHTENMENT_SYNTHETIC_TIMERS] = true;
	return r;
}

static void copy_ram(const struct machine *from, const struct machine *to)
{
	const struct vid_memory *ram = machine_memory(from);

	for (size_t i = 0; i < vid_memory_region_count(ram); i++) {
		struct vid_memory_region region = vid_memory_region(ram, i);

		memcpy(memory(to, region.gpa.value, region.size),
		       memory(from, region.gpa.value, region.size), region.size);
	}
}

/* Memory first, then what is in it, then the others. Return: of the first that fails. */
static int restore(struct fixture *fixture, const struct state_writer *writer)
{
	struct state_reader reader;
	int r;

	make(fixture, &fixture->target);
	fixture->failure = (struct failure){ 0 };
	assert_int_equal(state_reader_init(&reader, writer->bytes, writer->size), 0);
	r = machine_memory_ops.restore(fixture->target, &reader, &fixture->failure);
	if (r < 0)
		return r;
	copy_ram(fixture->source, fixture->target);
	r = machine_prepare_restore(fixture->target, &reader, &fixture->failure);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rows); i++)
		r = rows[i]->restore(fixture->target, &reader, &fixture->failure);
	return r;
}

/* The general-purpose events that have come. */
static long events(struct machine *machine)
{
	AUTO_JSON struct json_object *tree = chipset_inspect(machine_chipset(machine));
	struct json_object *power;

	assert_true(json_object_object_get_ex(tree, "power", &power));
	return strtol(json_object_get_string(json_object_object_get(power, "events")), NULL, 16);
}

static void guest_goes_on_in_another_machine(void **state)
{
	struct fixture *fixture = *state;
	struct state_writer first, second;
	uint32_t before;

	start_source(fixture);
	save(fixture, fixture->source, &first);
	before = counted(fixture->source);
	if (restore(fixture, &first) < 0)
		fail_msg("%s", fixture->failure.message);
	assert_int_equal(machine_state(fixture->target), MACHINE_PAUSED);
	save(fixture, fixture->target, &second);
	assert_int_equal(first.size, second.size);
	assert_memory_equal(first.bytes, second.bytes, first.size);
	assert_int_equal(counted(fixture->target), before);
	stop(fixture, &fixture->source);
	assert_int_equal(machine_resume(fixture->target), 0);
	wait_for_count(fixture, fixture->target);
	/* It can be paused and go on as any other, and be saved again. */
	assert_int_equal(machine_pause(fixture->target), 0);
	state_writer_deinit(&second);
	save(fixture, fixture->target, &second);
	assert_int_equal(machine_resume(fixture->target), 0);
	wait_for_count(fixture, fixture->target);
	state_writer_deinit(&first);
	state_writer_deinit(&second);
}

/* The page tells what the counter does, by the TSC that the guest has here. */
/* It is the uuid's, or the definition's own; the guest is told by the chipset if it was another. */
static void generation_id_becomes_the_definitions(void **state)
{
	struct fixture *fixture = *state;
	const struct guid first = GUID(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
	const struct guid second = GUID(2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
	const uint64_t place = acpi_generation_place(GPA(LAYOUT_ACPI)).value;
	struct state_writer writer;

	fixture->definition->uuid = first;
	start_source(fixture);
	assert_memory_equal(memory(fixture->source, place, sizeof(first)), &first, sizeof(first));
	save(fixture, fixture->source, &writer);
	assert_int_equal(restore(fixture, &writer), 0);
	assert_int_equal(machine_chipset_ops.restored(fixture->target, &fixture->failure), 0);
	assert_int_equal(events(fixture->target), 0);
	fixture->definition->generation_id = second;
	assert_int_equal(machine_chipset_ops.restored(fixture->target, &fixture->failure), 0);
	assert_memory_equal(memory(fixture->target, place, sizeof(second)), &second,
			    sizeof(second));
	assert_int_equal(events(fixture->target), 1);
	state_writer_deinit(&writer);
}

static void reference_page_is_of_this_host(void **state)
{
	struct fixture *fixture = *state;
	const struct hv_reference_tsc_page *page;
	struct state_writer writer;
	uint32_t sequence;

	start_source(fixture);
	page = memory(fixture->source, PAGE_AT, sizeof(*page));
	sequence = page->sequence;
	save(fixture, fixture->source, &writer);
	if (restore(fixture, &writer) < 0)
		fail_msg("%s", fixture->failure.message);
	assert_int_equal(machine_resume(fixture->target), 0);
	page = memory(fixture->target, PAGE_AT, sizeof(*page));
	assert_true(page->sequence == HV_REFERENCE_TSC_INVALID || page->sequence == sequence + 1);
	wait_for_count(fixture, fixture->target);
	state_writer_deinit(&writer);
}

static void saved_machine_goes_on(void **state)
{
	struct fixture *fixture = *state;
	struct state_writer writer;

	start_source(fixture);
	save(fixture, fixture->source, &writer);
	assert_int_equal(machine_resume(fixture->source), 0);
	wait_for_count(fixture, fixture->source);
	state_writer_deinit(&writer);
}

/*
 * A string instruction that reads from a device is an exit for each of its parts, and KVM goes on
 * to the next when the last is completed: a vp that pauses has run to where none is under way.
 */
static void string_instruction_is_no_obstacle(void **state)
{
	static const uint8_t code[] = {
		0xbe,           0x00, 0x00, 0x00, 0xd0,       /* again: mov $0xd0000000, %esi */
		0xbf,           0x00, 0x00, 0x30, 0x00,       /* mov $0x300000, %edi */
		0xb9,           0x00, 0x02, 0x00, 0x00,       /* mov $512, %ecx */
		0xf3,           0xa4,                         /* rep movsb */
		0xff,           0x05, 0x00, 0x00, 0x20, 0x00, /* incl 0x200000 */
		GUEST_LOOP(23),
	};
	struct fixture *fixture = *state;
	struct state_writer writer;

	kernel_image_elf(&fixture->image, ELFCLASS64, code, sizeof(code));
	start_source(fixture);
	for (unsigned i = 0; i < 30; i++) {
		save(fixture, fixture->source, &writer);
		state_writer_deinit(&writer);
		assert_int_equal(machine_resume(fixture->source), 0);
		assert_int_equal(loop_run_once(fixture->loop, SECOND / 1000), 0);
		assert_int_equal(machine_pause(fixture->source), 0);
	}
	assert_int_equal(machine_resume(fixture->source), 0);
	wait_for_count(fixture, fixture->source);
}

/* What is done about a crash is done where the guest is by then. */
static void crash_is_acted_upon(void **state)
{
	static const uint8_t code[] = { GUEST_CRASH, GUEST_LOOP(0) };
	struct fixture *fixture = *state;
	struct state_writer writer;
	uint64_t end = loop_now() + 60 * SECOND;

	kernel_image_elf(&fixture->image, ELFCLASS64, code, sizeof(code));
	fixture->definition->actions.crash = DEFINITION_ACTION_STOP;
	fixture->definition->actions.crash_grace = 60;
	make(fixture, &fixture->source);
	assert_int_equal(machine_start(fixture->source, &fixture->failure), 0);
	while (fixture->crashes == 0 && loop_now() < end)
		assert_int_equal(loop_run_once(fixture->loop, SECOND / 1000), 0);
	assert_int_equal(fixture->crashes, 1);
	assert_int_equal(machine_pause(fixture->source), 0);
	save(fixture, fixture->source, &writer);
	fixture->definition->actions.crash_grace = 1;
	if (restore(fixture, &writer) < 0)
		fail_msg("%s", fixture->failure.message);
	assert_int_equal(machine_resume(fixture->target), 0);
	while (fixture->state != MACHINE_STOPPED && loop_now() < end)
		assert_int_equal(loop_run_once(fixture->loop, SECOND / 100), 0);
	assert_int_equal(machine_state(fixture->target), MACHINE_STOPPED);
	assert_int_equal(fixture->reason, MACHINE_CRASH);
	assert_int_equal(fixture->crashes, 1);
	state_writer_deinit(&writer);
}

/* ---- Memory that was added ---- */

static void added_memory_is_added(void **state)
{
	struct fixture *fixture = *state;
	struct vid_memory_region added = { .size = 2 * MIB };
	struct state_writer writer;

	fixture->definition->memory.dynamic.on = true;
	fixture->definition->memory.dynamic.maximum = 64 * MIB;
	start_source(fixture);
	added.gpa = machine_room(fixture->source).gpa;
	assert_true(machine_room(fixture->source).size >= added.size);
	assert_int_equal(vid_memory_add((struct vid_memory *)machine_memory(fixture->source), added,
					VID_MEMORY_SMALL, false),
			 0);
	memset(memory(fixture->source, added.gpa.value, added.size), 0x5a, added.size);
	save(fixture, fixture->source, &writer);
	if (restore(fixture, &writer) < 0)
		fail_msg("%s", fixture->failure.message);
	assert_int_equal(*(uint8_t *)memory(fixture->target, added.gpa.value, 1), 0x5a);
	stop(fixture, &fixture->target);

	/* A VM whose definition has no room for it. */
	fixture->definition->memory.dynamic.on = false;
	assert_int_equal(restore(fixture, &writer), -EINVAL);
	assert_non_null(strstr(fixture->failure.message, "no room"));
	state_writer_deinit(&writer);
}

/* ---- What is refused ---- */

static void other_definitions_are_refused(void **state)
{
	struct fixture *fixture = *state;
	struct state_writer writer;

	start_source(fixture);
	save(fixture, fixture->source, &writer);
	fixture->definition->memory.size = 32 * MIB;
	assert_int_equal(restore(fixture, &writer), -EINVAL);
	assert_non_null(strstr(fixture->failure.message, "RAM"));
	stop(fixture, &fixture->target);
	fixture->definition->memory.size = 16 * MIB;

	fixture->definition->hyper_v[ENLIGHTENMENT_SYNTHETIC_TIMERS] = false;
	assert_int_equal(restore(fixture, &writer), -EINVAL);
	assert_non_null(strstr(fixture->failure.message,
			       enlightenment_names[ENLIGHTENMENT_SYNTHETIC_TIMERS]));
	stop(fixture, &fixture->target);
	fixture->definition->hyper_v[ENLIGHTENMENT_SYNTHETIC_TIMERS] = true;

	for (size_t i = 0; i < cpu_feature_count; i++)
		if (!(cpu_features[i].flags & CPU_NEEDED))
			cpu_feature_set_add(&fixture->definition->processors.without, i);
	assert_int_equal(restore(fixture, &writer), -EINVAL);
	assert_non_null(strstr(fixture->failure.message, "knows the CPU feature '"));
	stop(fixture, &fixture->target);
	fixture->definition->processors.without = (struct cpu_feature_set){ 0 };

	fixture->definition->processors.count = 1;
	fixture->definition->processors.sockets = 1;
	assert_int_equal(restore(fixture, &writer), -EINVAL);
	assert_non_null(strstr(fixture->failure.message, "2 vps"));
	state_writer_deinit(&writer);
}

/* Without one of the records, which it then names. */
static void records_that_are_missing_are_named(void **state)
{
	static const char *const names[] = { "partition",       "partition.crash",
					     "processors.vp-0", "processors.vp-1",
					     "hypervisor",      "hypervisor.vp-1" };
	struct fixture *fixture = *state;
	struct state_writer writer;

	start_source(fixture);
	save(fixture, fixture->source, &writer);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct state_reader reader;
		struct state_record record;
		char quoted[64];
		uint8_t *name;

		assert_int_equal(state_reader_init(&reader, writer.bytes, writer.size), 0);
		assert_int_equal(state_find(&reader, names[i], 1, &record), 0);
		name = (uint8_t *)record.at - ALIGN_UP(strlen(names[i]), 8);
		name[0] ^= 1;
		assert_int_equal(restore(fixture, &writer), -EINVAL);
		snprintf(quoted, sizeof(quoted), "'%s' is missing", names[i]);
		assert_non_null(strstr(fixture->failure.message, quoted));
		name[0] ^= 1;
		stop(fixture, &fixture->target);
	}
	state_writer_deinit(&writer);
}

/* Neither is taken in part, nor does it do any harm, whatever is changed or cut off. */
static void processors_record_is_checked(void **state)
{
	struct fixture *fixture = *state;
	struct state_writer writer, cut;
	struct state_reader reader;
	struct state_record record;

	start_source(fixture);
	save(fixture, fixture->source, &writer);
	assert_int_equal(state_reader_init(&reader, writer.bytes, writer.size), 0);
	assert_int_equal(state_find(&reader, "processors", 1, &record), 0);
	for (size_t size = 0; size < record.left; size += size < 64 ? 1 : 331) {
		state_writer_init(&cut);
		state_begin(&cut, "processors", 1);
		state_put(&cut, record.at, size);
		state_end(&cut);
		fixture->failure = (struct failure){ 0 };
		assert_int_equal(state_reader_init(&reader, cut.bytes, cut.size), 0);
		assert_int_equal(
			machine_processors_ops.restore(fixture->source, &reader, &fixture->failure),
			-EINVAL);
		assert_non_null(strstr(fixture->failure.message, "'processors' is not"));
		state_writer_deinit(&cut);
	}
	state_writer_deinit(&writer);
}

static void memory_records_are_checked(void **state)
{
	struct fixture *fixture = *state;
	struct state_writer writer;
	struct state_reader reader;
	struct state_record record;
	size_t size;
	uint8_t *bytes;

	make(fixture, &fixture->target);
	state_writer_init(&writer);
	assert_int_equal(machine_memory_ops.save(fixture->target, &writer), 0);
	assert_int_equal(state_reader_init(&reader, writer.bytes, writer.size), 0);
	assert_int_equal(state_find(&reader, "memory", 1, &record), 0);
	assert_int_equal(machine_memory_ops.restore(fixture->target, &reader, &fixture->failure),
			 0);
	bytes = (uint8_t *)record.at;
	size = record.left;
	for (size_t i = 0; i < size; i++) {
		bytes[i] ^= 0xff;
		assert_int_equal(
			machine_memory_ops.restore(fixture->target, &reader, &fixture->failure),
			-EINVAL);
		bytes[i] ^= 0xff;
	}
	state_writer_deinit(&writer);
}

/* Nothing is there to be saved, or restored into. */
static void only_a_machine_that_has_a_guest(void **state)
{
	struct fixture *fixture = *state;
	struct state_writer writer;
	struct state_reader reader;

	start_source(fixture);
	state_writer_init(&writer);
	assert_int_equal(state_reader_init(&reader, writer.bytes, 0), 0);
	assert_int_equal(machine_prepare_restore(fixture->source, &reader, &fixture->failure),
			 MACHINE_E_STATE);
	make(fixture, &fixture->target);
	for (size_t i = 1; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(rows[i]->save(fixture->target, &writer), -ENODEV);
		assert_int_equal(rows[i]->restore(fixture->target, &reader, &fixture->failure),
				 -ENODEV);
	}
	state_writer_deinit(&writer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(guest_goes_on_in_another_machine),
		TEST(generation_id_becomes_the_definitions),
		TEST(reference_page_is_of_this_host),
		TEST(saved_machine_goes_on),
		TEST(string_instruction_is_no_obstacle),
		TEST(crash_is_acted_upon),
		TEST(added_memory_is_added),
		TEST(other_definitions_are_refused),
		TEST(records_that_are_missing_are_named),
		TEST(processors_record_is_checked),
		TEST(memory_records_are_checked),
		TEST(only_a_machine_that_has_a_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
