/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bare machine: the C side of entry.S.
 *
 * Sources: Xen's public/arch-x86/hvm/start_info.h; Intel SDM volume 3, chapter 10 (local APIC).
 */
#include "guest-vsc/machine.h"
#include "guest-vsc/machine_layout.h"
#include "guest-vsc/serial.h"
#include "guest-vsc/start_info.h"
#include "guest-vsc/text.h"

_Static_assert(MACHINE_INTERRUPT_VECTOR == MACHINE_VECTOR_INTERRUPT, "one vector, two names");

#define SPURIOUS_ENABLE 0x100

#define DIRECTORY_ENTRIES 512

/* What the gate gives back: RAX and RDX. */
struct machine_result {
	uint64_t value;
	uint64_t fault; /* 0, or the exception's vector plus one */
};

extern struct machine_result machine_gate(uint64_t operation, uint64_t a, uint64_t b, uint64_t c);
extern struct start_info *machine_start_info;
extern volatile uint64_t machine_interrupt_count, machine_device_entry;
extern volatile uint64_t machine_directory_pointers[];
extern uint64_t machine_exception_vector, machine_exception_code, machine_exception_rip,
	machine_exception_cr2;

void machine_start(void);
void machine_fault(void);

bool machine_read_msr(uint32_t index, uint64_t *ret_value)
{
	struct machine_result result = machine_gate(MACHINE_GATE_READ_MSR, index, 0, 0);

	if (result.fault)
		return false;
	*ret_value = result.value;
	return true;
}

bool machine_write_msr(uint32_t index, uint64_t value)
{
	return machine_gate(MACHINE_GATE_WRITE_MSR, index, value, 0).fault == 0;
}

struct machine_cpuid machine_cpuid(uint32_t leaf)
{
	struct machine_cpuid cpuid = { 0 };

	machine_gate(MACHINE_GATE_CPUID, leaf, machine_gpa(&cpuid), 0);
	return cpuid;
}

bool machine_hypercall(uint64_t control, uint64_t first, uint64_t second, uint64_t *ret_status)
{
	struct machine_result result = machine_gate(MACHINE_GATE_CALL, control, first, second);

	if (result.fault)
		return false;
	*ret_status = result.value;
	return true;
}

uint64_t machine_interrupts(void)
{
	return machine_interrupt_count;
}

void machine_wait_interrupt(uint64_t seen)
{
	machine_gate(MACHINE_GATE_HALT, seen, 0, 0);
}

/* The entry was never present before, so no TLB has it. */
volatile void *machine_map_device(uint64_t gpa)
{
	if (machine_device_entry)
		guest_panic("a second device is to be mapped");
	machine_device_entry = ALIGN_DOWN(gpa, MACHINE_PAGE_SIZE) | MACHINE_PTE_DEVICE;
	return machine_address(MACHINE_DEVICE + gpa % MACHINE_PAGE_SIZE);
}

/* Nor were these. */
void machine_map_memory(uint64_t gpa)
{
	static uint64_t directory[DIRECTORY_ENTRIES] __attribute__((aligned(4096)));
	uint64_t first = ALIGN_DOWN(gpa, DIRECTORY_ENTRIES * (uint64_t)MACHINE_PAGE_SIZE);

	if (directory[0] || first == 0)
		guest_panic("memory cannot be mapped there");
	for (uint64_t i = 0; i < DIRECTORY_ENTRIES; i++)
		directory[i] = (first + i * MACHINE_PAGE_SIZE) | MACHINE_PTE_MEMORY;
	machine_directory_pointers[first / MACHINE_PAGE_SIZE / DIRECTORY_ENTRIES] =
		machine_gpa(directory) | MACHINE_PTE_TABLE;
}

uint64_t machine_ram_end(void)
{
	const struct start_info_memory *map = machine_address(machine_start_info->memory_map);
	uint64_t image = machine_gpa(machine_image_end);

	for (uint32_t i = 0; i < machine_start_info->memory_map_count; i++)
		if (map[i].type == START_INFO_RAM && map[i].start <= image &&
		    image - map[i].start < map[i].size)
			return MIN(map[i].start + map[i].size, (uint64_t)MACHINE_DEVICE);
	return image;
}

const struct start_info *machine_boot_information(void)
{
	return machine_start_info;
}

static bool parse_number(const char *text, uint64_t *ret_value)
{
	unsigned base = 10;
	uint64_t value = 0;

	if (text[0] == '0' && text[1] == 'x') {
		base = 16;
		text += 2;
	}
	do {
		unsigned digit = (unsigned char)*text - '0';

		if (digit > 9)
			digit = ((unsigned char)*text | 0x20u) - 'a' + 10;
		if (digit >= base)
			return false;
		value = value * base + digit;
		text++;
	} while (*text && *text != ' ');
	*ret_value = value;
	return true;
}

uint64_t machine_parameter(const char *name, uint64_t otherwise)
{
	const char *at = machine_address(machine_start_info->command_line);
	size_t length = text_length(name);
	uint64_t value;

	while (at && *at) {
		if (text_starts_with(at, name) && at[length] == '=')
			return parse_number(at + length + 1, &value) ? value : otherwise;
		while (*at && *at != ' ')
			at++;
		while (*at == ' ')
			at++;
	}
	return otherwise;
}

/* Ring 3 begins here. */
void machine_start(void)
{
	volatile uint32_t *spurious = machine_address(MACHINE_LAPIC + MACHINE_LAPIC_SPURIOUS);

	*spurious = SPURIOUS_ENABLE | MACHINE_VECTOR_SPURIOUS;
	serial_initialize();
	guest_main();
	machine_power_off();
}

/* And ends here after an exception in ring 3 that nobody tried. */
void machine_fault(void)
{
	char line[128];

	text_format(line, sizeof(line), "exception %lu, code 0x%lx, at 0x%lx, address 0x%lx",
		    machine_exception_vector, machine_exception_code, machine_exception_rip,
		    machine_exception_cr2);
	guest_panic(line);
}
