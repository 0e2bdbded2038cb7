/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Configuration space. */
#include "vmwp/chipset/pci.h"

#include "common/base/state.h"
#include "vmwp/base/platform.h"
#include "vmwp/chipset/legacy_ports.h"
#include "vmwp/chipset/option_rom.h"

#include <string.h>

#define ADDRESS_ENABLE 0x80000000u
#define ADDRESS_VALID  0x80fffffcu

#define DEVICE(device, function) ((device) << 3 | (function))

/* Registers, by their numbers. */
enum {
	ID = 0x00 / 4,
	COMMAND = 0x04 / 4,
	CLASS = 0x08 / 4,
	HEADER = 0x0c / 4,
	BAR4 = 0x20 / 4,
	ROM_BAR = 0x30 / 4,
	INTERRUPT = 0x3c / 4,
	IDE_TIMING = 0x40 / 4,
	PM_BASE = 0x40 / 4,
	HAND_OVER = PCI_HAND_OVER / 4,
	PIRQ_ROUTES = 0x60 / 4,
	PM_ENABLE = 0x80 / 4,
};

#define ID_OF(device) ((uint32_t)(device) << 16 | 0x8086)

/* Microsoft's, and none of theirs: guest-vsc/uefi/efi_driver.c looks for it. */
#define STORAGE_ID 0xb0071414u

#define COMMAND_IO     0x1u
#define COMMAND_MEMORY 0x2u
#define COMMAND_MASTER 0x4u
#define STATUS_MEDIUM  0x02000000u /* how fast it decodes */
#define HEADER_MULTI   0x00800000u
#define BAR_IO         0x1u
#define ROM_ENABLE     0x1u
#define HANDED_OVER    0x1u
#define ROM_ADDRESS    (~(uint32_t)(OPTION_ROM_SIZE - 1))
/* 16 ports. There are no more than 65536; but SeaBIOS finds out the size by all bits above it. */
#define BAR_PORTS      0xfffffff0u
#define PIRQS_UNROUTED 0x80808080u
#define PIRQS_WRITABLE 0x8f8f8f8fu

/* What a register is after a reset, and which of its bits can be written. Others are zeros. */
struct pci_register {
	uint8_t number;
	uint32_t value, writable;
};

#define PCI_REGISTERS_MAX 8

struct pci_identity {
	uint8_t at; /* device and function on bus 0 */
	struct pci_register registers[PCI_REGISTERS_MAX];
};

#define HOST_BRIDGE(id)                                                                  \
	{                                                                                \
		{ ID, ID_OF(id), 0 },                                                    \
			{ COMMAND, STATUS_MEDIUM | COMMAND_MASTER | COMMAND_MEMORY, 0 }, \
			{ CLASS, 0x06000003, 0 },                                        \
	}
#define ISA_BRIDGE(id)                                                         \
	{                                                                      \
		{ ID, ID_OF(id), 0 }, { COMMAND, STATUS_MEDIUM | 0x7, 0 },     \
			{ CLASS, 0x06010001, 0 }, { HEADER, HEADER_MULTI, 0 }, \
			{ PIRQ_ROUTES, PIRQS_UNROUTED, PIRQS_WRITABLE },       \
	}
#define IDE(id)                                                                               \
	{                                                                                     \
		{ ID, ID_OF(id), 0 },                                                         \
			{ COMMAND, STATUS_MEDIUM | 0x00800000, COMMAND_IO | COMMAND_MASTER }, \
			{ CLASS, 0x01018001, 0 }, { BAR4, BAR_IO, BAR_PORTS },                \
			{ INTERRUPT, 0, 0xff }, { IDE_TIMING, 0, UINT32_MAX },                \
	}
/* A display, by its class: the firmware looks for consoles on those alone. */
#define STORAGE                                                                             \
	{                                                                                   \
		{ ID, STORAGE_ID, 0 },                                                      \
			{ COMMAND, STATUS_MEDIUM, COMMAND_MEMORY | COMMAND_MASTER },        \
			{ CLASS, 0x03800000, 0 }, { ROM_BAR, 0, ROM_ADDRESS | ROM_ENABLE }, \
			{ HAND_OVER, 0, HANDED_OVER },                                      \
	}
/* Its registers do not move, and are always on: vmwp/chipset/power.h. */
#define POWER_MANAGEMENT(id)                                                                   \
	{                                                                                      \
		{ ID, ID_OF(id), 0 }, { COMMAND, STATUS_MEDIUM | 0x00800000 | COMMAND_IO, 0 }, \
			{ CLASS, 0x06800002, 0 },                                              \
			{ PM_BASE, PLATFORM_PM1_EVENT_PORT | BAR_IO, 0 }, { PM_ENABLE, 1, 0 }, \
	}

/* Generation 2's are those of the one PC that its firmware knows, and has drivers for. */
static const struct pci_identity identities[][_PCI_FUNCTIONS] = {
	[CHIPSET_GENERATION_1] = {
		[PCI_HOST_BRIDGE] = { DEVICE(0, 0), HOST_BRIDGE(0x7192) },
		[PCI_ISA_BRIDGE] = { DEVICE(7, 0), ISA_BRIDGE(0x7110) },
		[PCI_STORAGE] = { DEVICE(7, 1), IDE(0x7111) },
		[PCI_POWER_MANAGEMENT] = { DEVICE(7, 3), POWER_MANAGEMENT(0x7113) },
	},
	[CHIPSET_GENERATION_2] = {
		[PCI_HOST_BRIDGE] = { DEVICE(0, 0), HOST_BRIDGE(0x1237) },
		[PCI_ISA_BRIDGE] = { DEVICE(1, 0), ISA_BRIDGE(0x7000) },
		[PCI_STORAGE] = { DEVICE(2, 0), STORAGE },
		[PCI_POWER_MANAGEMENT] = { DEVICE(1, 3), POWER_MANAGEMENT(0x7113) },
	},
};

static const struct pci_register *pci_find_register(const struct pci *pci, unsigned function,
						    unsigned number)
{
	static const struct pci_register none;
	const struct pci_register *registers = identities[pci->board][function].registers;

	for (unsigned i = 0; i < PCI_REGISTERS_MAX; i++)
		if (registers[i].number == number && (registers[i].value | registers[i].writable))
			return &registers[i];
	return &none;
}

/* What the address port leads to. Return: the function; _PCI_FUNCTIONS: nothing. */
static unsigned pci_selected(const struct pci *pci)
{
	unsigned function = 0;

	if (!(pci->address & ADDRESS_ENABLE) || (pci->address >> 16 & 0xff) != 0 ||
	    pci_is_handed_over(pci))
		return _PCI_FUNCTIONS;
	while (function < _PCI_FUNCTIONS &&
	       identities[pci->board][function].at != (pci->address >> 8 & 0xff))
		function++;
	return function;
}

/* ---- The ports ---- */

#define DATA_OFFSET (PLATFORM_PCI_DATA_PORT - PLATFORM_PCI_ADDRESS_PORT)

static uint64_t pci_read(void *device, uint64_t offset, unsigned size)
{
	const struct pci *pci = device;
	unsigned function;

	if (offset < DATA_OFFSET)
		return offset + PLATFORM_PCI_ADDRESS_PORT == PLATFORM_RESET_PORT && size == 1
			       ? 0
			       : pci->address >> 8 * offset;
	function = pci_selected(pci);
	if (function == _PCI_FUNCTIONS)
		return UINT64_MAX;
	return pci->registers[function][pci->address >> 2 & (PCI_REGISTERS - 1)] >>
	       8 * (offset - DATA_OFFSET);
}

static void pci_write_data(struct pci *pci, unsigned offset, unsigned size, uint32_t value)
{
	unsigned function = pci_selected(pci), number = pci->address >> 2 & (PCI_REGISTERS - 1);
	uint32_t mask = (uint32_t)((UINT64_C(1) << 8 * size) - 1) << 8 * offset;

	if (function == _PCI_FUNCTIONS)
		return;
	mask &= pci_find_register(pci, function, number)->writable;
	pci->registers[function][number] =
		(pci->registers[function][number] & ~mask) | (value << 8 * offset & mask);
}

/* The address is taken as a whole alone: pieces of it are other devices' in any PC. */
static enum power_request pci_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
	struct pci *pci = device;

	if (offset >= DATA_OFFSET)
		pci_write_data(pci, (unsigned)offset - DATA_OFFSET, size, (uint32_t)value);
	else if (size == 4)
		pci->address = (uint32_t)value & ADDRESS_VALID;
	else if (offset + PLATFORM_PCI_ADDRESS_PORT == PLATFORM_RESET_PORT && size == 1)
		return reset_port_write((uint8_t)value);
	return POWER_NOTHING;
}

/* ---- What other rows want to know ---- */

bool pci_ide_bus_master(const struct pci *pci, uint16_t *ret_port)
{
	uint32_t base = pci->registers[PCI_STORAGE][BAR4] & BAR_PORTS;

	*ret_port = (uint16_t)base;
	return base != 0 && base <= UINT16_MAX && pci->registers[PCI_STORAGE][COMMAND] & COMMAND_IO;
}

bool pci_ide_may_transfer(const struct pci *pci)
{
	return pci->registers[PCI_STORAGE][COMMAND] & COMMAND_MASTER;
}

bool pci_is_handed_over(const struct pci *pci)
{
	return pci->board == CHIPSET_GENERATION_2 &&
	       pci->registers[PCI_STORAGE][HAND_OVER] & HANDED_OVER;
}

bool pci_option_rom(const struct pci *pci, uint32_t *ret_address)
{
	const uint32_t *registers = pci->registers[PCI_STORAGE];

	*ret_address = registers[ROM_BAR] & ROM_ADDRESS;
	return pci->board == CHIPSET_GENERATION_2 && !pci_is_handed_over(pci) &&
	       registers[ROM_BAR] & ROM_ENABLE && registers[COMMAND] & COMMAND_MEMORY;
}

/* ---- The row ---- */

static void pci_init(void *device, const struct chipset_config *config)
{
	struct pci *pci = device;

	pci->board = config->board;
	pci->callbacks = config->callbacks;
	pci->data = config->data;
}

static void pci_settle(void *device)
{
	struct pci *pci = device;
	bool handed_over = pci_is_handed_over(pci);

	if (handed_over && !pci->told)
		pci->callbacks->handed_over(pci->data);
	pci->told = handed_over;
}

static void pci_reset(void *device)
{
	struct pci *pci = device;

	pci->address = 0;
	for (unsigned function = 0; function < _PCI_FUNCTIONS; function++)
		for (unsigned number = 0; number < PCI_REGISTERS; number++)
			pci->registers[function][number] =
				pci_find_register(pci, function, number)->value;
}

static void pci_save(const void *device, struct state_writer *writer)
{
	const struct pci *pci = device;
	struct pci_state state = { .address = pci->address };

	memcpy(state.registers, pci->registers, sizeof(state.registers));
	state_put(writer, &state, sizeof(state));
}

/* What cannot be written is what a reset has made of it. */
static bool pci_state_is_valid(const struct pci *pci, const struct pci_state *state)
{
	if ((state->address & ~ADDRESS_VALID) != 0 || state->zero != 0)
		return false;
	for (unsigned function = 0; function < _PCI_FUNCTIONS; function++) {
		for (unsigned number = 0; number < PCI_REGISTERS; number++) {
			const struct pci_register *known = pci_find_register(pci, function, number);

			if ((state->registers[function][number] ^ known->value) & ~known->writable)
				return false;
		}
	}
	return true;
}

static int pci_restore(void *device, struct state_record *record)
{
	struct pci *pci = device;
	struct pci_state state;

	if (state_get(record, &state, sizeof(state)) != 0 || !pci_state_is_valid(pci, &state))
		return STATE_E_INVALID;
	pci->address = state.address;
	memcpy(pci->registers, state.registers, sizeof(pci->registers));
	return 0;
}

static void pci_inspect(const void *device, struct json_object **tree)
{
	const struct pci *pci = device;
	uint16_t port = 0;
	uint32_t rom;

	json_add(tree, "address", json_make_hex(pci->address));
	if (pci->board == CHIPSET_GENERATION_2)
		json_add(tree, "handed_over", json_object_new_boolean(pci_is_handed_over(pci)));
	else if (pci_ide_bus_master(pci, &port))
		json_add(tree, "bus_master", json_make_hex(port));
	if (pci_option_rom(pci, &rom))
		json_add(tree, "option_rom", json_make_hex(rom));
}

const struct chipset_device_ops pci_ops = {
	.name = "pci",
	.size = sizeof(struct pci),
	.ports = { { PLATFORM_PCI_ADDRESS_PORT, 8, 4, pci_read, pci_write } },
	.init = pci_init,
	.reset = pci_reset,
	.settle = pci_settle,
	.state_version = 1,
	.save = pci_save,
	.restore = pci_restore,
	.inspect = pci_inspect,
};
